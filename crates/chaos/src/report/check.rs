//! One figure held against its limit: what a case finds out, as it is printed and as it stands in the JSON report.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

/// Within this share of its limit a latency or a ratio is *near* it.
const NEAR: f64 = 0.1;

/// What a figure is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Things counted. Never *near* a limit: they hold or they do not.
    Count,
    /// Milliseconds.
    Ms,
    /// Microseconds.
    Us,
    /// A share or a multiple of something measured beside it.
    Ratio,
    /// Hundredths of what was planned.
    Percent,
    /// Things a second.
    PerSecond,
    /// Bytes.
    Bytes,
}

/// How a figure must stand to its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// At most the limit.
    #[serde(rename = "<=")]
    AtMost,
    /// At least the limit.
    #[serde(rename = ">=")]
    AtLeast,
    /// It has none: the figure is reported.
    #[serde(rename = "report")]
    Report,
}

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// It holds.
    Ok,
    /// It holds, but a latency or a ratio is within a tenth of its limit.
    Near,
    /// A latency or a ratio is beyond its limit.
    Over,
    /// Something that must hold does not.
    Failed,
}

/// A figure without a limit yet.
///
/// ```
/// use steadfast_chaos::report::{CheckStatus, Figure};
/// use std::time::Duration;
///
/// assert_eq!(Figure::count("acknowledged_lost", 1).at_most(0.0).status, CheckStatus::Failed);
/// let latency = Figure::duration("create_p95", Duration::from_micros(19_230));
/// assert_eq!(latency.at_most(20.0).status, CheckStatus::Near);
/// ```
#[derive(Debug, Clone)]
#[must_use = "a figure becomes a check by its limit"]
pub struct Figure {
    name: String,
    value: f64,
    unit: Unit,
}

/// A figure, its limit, and what came of the two.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Its name, with words joined by `_`.
    pub name: String,
    /// The figure.
    #[serde(serialize_with = "number")]
    pub value: f64,
    /// What it is measured in.
    pub unit: Unit,
    /// How it must stand to the limit.
    pub op: Op,
    /// The limit, in the same unit; none for a figure that is only reported.
    #[serde(serialize_with = "optional_number")]
    pub limit: Option<f64>,
    /// What came of it.
    pub status: CheckStatus,
    /// Whether a figure beyond its limit only warns.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub advisory: bool,
}

impl Figure {
    /// A figure of any unit.
    pub fn new(name: impl Into<String>, value: f64, unit: Unit) -> Self {
        Self { name: name.into(), value, unit }
    }

    /// Things counted.
    #[allow(clippy::cast_precision_loss, reason = "nothing here is counted up to 2^53")]
    pub fn count(name: impl Into<String>, count: usize) -> Self {
        Self::new(name, count as f64, Unit::Count)
    }

    /// A duration, in milliseconds.
    pub fn duration(name: impl Into<String>, duration: Duration) -> Self {
        Self::new(name, duration.as_secs_f64() * 1_000.0, Unit::Ms)
    }

    /// A share or a multiple.
    pub fn ratio(name: impl Into<String>, ratio: f64) -> Self {
        Self::new(name, ratio, Unit::Ratio)
    }

    /// It must be at most `limit`, which is in the figure's own unit.
    pub fn at_most(self, limit: f64) -> Check {
        self.held_against(Op::AtMost, Some(limit))
    }

    /// It must be at least `limit`, which is in the figure's own unit.
    pub fn at_least(self, limit: f64) -> Check {
        self.held_against(Op::AtLeast, Some(limit))
    }

    /// It has no limit.
    pub fn reported(self) -> Check {
        self.held_against(Op::Report, None)
    }

    fn held_against(self, op: Op, limit: Option<f64>) -> Check {
        let Self { name, value, unit } = self;
        let status = judge(value, unit, op, limit);
        Check { name, value, unit, op, limit, status, advisory: false }
    }
}

/// What is not a number holds against no limit.
fn judge(value: f64, unit: Unit, op: Op, limit: Option<f64>) -> CheckStatus {
    let Some(limit) = limit else { return CheckStatus::Ok };
    let (holds, is_clear) = match op {
        Op::AtMost => (value <= limit, value <= limit * (1.0 - NEAR)),
        Op::AtLeast => (value >= limit, value >= limit * (1.0 + NEAR)),
        Op::Report => (true, true),
    };
    match (holds, unit) {
        (true, Unit::Count) => CheckStatus::Ok,
        (false, Unit::Count) => CheckStatus::Failed,
        (true, _) if is_clear => CheckStatus::Ok,
        (true, _) => CheckStatus::Near,
        (false, _) => CheckStatus::Over,
    }
}

impl Check {
    /// A figure beyond its limit warns and does not fail the case: what it measures is not ours alone.
    #[must_use]
    pub fn advisory(mut self) -> Self {
        self.advisory = true;
        self
    }

    /// The figure belongs just where its limit is: it is not *near* it.
    #[must_use]
    pub fn exact(mut self) -> Self {
        if self.status == CheckStatus::Near {
            self.status = CheckStatus::Ok;
        }
        self
    }

    /// Whether the case fails by it.
    pub fn is_failure(&self) -> bool {
        match self.status {
            CheckStatus::Failed => true,
            CheckStatus::Over => !self.advisory,
            CheckStatus::Ok | CheckStatus::Near => false,
        }
    }

    /// Whether the case is warned of it.
    pub fn is_warning(&self) -> bool {
        !self.is_failure() && self.status != CheckStatus::Ok
    }

