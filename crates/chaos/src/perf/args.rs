//! The command line of the performance matrix.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::cases;
use crate::cli::MatrixArgs;

/// A slower device than this would be none to run a store on.
const DELAY_MAX: Duration = Duration::from_secs(10);

/// What `perf` takes beside what every matrix takes.
#[derive(Debug, Clone, Args)]
pub struct PerfArgs {
    #[command(flatten)]
    matrix: MatrixArgs,
    /// Add this to every sync, of the floor and of the store alike: `2ms` makes the disk an ordinary one.
    #[arg(long, value_name = "SPAN", value_parser = span)]
    sync_delay: Option<Duration>,
}

impl PerfArgs {
    /// Runs the matrix.
    pub fn run(mut self) -> ExitCode {
        self.matrix.name_if_none(cases::BY_DEFAULT);
        self.matrix.run("perf", cases::CASES, self.sync_delay)
    }
}

/// Reads `2ms`, `500us` or `1s`.
fn span(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|digit: char| digit.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let of_unit = match unit {
        "us" | "µs" => Duration::from_micros,
        "ms" => Duration::from_millis,
        "s" => Duration::from_secs,
        _ => return Err("give a number and its unit: 500us, 2ms or 1s".to_owned()),
    };
    let number = number.parse().map_err(|_| "give a number before its unit: 2ms".to_owned())?;
    Some(of_unit(number)).filter(|span| *span <= DELAY_MAX).ok_or_else(|| format!("at most {DELAY_MAX:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_needs_its_unit() {
        assert_eq!(span("2ms"), Ok(Duration::from_millis(2)));
        assert_eq!(span("500us"), Ok(Duration::from_micros(500)));
        assert_eq!(span("1s"), Ok(Duration::from_secs(1)));
        for wrong in ["", "2", "ms", "2 ms", "-2ms", "11s", "2m", "99999999999999999999s"] {
            assert!(span(wrong).is_err(), "{wrong:?}");
        }
    }
}
