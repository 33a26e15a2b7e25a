//! What becomes of a commit when its connection does not: cut behind COMMIT, ended by the server, kept waiting by a lock.

use std::sync::Arc;
use std::time::Duration;

use steadfast_store::env::Env;
use steadfast_store::{
    Batch, Committed, Outcome, PostgresOptions, PostgresStore, Store, StoreError, StoreExt, WorkItemId,
    commit_resolved,
};

use crate::kit::{PATIENCE, Schema, claim, create, enqueue};
use crate::proxy::Proxy;

fn host_and_port(url: &str) -> String {
    let options: tokio_postgres::Config = url.parse().unwrap();
    let tokio_postgres::config::Host::Tcp(host) = &options.get_hosts()[0] else { panic!("no TCP in {url}") };
    format!("{host}:{}", options.get_ports().first().unwrap_or(&5_432))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_connection_cut_behind_commit_is_unknown_and_the_batch_is_applied_once() {
    const ROUNDS: u32 = 20;
    let Some(server) = crate::server::url() else { return };
    let schema = Schema::new(server).await.unwrap();
    let proxy = Proxy::start(host_and_port(server)).await.unwrap();
    let options = PostgresOptions::from_url(&through(&schema.url(), proxy.port())).unwrap();
    let store = PostgresStore::open(options, Env::system()).await.unwrap();
    store.create_task(create("queue")).await.unwrap();
    let mut unknown = 0;
    for round in 0..ROUNDS {
        let mut batch = Batch::durable();
        let name = format!("t{round}");
        batch.add(create(&name));
        batch.add(enqueue(&name, &name));
        batch.add(claim(u8::try_from(round + 1).unwrap()));
        proxy.cut_next_commit();
        match store.commit(batch.clone()).await {
            Err(StoreError::Unknown { .. }) => unknown += 1,
            other => panic!("a commit whose answer was cut off answered {other:?}"),
        }
        let applied = commit_resolved(&store, batch, PATIENCE).await.unwrap().into_applied().unwrap();
        assert!(applied.is_replayed(), "the server had COMMIT before the cut");
        let Outcome::Claimed(claimed) = &applied.outcomes()[2] else { panic!("{applied:?}") };
        assert_eq!((claimed.items[0].id.as_str(), claimed.items[0].fence.0), (name.as_str(), 1));
    }
    assert_eq!((proxy.cuts(), unknown), (ROUNDS, ROUNDS), "every fault must have struck");
    let health = store.health().await.unwrap();
    let count: u64 = health.work_items.iter().map(|(_, count)| count).sum();
    assert_eq!(count, u64::from(ROUNDS), "each item once");
}

/// The same URL with another server in it.
fn through(url: &str, port: u16) -> String {
    let (head, rest) = url.rsplit_once('@').unwrap();
    let (_, tail) = rest.split_once('/').unwrap();
    format!("{head}@127.0.0.1:{port}/{tail}&sslmode=disable")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_whose_connections_the_server_ends_goes_on() {
    let Some(server) = crate::server::url() else { return };
    let schema = Schema::new(server).await.unwrap();
    let store = Arc::new(PostgresStore::open(named(&schema), Env::system()).await.unwrap());
    store.create_task(create("t")).await.unwrap();
    for round in 0..10 {
        let ending = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = '{}'",
            schema.name()
        );
        let ended: i64 = schema.admin().query_one(&ending, &[]).await.unwrap().get(0);
        assert!(ended > 0, "nothing was ended in round {round}");
        let name = format!("i{round}");
        store.enqueue(enqueue(&name, "t")).await.unwrap();
        assert!(store.work_item(&WorkItemId::new(&name).unwrap()).await.unwrap().is_some());
    }
    // In the middle of commits as well: each is applied, refused or unknown, and none twice.
    let working: Vec<_> = (0..20)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for round in 0..20 {
                    let mut batch = Batch::durable();
                    batch.add(enqueue(&format!("w{number}-{round}"), "t"));
                    submitted_until_known(&store, &batch).await;
                }
            })
        })
        .collect();
    let ending = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE application_name = '{}' AND state <> 'idle'",
        schema.name()
    );
    // Ever more seldom, so that a slow machine comes to an end as well.
    let mut pause = Duration::from_millis(20);
    while working.iter().any(|worker| !worker.is_finished()) {
        schema.admin().query(&ending, &[]).await.unwrap();
        tokio::time::sleep(pause).await;
        pause += Duration::from_millis(5);
    }
    for worker in working {
        worker.await.unwrap();
    }
    let health = store.health().await.unwrap();
    let count: u64 = health.work_items.iter().map(|(_, count)| count).sum();
    assert_eq!(count, 10 + 400, "every item, and each once");
}

/// The same batch again after whatever was no answer: one that was surely not applied may be tried once more, and one of
/// which nobody knows must be.
async fn submitted_until_known(store: &PostgresStore, batch: &Batch) {
    let mut last = None;
    for _ in 0..100 {
        match commit_resolved(store, batch.clone(), PATIENCE).await {
            Ok(committed) => return drop(committed.into_applied().unwrap()),
            Err(error) => last = Some(error),
        }
    }
    panic!("no answer: {last:?}");
}

fn named(schema: &Schema) -> PostgresOptions {
    let url = format!("{}&application_name={}", schema.url(), schema.name());
    PostgresOptions::from_url(&url).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_row_that_somebody_keeps_locked_is_waited_for_as_long_as_the_batch_may() {
    let Some(server) = crate::server::url() else { return };
    let schema = Schema::new(server).await.unwrap();
    let store = PostgresStore::open(schema.options(), Env::system()).await.unwrap();
    store.create_task(create("t")).await.unwrap();
    let lock = format!("BEGIN; SELECT 1 FROM {}.tasks FOR UPDATE", schema.name());
    schema.admin().batch_execute(&lock).await.unwrap();
    let mut batch = Batch::durable().wait_at_most(Duration::from_millis(200));
    batch.add(enqueue("i", "t"));
    let error = store.commit(batch.clone()).await.unwrap_err();
    assert!(matches!(error, StoreError::Overloaded { .. }), "{error}");
    schema.admin().batch_execute("ROLLBACK").await.unwrap();
    let committed = store.commit(batch.wait_at_most(PATIENCE)).await.unwrap();
    assert!(matches!(committed, Committed::Applied(applied) if !applied.is_replayed()));
}
