//! Waiting for time to pass is injected with the clock: simulated time must wake every sleeper.

use super::Banned;
use crate::tidy::Rule;
use crate::tidy::place::{CHAOS, ENV, SYNC, XTASK};

const BANNED: Banned = Banned {
    paths: &[
        "thread::sleep",
        "thread::sleep_until",
        "thread::park_timeout",
        "tokio::time::sleep",
        "tokio::time::sleep_until",
        "tokio::time::timeout",
        "tokio::time::timeout_at",
        "tokio::time::interval",
        "tokio::time::interval_at",
    ],
    places: &[ENV, SYNC, CHAOS, XTASK],
    file_name: None,
    advice: "waits by a clock of its own; sleep through the `Env`",
};

/// The row in the table.
pub(crate) const RULE: Rule = Rule {
    name: "sleeping",
    forbids: "thread::sleep, thread::park_timeout, and sleep, timeout and interval of tokio::time",
    allowed: "crates/store/src/env, crates/store/src/sync.rs, crates/chaos, xtask, test code",
    check: |file, findings| BANNED.check(file, findings),
};

#[cfg(test)]
mod tests {
    use crate::tidy::testing::broken_body;

    #[test]
    fn sleeping_outside_its_place_is_found() {
        for body in [
            "fn a() { std::thread::sleep(b); }",
            "use tokio::time::{Duration, sleep};",
            "async fn a() { tokio::time::timeout(b, c).await; }",
            "async fn a() { tokio::time::interval(b).tick().await; }",
        ] {
            assert_eq!(broken_body("crates/leases/src/lib.rs", body), [("sleeping", 2)], "{body}");
            for path in [
                "crates/store/src/env/tokio.rs",
                "crates/store/src/sync.rs",
                "crates/chaos/src/main.rs",
                "crates/leases/tests/it/main.rs",
                "xtask/src/main.rs",
            ] {
                assert_eq!(broken_body(path, body), [], "{path}");
            }
        }
    }

    #[test]
    fn sleeping_through_the_environment_is_free() {
        assert_eq!(broken_body("crates/leases/src/lib.rs", "async fn a() { env.sleep(b).await; }"), []);
    }
}