    /// The name as people read it.
    pub fn label(&self) -> String {
        let mut label = self.name.replace('_', " ");
        label.get_mut(..1).map(str::make_ascii_uppercase).unwrap_or_default();
        label
    }

    /// The figure with its unit.
    pub fn shown_value(&self) -> String {
        shown(self.value, self.unit)
    }

    /// How it stands to its limit; nothing for a figure that has none.
    pub fn shown_limit(&self) -> String {
        let Some(limit) = self.limit else { return String::new() };
        let symbol = match self.status {
            CheckStatus::Ok => "✓",
            _ if self.is_failure() => "❌",
            _ => "⚠️",
        };
        let near = if self.status == CheckStatus::Near { "near " } else { "" };
        // The direction goes without saying where more is worse, as in the reference.
        let floor = if self.op == Op::AtLeast { "at least " } else { "" };
        format!("{symbol} ({near}threshold: {floor}{})", shown(limit, self.unit))
    }
}

fn shown(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Count | Unit::Bytes => format!("{value:.0}"),
        Unit::Ms if value.fract() == 0.0 => format!("{value:.0}ms"),
        Unit::Ms => format!("{value:.2}ms"),
        Unit::Us => format!("{value:.1}µs"),
        Unit::Ratio => format!("{value:.2}"),
        Unit::Percent => format!("{value:.1}%"),
        Unit::PerSecond => format!("{value:.0}/s"),
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.label(), self.shown_value(), self.shown_limit())
    }
}

/// Whole numbers without a fraction, others to a thousandth.
#[allow(
    clippy::cast_possible_truncation,
    clippy::trivially_copy_pass_by_ref,
    reason = "checked; serde's form"
)]
fn number<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.fract() == 0.0 && value.abs() < 9e15 {
        serializer.serialize_i64(*value as i64)
    } else {
        serializer.serialize_f64((value * 1_000.0).round() / 1_000.0)
    }
}

#[allow(clippy::ref_option, reason = "serde's form")]
fn optional_number<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => number(value, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(value: f64, unit: Unit, op: Op, limit: f64) -> CheckStatus {
        judge(value, unit, op, Some(limit))
    }

    #[test]
    fn a_latency_is_near_within_a_tenth_of_its_limit_and_a_count_never() {
        for (value, expected) in [
            (9.0, CheckStatus::Ok),
            (9.1, CheckStatus::Near),
            (10.0, CheckStatus::Near),
            (10.1, CheckStatus::Over),
        ] {
            assert_eq!(status(value, Unit::Ms, Op::AtMost, 10.0), expected, "{value}");
        }
        for (value, expected) in [
            (1.1, CheckStatus::Ok),
            (1.05, CheckStatus::Near),
            (1.0, CheckStatus::Near),
            (0.9, CheckStatus::Over),
        ] {
            assert_eq!(status(value, Unit::Ratio, Op::AtLeast, 1.0), expected, "{value}");
        }
        assert_eq!(status(0.0, Unit::Count, Op::AtMost, 0.0), CheckStatus::Ok);
        assert_eq!(status(10.0, Unit::Count, Op::AtMost, 10.0), CheckStatus::Ok);
        assert_eq!(status(11.0, Unit::Count, Op::AtMost, 10.0), CheckStatus::Failed);
        assert_eq!(status(0.0, Unit::Count, Op::AtLeast, 1.0), CheckStatus::Failed);
    }

    #[test]
    fn what_is_not_a_number_holds_against_nothing() {
        assert_eq!(status(f64::NAN, Unit::Ms, Op::AtMost, 1.0), CheckStatus::Over);
        assert_eq!(status(f64::NAN, Unit::Count, Op::AtLeast, 0.0), CheckStatus::Failed);
    }

    #[test]
    fn an_advisory_figure_beyond_its_limit_warns() {
        let over = Figure::duration("recover_p99", Duration::from_millis(11)).at_most(10.0);
        assert!(over.is_failure() && !over.is_warning());
        let over = over.advisory();
        assert!(!over.is_failure() && over.is_warning());
        assert!(
            Figure::count("lost", 1).at_most(0.0).advisory().is_failure(),
            "a count fails whatever is said"
        );
    }

    #[test]
    fn a_figure_that_belongs_at_its_limit_is_not_near_it() {
        let share = |share| Figure::new("hit_rate", share, Unit::Percent).at_least(50.0);
        assert_eq!((share(50.0).status, share(50.0).exact().status), (CheckStatus::Near, CheckStatus::Ok));
        assert!(share(49.9).exact().is_failure());
    }

    #[test]
    fn the_json_is_the_one_that_was_agreed_on() {
        let json = |check: &Check| serde_json::to_string(check).unwrap();
        assert_eq!(
            json(&Figure::count("acknowledged_lost", 0).at_most(0.0)),
            r#"{"name":"acknowledged_lost","value":0,"unit":"count","op":"<=","limit":0,"status":"ok"}"#
        );
        assert_eq!(
            json(&Figure::duration("recover_p50", Duration::from_micros(12_345)).reported()),
            r#"{"name":"recover_p50","value":12.345,"unit":"ms","op":"report","limit":null,"status":"ok"}"#
        );
    }

    #[test]
    fn a_check_reads_like_the_reference() {
        let check = Figure::duration("checkpoint_p95", Duration::from_micros(19_230)).at_most(20.0);
        assert_eq!(check.to_string(), "Checkpoint p95: 19.23ms ⚠️ (near threshold: 20ms)");
        let check = Figure::count("kills_in_commit", 3).at_least(1.0);
        assert_eq!(check.to_string(), "Kills in commit: 3 ✓ (threshold: at least 1)");
    }
}
