//! Randomness is injected: one seed must be able to replay everything.

use super::Banned;
use crate::tidy::Rule;
use crate::tidy::place::{CHAOS, CONFORMANCE};

const BANNED: Banned = Banned {
    paths: &["fastrand::", "rand::", "getrandom", "thread_rng", "RandomState", "Uuid::new_v4"],
    places: &[CHAOS, CONFORMANCE],
    file_name: Some("rng.rs"),
    advice: "draws randomness; ask the generator of the `Env`, or give the code a file named rng.rs",
};

/// Put together here, so that this file does not break its own rule.
const DEVICE: &str = concat!("/dev/", "urandom");

/// The row in the table.
pub(crate) const RULE: Rule = Rule {
    name: "randomness",
    forbids: "fastrand, rand, getrandom, the urandom device, thread_rng, RandomState, Uuid::new_v4",
    allowed: "files named rng.rs; crates/store/src/conformance, crates/chaos (they print a seed); test code",
    check: |file, findings| {
        BANNED.check(file, findings);
        let Some(rust) = file.rust.as_ref().filter(|_| !BANNED.allows(&file.path)) else { return };
        for (index, line) in rust.live_literals.lines().enumerate() {
            if line.contains(DEVICE) {
                findings.add(index + 1, format!("`{DEVICE}` {}", BANNED.advice));
            }
        }
    },
};

#[cfg(test)]
mod tests {
    use crate::tidy::testing::broken_body;

    #[test]
    fn randomness_outside_its_place_is_found() {
        for body in [
            "fn a() { fastrand::u64(..); }",
            "use rand::Rng;",
            "fn a() { rustix::rand::getrandom(&mut b, c); }",
            "use getrandom;",
            "fn a() { File::open(\"/dev/urandom\"); }",
            "fn a() { thread_rng(); }",
            "type A = HashMap<u8, u8, std::hash::RandomState>;",
        ] {
            assert_eq!(broken_body("crates/leases/src/lib.rs", body), [("randomness", 2)], "{body}");
            for path in [
                "crates/store/src/env/rng.rs",
                "crates/store/src/conformance/sequences.rs",
                "crates/chaos/src/main.rs",
                "crates/leases/tests/it/main.rs",
            ] {
                assert_eq!(broken_body(path, body), [], "{path}");
            }
        }
    }

    #[test]
    fn a_variable_of_that_name_is_free() {
        assert_eq!(broken_body("crates/leases/src/lib.rs", "fn a(rand: u64) { b(rand); }"), []);
    }
}
