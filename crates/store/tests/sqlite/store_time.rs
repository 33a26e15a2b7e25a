//! Store time: no step of the wall clock ends or extends a lease, a reboot ends all of them at once, and time never
//! runs backwards.

use std::sync::Arc;
use std::time::Duration;

use steadfast_store::env::{Env, ManualClock};
use steadfast_store::{
    Delay, Enqueue, Fence, FinishOperation, OperationEnd, OperationKey, OperationStatus, Reason, Reclaimed,
    Renew, SqliteStore, Store, StoreError, StoreExt, StoreTime, SweepExpired, Term, TransitionId,
};

use crate::furnished::begin;
use crate::kit::{Kept, Place, apply, assert_is, claim, create, durable, enqueue, item, payload};

const DAY_MS: i64 = 86_400_000;
const TERM: Duration = Duration::from_secs(60);
const MOMENT: Duration = Duration::from_millis(1);

fn environment() -> (Arc<ManualClock>, Env) {
    let clock = Arc::new(ManualClock::new());
    (Arc::clone(&clock), Env::system().with_clock(clock))
}

async fn now(store: &SqliteStore) -> StoreTime {
    store.health().await.unwrap().store_time
}

async fn sweep(store: &SqliteStore) -> Vec<Reclaimed> {
    let sweep = SweepExpired { sweep: TransitionId::generate(&Env::system()), limit: 100 };
    store.sweep_expired(sweep).await.unwrap().reclaimed
}

/// A task with an item under a lease, an item that waits for its time, and an operation under way, all for one term.
async fn furnish(store: &SqliteStore) -> OperationKey {
    apply(store, durable(create("t"))).await;
    apply(store, durable(enqueue("held", "t"))).await;
    assert_eq!(store.claim(claim(store.env(), TERM)).await.unwrap().items.len(), 1);
    apply(store, durable(Enqueue { delay: Delay::new(TERM).unwrap(), ..enqueue("delayed", "t") })).await;
    let key = OperationKey::new("tool-ledger:1").unwrap();
    store.begin_operation(begin(&key)).await.unwrap();
    key
}

/// Whether, at this moment, the lease, the delay and the operation of [`furnish`] have come to their ends.
async fn have_ended(store: &SqliteStore, key: &OperationKey) -> [bool; 3] {
    let reclaimed = !sweep(store).await.is_empty();
    let claimed = store.claim(claim(store.env(), TERM)).await.unwrap().items;
    let delayed = claimed.iter().any(|found| found.id == item("delayed"));
    let taken = store.begin_operation(begin(key)).await.unwrap_err();
    let operation = match taken.reason().unwrap() {
        Reason::OperationInFlight { .. } => false,
        Reason::OperationInDoubt { .. } => true,
        other => panic!("{other:?}"),
    };
    [reclaimed, delayed, operation]
}

#[tokio::test]
async fn a_wall_clock_that_steps_neither_ends_nor_extends_anything() {
    for step in [DAY_MS, -DAY_MS] {
        let place = Place::new();
        let (clock, env) = environment();
        let store = place.open_in(env.clone()).await;
        let key = furnish(&store).await;
        clock.step_wall(step);
        assert_eq!(store.health().await.unwrap().clock_distance_ms(), step);
        assert_eq!(have_ended(&store, &key).await, [false; 3], "at once after {step}");
        clock.advance(TERM.saturating_sub(MOMENT));
        assert_eq!(have_ended(&store, &key).await, [false; 3], "before the term's end after {step}");
        clock.advance(MOMENT);
        assert_eq!(have_ended(&store, &key).await, [true; 3], "at the term's end after {step}");
        Kept::begin(&store).await.goes_on(&store).await;
    }
}

#[tokio::test]
async fn a_wall_clock_that_steps_while_the_store_is_closed_changes_nothing_either() {
    for step in [DAY_MS, -DAY_MS] {
        let place = Place::new();
        let (clock, env) = environment();
        let store = place.open_in(env.clone()).await;
        let key = furnish(&store).await;
        store.close().await;
        clock.step_wall(step);
        clock.advance(TERM.saturating_sub(MOMENT));
        let store = place.open_in(env.clone()).await;
        assert_eq!(have_ended(&store, &key).await, [false; 3], "before the term's end after {step}");
        clock.advance(MOMENT);
        assert_eq!(have_ended(&store, &key).await, [true; 3], "at the term's end after {step}");
    }
}

#[tokio::test]
async fn a_renewal_after_a_step_lasts_one_term_from_then() {
    for step in [DAY_MS, -DAY_MS] {
        let place = Place::new();
        let (clock, env) = environment();
        let store = place.open_in(env).await;
        furnish(&store).await;
        let guard = store.work_item(&item("held")).await.unwrap().unwrap().guard();
        clock.advance(TERM / 2);
        clock.step_wall(step);
        let renewed = store.renew(Renew { guard, term: Term::new(TERM).unwrap() }).await.unwrap();
        assert_eq!(renewed.expires_at, now(&store).await.plus(TERM));
        clock.advance(TERM.saturating_sub(MOMENT));
        assert!(sweep(&store).await.is_empty());
        clock.advance(MOMENT);
        assert_eq!(sweep(&store).await.len(), 1);
    }
}

