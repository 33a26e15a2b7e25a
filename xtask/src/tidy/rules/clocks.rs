//! Clocks are injected: a component that reads one by itself cannot be simulated.

use super::Banned;
use crate::tidy::Rule;
use crate::tidy::place::{CHAOS, XTASK};

const BANNED: Banned = Banned {
    paths: &[
        "SystemTime::now",
        "Instant::now",
        "clock_gettime",
        "Uuid::now_v1",
        "Uuid::now_v6",
        "Uuid::now_v7",
    ],
    places: &[CHAOS, XTASK],
    file_name: Some("clock.rs"),
    advice: "reads a clock; ask the clock of the `Env`, or give the code a file named clock.rs",
};

/// The row in the table.
pub(crate) const RULE: Rule = Rule {
    name: "clocks",
    forbids: "reading a clock: SystemTime::now, Instant::now, clock_gettime, Uuid::now_v7",
    allowed: "files named clock.rs; crates/chaos, which measures from outside; xtask; test code",
    check: |file, findings| BANNED.check(file, findings),
};

#[cfg(test)]
mod tests {
    use crate::tidy::testing::broken_body;

    #[test]
    fn a_clock_read_outside_its_place_is_found() {
        for body in [
            "fn a() { std::time::Instant::now(); }",
            "fn a() { SystemTime::now(); }",
            "fn a() { rustix::time::clock_gettime(id); }",
            "fn a() -> Option<Instant> { b.then(Instant::now) }",
        ] {
            assert_eq!(broken_body("crates/leases/src/lib.rs", body), [("clocks", 2)], "{body}");
            for path in [
                "crates/store/src/env/clock.rs",
                "crates/chaos/src/main.rs",
                "crates/leases/tests/it/main.rs",
                "xtask/src/main.rs",
            ] {
                assert_eq!(broken_body(path, body), [], "{path}");
            }
        }
    }

    #[test]
    fn comments_literals_and_test_modules_are_free() {
        let body = "/// Unlike `Instant::now()`.\nfn a() { b(\"Instant::now\"); } // SystemTime::now\n\
                    #[cfg(test)]\nmod tests { fn c() { Instant::now(); } }";
        assert_eq!(broken_body("crates/leases/src/lib.rs", body), []);
    }
}
