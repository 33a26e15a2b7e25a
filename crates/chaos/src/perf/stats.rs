//! Samples and what is said of them: median, high quantiles, spread; and two sides measured in turns.
//!
//! Runs of one kind vary by a fifth and more on a shared machine, and drift while they run. What
//! stays is the ratio of two runs side by side, taken many times.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use serde::Serialize;

/// Values of one kind, in one unit, in ascending order. Of no values at all, every figure is NaN,
/// which is within no limit.
///
/// ```
/// use steadfast_chaos::perf::Samples;
///
/// let samples = Samples::new(vec![4.0, 1.0, 3.0, 2.0]);
/// assert_eq!(samples.median(), 2.5);
/// assert_eq!(samples.quantile(0.99), 4.0);
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Samples {
    ascending: Vec<f64>,
}

impl Samples {
    /// Takes the values, in any order and unit.
    pub fn new(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self { ascending: values }
    }

    /// Takes durations, as milliseconds.
    pub fn of_durations_ms(durations: &[Duration]) -> Self {
        Self::new(durations.iter().map(|duration| duration.as_secs_f64() * 1_000.0).collect())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ascending.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ascending.is_empty()
    }

    /// The values, ascending.
    pub fn values(&self) -> &[f64] {
        &self.ascending
    }

    /// The one in the middle; of an even number, the mean of the two there.
    pub fn median(&self) -> f64 {
        let middle = self.len() / 2;
        if self.len() % 2 == 1 {
            self.at(middle)
        } else {
            middle.checked_sub(1).map_or(f64::NAN, |below| f64::midpoint(self.at(below), self.at(middle)))
        }
    }

    /// The smallest value that at least this share (0 to 1) of all values does not exceed: a value
    /// that was measured, never one between two (the *nearest rank*).
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank is at least 0 and at most the number of samples, far below 2^53"
    )]
    pub fn quantile(&self, share: f64) -> f64 {
        let rank = (share.clamp(0.0, 1.0) * self.len() as f64).ceil() as usize;
        self.at(rank.saturating_sub(1))
    }

    /// The smallest.
    pub fn min(&self) -> f64 {
        self.at(0)
    }

    /// The largest.
    pub fn max(&self) -> f64 {
        self.ascending.last().copied().unwrap_or(f64::NAN)
    }

    /// All of it in a few figures.
    pub fn summary(&self) -> Summary {
        Summary {
            count: self.len(),
            min: self.min(),
            p25: self.quantile(0.25),
            p50: self.median(),
            p75: self.quantile(0.75),
            p95: self.quantile(0.95),
            p99: self.quantile(0.99),
            max: self.max(),
        }
    }

    fn at(&self, index: usize) -> f64 {
        self.ascending.get(index).copied().unwrap_or(f64::NAN)
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self::new(values.into_iter().collect())
    }
}

/// Samples in a few figures, in the unit of the samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// How many samples there were.
    pub count: usize,
    /// The smallest.
    pub min: f64,
    /// The lower quartile. From it to `p75` lies the middle half: the spread that is worth quoting.
    pub p25: f64,
    /// The median.
    pub p50: f64,
    /// The upper quartile.
    pub p75: f64,
    /// 95 of 100 are not above it.
    pub p95: f64,
    /// 99 of 100 are not above it.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

impl Summary {
    /// The distance between the quartiles, in the unit of the samples.
    pub fn interquartile_range(&self) -> f64 {
        self.p75 - self.p25
    }
}

/// Median, middle half, smallest and largest: `0.83 (0.81 to 0.90; 0.72 to 1.02)`. Takes a precision.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50, p25, p75, min, max, .. } = self;
        let digits = f.precision().unwrap_or(2);
        write!(f, "{p50:.digits$} ({p25:.digits$} to {p75:.digits$}; {min:.digits$} to {max:.digits$})")
    }
}

/// What two sides gave that took turns.
#[derive(Debug, Clone, PartialEq)]
pub struct Paired {
    /// The subject's figure divided by the base's, for each pair.
    pub ratio: Samples,
    /// The subject's figures.
    pub subject: Samples,
    /// The base's figures.
    pub base: Samples,
}

/// Runs `subject` and `base` in turns, `pairs` times each; every second pair starts with `base`.
///
/// Each run gives one figure, both in one unit, say rows a second or a p50 in microseconds. The two
/// of a pair see the same mood of the machine, so their ratio is steadier than either of them, and
/// the alternating order gives neither the better place. Ratios with a base of 0 are infinite.
///
/// ```
/// use std::{convert::Infallible, num::NonZeroUsize};
/// use steadfast_chaos::perf::paired;
///
/// let pairs = NonZeroUsize::new(15).ok_or("no pairs")?;
/// let outcome = paired(pairs, || Ok::<f64, Infallible>(90.0), || Ok(100.0))?;
/// assert_eq!(outcome.ratio.median(), 0.9);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// The first error of either side; what was measured until then is lost.
pub fn paired<E>(
    pairs: NonZeroUsize,
    mut subject: impl FnMut() -> Result<f64, E>,
    mut base: impl FnMut() -> Result<f64, E>,
) -> Result<Paired, E> {
    let (mut ratios, mut subjects, mut bases) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..pairs.get() {
        let (of_subject, of_base) = if pair % 2 == 0 {
            let of_subject = subject()?;
            (of_subject, base()?)
        } else {
            let of_base = base()?;
            (subject()?, of_base)
        };
        ratios.push(of_subject / of_base);
        subjects.push(of_subject);
        bases.push(of_base);
    }
    Ok(Paired { ratio: Samples::new(ratios), subject: Samples::new(subjects), base: Samples::new(bases) })
}