#[tokio::test]
async fn within_one_boot_time_goes_on_over_a_reopening() {
    let place = Place::new();
    let (clock, env) = environment();
    let store = place.open_in(env.clone()).await;
    let began = now(&store).await;
    store.close().await;
    clock.step_wall(-DAY_MS);
    let store = place.open_in(env.clone()).await;
    assert_eq!(now(&store).await, began);
    clock.advance(Duration::from_secs(5));
    let handle = place.open_in(env).await;
    assert_eq!(now(&store).await, began.plus(Duration::from_secs(5)));
    assert_eq!(now(&handle).await, now(&store).await);
}

#[tokio::test]
async fn a_reboot_ends_every_earlier_lease_at_once() {
    for step in [0, -3 * DAY_MS, 3 * DAY_MS] {
        let place = Place::new();
        let (clock, env) = environment();
        let store = place.open_in(env.clone()).await;
        furnish(&store).await;
        apply(&store, durable(enqueue("longest", "t"))).await;
        let week = steadfast_store::limits::TERM_MAX;
        assert_eq!(store.claim(claim(store.env(), week)).await.unwrap().items.len(), 1);
        let patient = Enqueue { delay: Delay::new(week * 2).unwrap(), ..enqueue("patient", "t") };
        apply(&store, durable(patient)).await;
        let last = now(&store).await;
        store.close().await;

        clock.step_wall(step);
        clock.reboot();
        let store = place.open_in(env.clone()).await;
        assert!(now(&store).await > last, "after a step of {step}");
        let mut ended: Vec<_> = sweep(&store).await.into_iter().map(|one| (one.item, one.stale)).collect();
        ended.sort();
        assert_eq!(ended, [(item("held"), Fence(1)), (item("longest"), Fence(1))], "after a step of {step}");
        let again = store.claim(claim(store.env(), TERM)).await.unwrap().items;
        assert!(
            again.iter().filter(|found| found.id != item("delayed")).all(|found| found.fence == Fence(3))
        );
        assert!(again.iter().all(|found| found.id != item("patient")), "what waits goes on waiting");
        // The new boot has one anchor too.
        let began = now(&store).await;
        store.close().await;
        assert_eq!(now(&place.open_in(env).await).await, began);
    }
}

#[tokio::test]
async fn time_never_runs_backwards_over_reboots() {
    let place = Place::new();
    let (clock, env) = environment();
    let mut last = StoreTime::from_millis(0);
    for round in 0..6_u32 {
        let store = place.open_in(env.clone()).await;
        assert!(now(&store).await > last, "round {round}");
        clock.advance(Duration::from_secs(u64::from(round) * 1_000));
        store.create_task(create(&format!("round {round}"))).await.unwrap();
        last = now(&store).await;
        store.close().await;
        clock.step_wall(-2 * DAY_MS);
        clock.reboot();
    }
}

/// The bound that a new boot starts from must have reached the file before any time up to it is given out, also when
/// the group that was to write it has failed.
#[tokio::test]
async fn time_given_out_after_a_failed_group_is_not_given_out_again_after_a_reboot() {
    let place = Place::new();
    let (clock, env) = environment();
    let store = place.open_in(env.clone()).await;
    let poison = "CREATE TRIGGER poison BEFORE INSERT ON tasks WHEN NEW.task_key = 'poison'
                  BEGIN SELECT RAISE(ABORT, 'poisoned'); END";
    place.raw().execute_batch(poison).unwrap();
    clock.advance(Duration::from_secs(3_600));
    assert_is!(store.commit(durable(create("poison"))).await, Err(StoreError::Failed { .. }));
    apply(&store, durable(create("t"))).await;
    apply(&store, durable(enqueue("item", "t"))).await;
    let given_out = store.work_item(&item("item")).await.unwrap().unwrap().available_at;
    store.close().await;
    clock.step_wall(-2 * DAY_MS);
    clock.reboot();
    let store = place.open_in(env).await;
    assert!(now(&store).await > given_out, "store time ran backwards");
}

#[tokio::test]
async fn an_operation_of_before_a_reboot_is_in_doubt_until_its_token_ends_it() {
    let place = Place::new();
    let (clock, env) = environment();
    let store = place.open_in(env.clone()).await;
    let key = OperationKey::new("tool-ledger:1").unwrap();
    let begun = begin(&key);
    apply(&store, durable(create("t"))).await;
    let token = begun.token;
    store.begin_operation(begun).await.unwrap();
    store.close().await;
    clock.reboot();
    let store = place.open_in(env).await;
    let refused = store.begin_operation(begin(&key)).await.unwrap_err();
    assert_is!(refused.reason().unwrap(), Reason::OperationInDoubt { token: first } if *first == token);
    let end = OperationEnd::Succeeded(payload("late"));
    let ended = store.finish_operation(FinishOperation { key, token, end }).await.unwrap();
    assert_eq!(ended.status, OperationStatus::Succeeded);
}
