//! Threads, tasks and processes are started through the environment: a simulation must know
//! everything that runs.

use super::Banned;
use crate::tidy::Rule;
use crate::tidy::place::{CHAOS, ENV, EXPLORED_SYNC, SYNC, XTASK};

const BANNED: Banned = Banned {
    paths: &[
        "tokio::spawn",
        "tokio::task::spawn",
        "tokio::task::JoinSet",
        // Whoever holds a handle can spawn by a method, which no path shows.
        "tokio::runtime::",
        "thread::spawn",
        "thread::scope",
        "thread::Builder",
        "spawn_blocking",
        "spawn_local",
        // Not `Command::new`: the store has commands of its own.
        "process::Command",
    ],
    places: &[ENV, SYNC, EXPLORED_SYNC, CHAOS, XTASK],
    file_name: None,
    advice: "starts a task, thread or process; spawn through the `Env`",
};

/// The row in the table.
pub(crate) const RULE: Rule = Rule {
    name: "spawning",
    forbids: "tokio::{spawn, runtime}, spawn_blocking, thread::{spawn, scope, Builder}, process::Command",
    allowed: "crates/store/src/env, crates/store/src/sync.rs and schedules/sync.rs, crates/chaos, xtask, test code",
    check: |file, findings| BANNED.check(file, findings),
};

#[cfg(test)]
mod tests {
    use crate::tidy::testing::broken_body;

    #[test]
    fn spawning_outside_its_place_is_found() {
        for body in [
            "fn a() { tokio::spawn(b); }",
            "use std::thread; fn a() { thread::spawn(b); }",
            "fn a() { std::thread::Builder::new(); }",
            "fn a() { tokio::task::spawn_blocking(b); }",
            "use tokio::runtime::Handle;",
            "use std::process::Command; fn a() { Command::new(b); }",
            "use std::process; fn a() { process::Command::new(b); }",
        ] {
            assert_eq!(broken_body("crates/leases/src/lib.rs", body), [("spawning", 2)], "{body}");
            for path in [
                "crates/store/src/env/tokio.rs",
                "crates/store/src/sync.rs",
                "crates/store/src/schedules/sync.rs",
                "crates/chaos/src/main.rs",
                "crates/leases/tests/it/main.rs",
                "xtask/src/main.rs",
            ] {
                assert_eq!(broken_body(path, body), [], "{path}");
            }
        }
    }

    #[test]
    fn the_environment_and_commands_of_the_store_are_free() {
        let body = "use crate::Command; fn a() { Command::new(b); env.spawn(c); env.spawn_blocking(d); }";
        assert_eq!(broken_body("crates/leases/src/lib.rs", body), []);
    }
}
