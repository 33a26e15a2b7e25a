//! Why a case failed, as a sentence, and the checks that say it.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// Why a case failed: a sentence, and where in the suite it was noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(String);

/// What a case ends with.
pub(super) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    #[track_caller]
    pub(super) fn new(sentence: impl fmt::Display) -> Self {
        let at = Location::caller();
        let file = at.file().rsplit(['/', '\\']).next().unwrap_or_default();
        Self(format!("{sentence} [{file}:{}]", at.line()))
    }

    /// The same, with what came before it in front.
    pub(super) fn within(self, context: impl fmt::Display) -> Self {
        Self(format!("{context}: {}", self.0))
    }

    fn of_panic(panic: &(dyn Any + Send)) -> Self {
        let said = panic
            .downcast_ref::<&str>()
            .map(|said| (*said).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "without a message".to_owned());
        Self(format!("it panicked: {said}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// So that cases can use `?` on every error. For that, a `Failure` is no `Error` itself.
impl<E: Error> From<E> for Failure {
    #[track_caller]
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

/// Ends the case with a sentence unless the condition holds.
macro_rules! check {
    ($condition:expr, $($sentence:tt)+) => {
        if !$condition {
            return Err($crate::conformance::failure::Failure::new(format_args!($($sentence)+)));
        }
    };
}

/// Ends the case with a sentence, and both values, unless they are equal.
macro_rules! check_eq {
    ($found:expr, $expected:expr, $($sentence:tt)+) => {
        // Not `let`: so that what either side borrows from lives as long as the comparison.
        match (&$found, &$expected) {
            (found, expected) if found == expected => {}
            (found, expected) => {
                let sentence = format!($($sentence)+);
                return Err($crate::conformance::failure::Failure::new(format_args!(
                    "{sentence}: found {found:?}, expected {expected:?}"
                )));
            }
        }
    };
}

/// Ends the case with a sentence, and the value, unless it is of the pattern.
macro_rules! check_matches {
    ($found:expr, $pattern:pat $(if $guard:expr)?, $($sentence:tt)+) => {
        match &$found {
            $pattern $(if $guard)? => {}
            found => {
                let (sentence, expected) = (format!($($sentence)+), stringify!($pattern $(if $guard)?));
                return Err($crate::conformance::failure::Failure::new(format_args!(
                    "{sentence}: found {found:?}, expected {expected}"
                )));
            }
        }
    };
}

pub(super) use {check, check_eq, check_matches};

/// Runs `future`; a panic in it becomes a failure.
pub(super) async fn caught<T>(future: impl Future<Output = T>) -> Outcome<T> {
    let mut future = pin!(future);
    // After a panic the future is not polled again, so nobody meets what it left half done.
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(Failure::of_panic(&*panic))),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_a_failure_that_says_what_it_said() {
        let failure = caught(async { panic!("a fence {}", "shrank") }).await.unwrap_err();
        assert_eq!(failure.to_string(), "it panicked: a fence shrank");
        assert_eq!(caught(async { 7 }).await, Ok(7));
    }

    #[test]
    fn the_checks_say_what_they_found_and_where() {
        fn fences(found: u64) -> Outcome {
            check!(found > 0, "no fence was given");
            check_eq!(found, 2, "the fence of {}", "a");
            Ok(())
        }
        assert_eq!(fences(2), Ok(()));
        assert!(fences(0).unwrap_err().to_string().starts_with("no fence was given [failure.rs:"));
        assert!(
            fences(1)
                .unwrap_err()
                .to_string()
                .starts_with("the fence of a: found 1, expected 2 [failure.rs:")
        );
    }
}
