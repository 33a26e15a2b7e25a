//! The kit for users, on agents of which it is known what is wrong with them.

use std::sync::Arc;
use std::time::Duration;

use steadfast_chaos::kit::{
    BoxError, CrashMatrix, CrashReport, FaultyStore, Side, StoreFault, Verdict, World, crash_matrix,
};
use steadfast_store::env::Env;
use steadfast_store::{
    Batch, CreateTask, Label, MemoryStore, Payload, SqliteOptions, SqliteStore, Store, StoreError, StoreExt,
    TaskId,
};

#[path = "../../examples/crash_matrix.rs"]
mod example;

fn sums(report: &CrashReport) -> [usize; 3] {
    [Verdict::Finished, Verdict::InDoubt, Verdict::Broken]
        .map(|verdict| report.points.iter().filter(|point| point.verdict() == verdict).count())
}

#[test]
fn the_naive_agent_is_found_out_where_it_sends_before_it_notes() {
    let report = crash_matrix(example::naive);
    assert_eq!((report.commits, report.effects.clone()), (2, vec![("mail".to_owned(), 1)]));
    assert_eq!(sums(&report), [4, 0, 2], "{report}");
    for broken in report.broken() {
        assert_eq!((broken.repeated.clone(), broken.finished), (vec!["mail".to_owned()], true), "{broken}");
    }
    let between: Vec<_> = report.broken().map(|broken| (broken.point.index, broken.point.side)).collect();
    assert_eq!(between, [(1, Side::After), (2, Side::Before)]);
}

#[test]
fn the_mended_agent_passes_everywhere_and_its_doubts_are_named() {
    let report = crash_matrix(example::mended);
    assert!(report.is_clean(), "{report}");
    // Killed after the intent: nobody knows, until the commit that tells.
    assert_eq!(sums(&report), [6, 4, 0], "{report}");
    let in_doubt = report.points.iter().filter(|point| point.verdict() == Verdict::InDoubt);
    for point in in_doubt {
        assert!(point.in_doubt[0].as_str().starts_with("tool-ledger:send-mail"), "{point}");
        assert!(point.error.as_ref().is_some_and(|error| error.contains("a person decides")), "{point}");
    }
}

#[test]
fn an_agent_is_tried_on_a_store_of_the_users_choice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let number = std::sync::atomic::AtomicU32::new(0);
    let matrix = CrashMatrix::default().on(move |env: Env| {
        let number = number.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let options = SqliteOptions::new(path.join(format!("{number}.db")));
        async move { Ok(Arc::new(SqliteStore::open(options, env).await?) as Arc<dyn Store>) }
    });
    let report = matrix.run(example::mended);
    assert!(report.is_clean(), "{report}");
    assert_eq!(sums(&report), [6, 4, 0], "{report}");
}

#[test]
fn an_agent_that_never_finishes_is_told_and_no_point_of_it_is_tried() {
    async fn fails(_: World) -> Result<(), BoxError> {
        Err("no model answers".into())
    }
    async fn hangs(_: World) -> Result<(), BoxError> {
        std::future::pending().await
    }
    let report = crash_matrix(fails);
    assert!(!report.is_clean() && report.points.is_empty());
    assert!(report.to_string().contains("although nobody kills it: no model answers"), "{report}");
    let matrix = CrashMatrix::default().life_time(Duration::from_millis(20));
    assert!(matrix.run(hangs).to_string().contains("did not end within 20ms"));
}

#[test]
fn an_agent_that_gives_up_after_a_crash_is_broken_there() {
    async fn timid(world: World) -> Result<(), BoxError> {
        if world.life() > 1 {
            return Err("somebody was here before".into());
        }
        world.effect("mail").await;
        Ok(())
    }
    let report = crash_matrix(timid);
    assert_eq!(sums(&report), [0, 0, 2], "{report}");
    assert_eq!(report.points[0].missing, ["mail"]);
    assert!(report.to_string().contains("missing: mail; somebody was here before"), "{report}");
}

#[test]
fn what_is_left_of_a_killed_agent_does_nothing_any_more() {
    struct Writes(World);
    impl Drop for Writes {
        fn drop(&mut self) {
            let world = self.0.clone();
            // As a destructor would that hands something back.
            if tokio::runtime::Handle::try_current().is_ok() {
                drop(tokio::spawn(async move {
                    world.effect("from the grave").await;
                }));
            }
        }
    }
    let report = crash_matrix(async |world: World| {
        let _writes = Writes(world.clone());
        let beside = world.clone();
        tokio::spawn(async move { beside.effect("beside").await });
        world.effect("mail").await;
        Ok(())
    });
    assert!(report.error.is_none());
    assert!(report.effects.iter().all(|(name, _)| name != "from the grave"), "{report}");
    for point in &report.points {
        assert!(!point.repeated.contains(&"from the grave".to_owned()), "{point}");
    }
}

#[tokio::test]
async fn each_fault_of_a_store_is_what_it_says() {
    let (task, kind) = (TaskId::new("t").unwrap(), Label::new("k").unwrap());
    let create = CreateTask { task: task.clone(), kind, input: Payload::empty() };
    for (fault, is_there) in [
        (StoreFault::Pass, true),
        (StoreFault::Fail, false),
        (StoreFault::Overload, false),
        (StoreFault::LoseBatch, false),
        (StoreFault::LoseAnswer, true),
        (StoreFault::HangBefore, false),
        (StoreFault::HangAfter, true),
    ] {
        let inner = Arc::new(MemoryStore::new(Env::system()));
        let store = FaultyStore::new(inner.clone(), move |_, _: &Batch| fault);
        let mut batch = Batch::durable();
        batch.add(create.clone());
        let answer = tokio::time::timeout(Duration::from_millis(20), store.commit(batch)).await;
        match fault {
            StoreFault::Pass => assert!(matches!(answer, Ok(Ok(_)))),
            StoreFault::Fail => assert!(matches!(answer, Ok(Err(StoreError::Failed { .. })))),
            StoreFault::Overload => assert!(matches!(answer, Ok(Err(StoreError::Overloaded { .. })))),
            StoreFault::LoseBatch | StoreFault::LoseAnswer => {
                assert!(matches!(answer, Ok(Err(StoreError::Unknown { .. }))));
            }
            _ => assert!(answer.is_err(), "{fault:?} answered"),
        }
        assert_eq!(inner.task(&task).await.unwrap().is_some(), is_there, "{fault:?}");
        assert_eq!(store.task(&task).await.unwrap().is_some(), is_there, "reads pass");
        drop(store.create_task(create.clone()));
    }
}
