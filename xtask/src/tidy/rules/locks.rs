//! Locks and channels come from one small module, so that a schedule explorer can replace them.

use super::Banned;
use crate::tidy::Rule;
use crate::tidy::place::CHAOS;

const BANNED: Banned = Banned {
    paths: &[
        "std::sync::Mutex",
        "std::sync::RwLock",
        "std::sync::Condvar",
        "std::sync::mpsc",
        "parking_lot::",
        "crossbeam::",
        "crossbeam_channel::",
        "tokio::sync::",
    ],
    places: &[CHAOS],
    file_name: Some("sync.rs"),
    advice: "is a lock or channel that no explorer can replace; take it from the store's `sync` module",
};

/// The row in the table.
pub(crate) const RULE: Rule = Rule {
    name: "locks",
    forbids: "std::sync::{Mutex, RwLock, Condvar, mpsc}, parking_lot, crossbeam, tokio::sync",
    allowed: "files named sync.rs, crates/chaos, test code",
    check: |file, findings| BANNED.check(file, findings),
};

#[cfg(test)]
mod tests {
    use crate::tidy::testing::broken_body;

    #[test]
    fn a_lock_or_channel_outside_its_place_is_found() {
        for body in [
            "use std::sync::{Arc, Mutex};",
            "use std::sync::RwLock;",
            "type A = std::sync::Condvar;",
            "use std::sync::mpsc::channel;",
            "use parking_lot::Mutex;",
            "fn a() { crossbeam::channel::bounded(1); }",
            "use tokio::sync::{Notify, oneshot};",
        ] {
            assert_eq!(broken_body("crates/leases/src/lib.rs", body), [("locks", 2)], "{body}");
            for path in
                ["crates/store/src/sync.rs", "crates/chaos/src/main.rs", "crates/leases/tests/it/main.rs"]
            {
                assert_eq!(broken_body(path, body), [], "{path}");
            }
        }
    }

    #[test]
    fn shared_ownership_atomics_and_the_one_module_are_free() {
        let body = "use std::sync::{Arc, OnceLock, atomic::AtomicU64};\nuse steadfast_store::sync::Mutex;";
        assert_eq!(broken_body("crates/leases/src/lib.rs", body), []);
    }
}
