//! Time as the store knows it: its own, which no step of a wall clock moves and which decides every lease, and
//! the wall's, which dates rows for people.

use std::fmt;
use std::time::Duration;

use crate::limits::{DELAY_MAX, TERM_MAX, TERM_MIN};

macro_rules! instant {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(i64);

        impl $name {
            /// From milliseconds since the Unix epoch.
            pub const fn from_millis(millis: i64) -> Self {
                Self(millis)
            }

            /// Milliseconds since the Unix epoch.
            pub const fn as_millis(self) -> i64 {
                self.0
            }

            /// This instant and `span` more, saturating; parts of a millisecond are dropped.
            #[must_use]
            pub fn plus(self, span: Duration) -> Self {
                Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
            }

            /// This instant less `span`, saturating; parts of a millisecond are dropped.
            #[must_use]
            pub fn minus(self, span: Duration) -> Self {
                Self(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
            }

            /// How long `earlier` lies before this instant; zero when it does not.
            pub fn since(self, earlier: Self) -> Duration {
                Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
            }
        }
    };
}

instant! {
    /// The store's own time: grows at the pace of the machine's boot clock, never steps back, and ends all
    /// leases of an earlier boot at once. It starts near the wall clock and reads as one in SQL.
    ///
    /// ```
    /// use {std::time::Duration, steadfast_store::StoreTime};
    ///
    /// let claimed = StoreTime::from_millis(1_000);
    /// let deadline = claimed.plus(Duration::from_secs(300));
    /// assert_eq!(deadline.since(claimed), Duration::from_secs(300));
    /// assert_eq!(claimed.since(deadline), Duration::ZERO);
    /// ```
    StoreTime
}
instant! {
    /// Wall-clock time, as the machine believes it. Dates rows; decides no lease.
    ///
    /// ```
    /// use {std::time::Duration, steadfast_store::WallTime};
    ///
    /// let now = WallTime::from_millis(1_795_500_000_000);
    /// assert!(now.minus(Duration::from_secs(86_400)) < now);
    /// ```
    WallTime
}

/// Both clocks, read once per commit by the store.
///
/// ```
/// use steadfast_store::{Now, StoreTime, WallTime};
///
/// // For a backend: one reading decides and dates a whole group of batches.
/// let now = Now { store: StoreTime::from_millis(5_000), wall: WallTime::from_millis(1_795_500_000_000) };
/// assert!(now.store < StoreTime::from_millis(5_001));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Decides leases, terms and delays.
    pub store: StoreTime,
    /// Dates rows.
    pub wall: WallTime,
}

/// Why a duration is no term or delay. Nothing was written.
///
/// ```
/// use {std::time::Duration, steadfast_store::Delay};
///
/// let error = Delay::new(Duration::MAX).unwrap_err();
/// assert!(error.actual > error.max);
/// println!("{error}");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a {what} of {actual:?} is outside {min:?} to {max:?}: choose one inside these bounds")]
pub struct InvalidSpan {
    /// What the duration was meant for.
    pub what: &'static str,
    /// The duration given.
    pub actual: Duration,
    /// The smallest allowed.
    pub min: Duration,
    /// The largest allowed.
    pub max: Duration,
}

macro_rules! span {
    ($(#[$doc:meta])* $name:ident, $what:literal, $min:expr, $max:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Duration);

        impl $name {
            /// Checks the bounds.
            ///
            /// # Errors
            /// [`InvalidSpan`] outside of them.
            pub fn new(span: Duration) -> Result<Self, InvalidSpan> {
                if span < $min || span > $max {
                    return Err(InvalidSpan { what: $what, actual: span, min: $min, max: $max });
                }
                Ok(Self(span))
            }

            /// The duration.
            pub const fn get(self) -> Duration {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
    };
}

span! {
    /// How long a lease or an operation's ownership lasts without renewal:
    /// [`TERM_MIN`] to [`TERM_MAX`].
    ///
    /// ```
    /// # use {steadfast_store::Term, std::time::Duration};
    /// assert!(Term::new(Duration::from_secs(300)).is_ok());
    /// assert!(Term::new(Duration::ZERO).is_err());
    /// ```
    Term, "term", TERM_MIN, TERM_MAX
}
span! {
    /// How long an item waits before it may be claimed: zero to [`DELAY_MAX`].
    ///
    /// ```
    /// use {std::time::Duration, steadfast_store::Delay};
    ///
    /// let tomorrow = Delay::new(Duration::from_secs(86_400))?;
    /// assert!(tomorrow > Delay::ZERO);
    /// # Ok::<(), steadfast_store::InvalidSpan>(())
    /// ```
    Delay, "delay", Duration::ZERO, DELAY_MAX
}

impl Delay {
    /// No delay.
    pub const ZERO: Self = Self(Duration::ZERO);
}
