//! What only the options of this backend change: statements that are never prepared, notices between processes, a clock
//! that steps.

use std::sync::Arc;
use std::time::Duration;

use steadfast_store::conformance::run_case;
use steadfast_store::env::{Env, ManualClock};
use steadfast_store::{
    Claim, CreateTask, Delay, Enqueue, HolderId, Label, Payload, PostgresOptions, PostgresStore, Store as _,
    StoreExt as _, SweepExpired, TaskId, Term, TransitionId, WorkItemId,
};

use crate::conformance::Postgres;
use crate::kit::Schema;

/// One of each kind of command, read and race.
const SOME_CASES: [&str; 12] = [
    "each_command_sees_the_ones_before_it",
    "a_claim_takes_only_the_kinds_and_the_task_it_asks_for",
    "items_are_claimed_by_priority_then_time_then_id",
    "a_batch_is_recognised_after_reopening",
    "the_commit_of_a_fenced_off_holder_is_rejected_whole_every_time",
    "an_erased_payload_is_gone_with_its_copies_and_the_chain_still_verifies",
    "pruning_never_drops_the_newest_verified_checkpoint",
    "only_finished_operations_are_purged_the_oldest_first",
    "an_operation_begun_by_many_at_once_has_one_owner",
    "appends_of_two_peers_to_one_task_leave_a_dense_chain",
    "monitoring_answers_what_operators_ask",
    "pages_of_items_and_tasks_run_in_the_order_of_their_ids",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn statements_that_are_never_prepared_answer_alike() {
    let Some(server) = crate::server::url() else { return };
    for case in SOME_CASES {
        let unnamed = Postgres { server, options: "&statements=unnamed" };
        run_case(&unnamed, case).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn waiters_are_woken_by_notices_too() {
    let Some(server) = crate::server::url() else { return };
    let cases = [
        "a_peers_commit_wakes_a_waiter",
        "no_wake_up_is_lost_between_stamp_and_wait",
        "many_waiters_are_all_woken",
    ];
    for case in cases {
        run_case(&Postgres { server, options: "&notify=1" }, case).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_commit_is_told_to_those_who_listen() {
    let Some(server) = crate::server::url() else { return };
    let schema = Schema::new(server).await.unwrap();
    let options = PostgresOptions::from_url(&format!("{}&notify=1", schema.url())).unwrap();
    let store = PostgresStore::open(options, Env::system()).await.unwrap();
    let (client, mut driver) = tokio_postgres::connect(server, tokio_postgres::NoTls).await.unwrap();
    let (heard, mut hearing) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = std::future::poll_fn(|context| driver.poll_message(context)).await {
            if let tokio_postgres::AsyncMessage::Notification(notice) = message {
                heard.send(notice.channel().to_owned()).unwrap();
            }
        }
    });
    client.batch_execute(&format!("LISTEN {}", schema.name())).await.unwrap();
    store.create_task(create("t")).await.unwrap();
    let channel = tokio::time::timeout(Duration::from_secs(60), hearing.recv()).await.unwrap().unwrap();
    assert_eq!(channel, schema.name());
}

fn create(name: &str) -> CreateTask {
    let kind = Label::new("research").unwrap();
    CreateTask { task: TaskId::new(name).unwrap(), kind, input: Payload::empty() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sweeps_hold_off_for_one_term_after_the_servers_clock_has_stepped() {
    let Some(server) = crate::server::url() else { return };
    let schema = Schema::new(server).await.unwrap();
    let clock = Arc::new(ManualClock::new());
    let env = Env::system().with_clock(clock.clone());
    let options = PostgresOptions::from_url(&format!("{}&hold_off=100", schema.url())).unwrap();
    let store = PostgresStore::open(options, env).await.unwrap();
    // The server's clock, with a distance that is stepped; this process's own stands still unless it is moved.
    let name = schema.name();
    let replace = |seconds: u32| {
        format!(
            "CREATE OR REPLACE FUNCTION {name}.store_clock(OUT store_time timestamptz, OUT wall_time timestamptz)
             LANGUAGE sql VOLATILE AS $$ SELECT t, t FROM (SELECT timestamptz '2030-01-01' + interval '{seconds} seconds' AS t) AS c $$"
        )
    };
    schema.admin().batch_execute(&replace(0)).await.unwrap();
    store.create_task(create("t")).await.unwrap();
    let (task, kind) = (TaskId::new("t").unwrap(), Label::new("research").unwrap());
    let item = WorkItemId::new("a").unwrap();
    let enqueue =
        Enqueue { item: item.clone(), task, kind, priority: 0, delay: Delay::ZERO, max_attempts: 3 };
    store.enqueue(enqueue).await.unwrap();
    let claim = Claim {
        claim: TransitionId::from_bytes([1; 16]),
        holder: HolderId::new("worker").unwrap(),
        term: Term::new(Duration::from_secs(60)).unwrap(),
        limit: 1,
        kinds: Vec::new(),
        task: None,
    };
    assert_eq!(store.claim(claim).await.unwrap().items.len(), 1);
    let sweep = async |number: u8| {
        let sweep = TransitionId::from_bytes([number; 16]);
        store.sweep_expired(SweepExpired { sweep, limit: 10 }).await.unwrap().reclaimed.len()
    };
    assert_eq!(sweep(2).await, 0);
    schema.admin().batch_execute(&replace(3_600)).await.unwrap();
    assert_eq!(store.health().await.unwrap().expired_leases, 1, "by the server's clock it is over");
    assert_eq!(sweep(3).await, 0, "but that clock has stepped");
    clock.advance(Duration::from_secs(99));
    schema.admin().batch_execute(&replace(3_699)).await.unwrap();
    assert_eq!(sweep(4).await, 0, "for one term");
    clock.advance(Duration::from_secs(2));
    schema.admin().batch_execute(&replace(3_701)).await.unwrap();
    assert_eq!(sweep(5).await, 1, "whose holder has not renewed since is gone");
}
