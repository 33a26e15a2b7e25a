//! Devices that may harm what stands beside a write: what is done with a log that an earlier boot has left behind. That
//! nothing is lost then is for the campaign `powerloss` to show.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use steadfast_store::env::{Env, Failpoint, Failpoints, ManualClock};
use steadfast_store::{SqliteStore, Store};

use crate::kit::{Place, apply, create, durable, task};

/// Notes how long the log is when the first commit of an opening is due.
#[derive(Debug)]
struct LogLength {
    log: PathBuf,
    seen: Mutex<Vec<u64>>,
}

impl Failpoints for LogLength {
    fn reach(&self, point: Failpoint) {
        if point == Failpoint::CLOCK_COMMIT_BEFORE {
            self.seen.lock().unwrap().push(self.log.metadata().map_or(0, |log| log.len()));
        }
    }
}

/// How long the log still was when a store was opened on what another had left, in the same boot or the next.
async fn log_length_at_first_commit(powersafe_overwrite: bool, reboots: bool) -> u64 {
    let (place, left) = (Place::new(), Place::new());
    let clock = Arc::new(ManualClock::new());
    let env = Env::system().with_clock(Arc::clone(&clock) as _);
    let options = |place: &Place| {
        let mut options = place.options();
        options.powersafe_overwrite = powersafe_overwrite;
        options
    };
    let store = SqliteStore::open(options(&place), env.clone()).await.unwrap();
    apply(&store, durable(create("t"))).await;
    for suffix in ["", "-wal"] {
        std::fs::copy(place.beside(suffix), left.beside(suffix)).unwrap();
    }
    store.close().await;
    if reboots {
        clock.reboot();
    }
    let points = Arc::new(LogLength { log: left.beside("-wal"), seen: Mutex::default() });
    let env = env.with_failpoints(Arc::clone(&points) as _);
    let store = SqliteStore::open(options(&left), env).await.unwrap();
    assert!(store.task(&task("t")).await.unwrap().is_some());
    store.close().await;
    let seen = points.seen.lock().unwrap();
    assert_eq!(seen.len(), 1);
    seen[0]
}

#[tokio::test]
async fn the_log_of_an_earlier_boot_is_folded_before_anything_is_written_behind_it() {
    assert_eq!(log_length_at_first_commit(false, true).await, 0);
    assert_ne!(
        log_length_at_first_commit(false, false).await,
        0,
        "the page cache has all of it in the same boot"
    );
    assert_ne!(log_length_at_first_commit(true, true).await, 0, "a write harms nothing beside it");
}
