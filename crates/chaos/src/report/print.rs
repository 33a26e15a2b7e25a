//! Reports as text: each figure with its threshold and ✓, ⚠️ or ❌, and a last line that counts the cases.

use std::fmt;
use std::time::Duration;

use super::{CaseReport, CaseStatus, Report};

/// Where the figures stand, in characters.
const VALUE_COLUMN: usize = 34;
/// How wide they are.
const VALUE_WIDTH: usize = 12;

impl CaseReport {
    /// The line above its figures.
    pub fn heading(&self) -> String {
        format!("{} ({}):", self.title, self.id)
    }
}

impl fmt::Display for CaseReport {
    /// The figures, a line each, then what came of it; the heading is printed when the case begins.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in &self.checks {
            let label = format!("{}:", check.label());
            let line =
                format!("  {label:VALUE_COLUMN$}{:VALUE_WIDTH$}{}", check.shown_value(), check.shown_limit());
            writeln!(f, "{}", line.trim_end())?;
        }
        let faults: Vec<_> =
            self.faults_fired.iter().map(|(fault, times)| format!("{fault} {times}")).collect();
        if !faults.is_empty() {
            writeln!(f, "  Faults fired: {}", faults.join(", "))?;
        }
        let verdict = match self.status {
            CaseStatus::Passed => "✅ passed",
            CaseStatus::Warned => "⚠️ passed with a warning",
            CaseStatus::Failed => "❌ FAILED",
            CaseStatus::Skipped => "skipped",
        };
        if self.status == CaseStatus::Skipped {
            return writeln!(f, "  {verdict}: {}", self.notes.join("; "));
        }
        let took = seconds(self.duration_ms);
        writeln!(f, "  {verdict}: {}/{} carried out in {took}", self.succeeded, self.planned)?;
        for note in &self.notes {
            writeln!(f, "  {note}")?;
        }
        if let Some(kept) = &self.kept {
            writeln!(f, "  kept: {}", kept.display())?;
        }
        if self.status == CaseStatus::Failed {
            writeln!(f, "  again: {}", self.reproduce)?;
        }
        Ok(())
    }
}

impl Report {
    /// `=== 2 passed in 5.23s ===`, with what else there was.
    pub fn last_line(&self) -> String {
        let counts = [
            (self.passed, "passed"),
            (self.warned, "warned"),
            (self.failed, "failed"),
            (self.skipped, "skipped"),
        ];
        let mut told: Vec<String> = Vec::new();
        for (count, what) in counts {
            if count > 0 {
                told.push(format!("{count} {what}"));
            }
        }
        if told.is_empty() {
            told.push("0 passed".to_owned());
        }
        format!("=== {} in {} ===", told.join(", "), seconds(self.duration_ms))
    }
}

fn seconds(millis: u64) -> String {
    format!("{:.2}s", Duration::from_millis(millis).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{Figure, status_of};
    use super::*;

    fn case(status: CaseStatus) -> CaseReport {
        CaseReport {
            id: "kill9_recovery",
            title: "Kill -9 Recovery",
            status,
            duration_ms: 1_500,
            runs: 5,
            planned: 5,
            succeeded: 5,
            faults_fired: BTreeMap::new(),
            reproduce: "cargo xtask chaos kill9_recovery --seed 1".to_owned(),
            checks: vec![Figure::count("acknowledged_lost", 0).at_most(0.0)],
            notes: Vec::new(),
            kept: None,
        }
    }

    #[test]
    fn the_last_line_counts_what_there_was() {
        let mut report = Report::new("chaos", "sqlite", 1, "unknown".to_owned());
        report.duration_ms = 5_230;
        assert_eq!(report.last_line(), "=== 0 passed in 5.23s ===");
        report.add(case(CaseStatus::Passed));
        report.add(case(CaseStatus::Passed));
        assert_eq!(report.last_line(), "=== 2 passed in 5.23s ===");
        report.add(case(CaseStatus::Failed));
        report.add(case(CaseStatus::Skipped));
        assert_eq!(report.last_line(), "=== 2 passed, 1 failed, 1 skipped in 5.23s ===");
    }

    #[test]
    fn a_failure_prints_how_to_see_it_again() {
        let printed = case(CaseStatus::Failed).to_string();
        assert!(printed.contains("  Acknowledged lost:"), "{printed}");
        assert!(printed.ends_with("again: cargo xtask chaos kill9_recovery --seed 1\n"), "{printed}");
        assert!(!case(CaseStatus::Passed).to_string().contains("again"));
    }

    #[test]
    fn the_worst_check_decides() {
        let good = Figure::count("lost", 0).at_most(0.0);
        let near = Figure::ratio("hit", 0.95).at_most(1.0);
        let bad = Figure::count("lost", 1).at_most(0.0);
        assert_eq!(status_of(std::slice::from_ref(&good), false), CaseStatus::Passed);
        assert_eq!(status_of(std::slice::from_ref(&good), true), CaseStatus::Failed);
        assert_eq!(status_of(&[good.clone(), near.clone()], false), CaseStatus::Warned);
        assert_eq!(status_of(&[good, near, bad], false), CaseStatus::Failed);
    }

    #[test]
    fn the_report_has_the_agreed_fields_in_their_order() {
        let mut report = Report::new("chaos", "sqlite", 1, "unknown".to_owned());
        report.add(case(CaseStatus::Passed));
        let json = serde_json::to_string(&report).unwrap();
        let expected = concat!(
            r#"{"matrix":"chaos","backend":"sqlite","seed":1,"commit":"unknown","duration_ms":0,"passed":1,"#,
            r#""warned":0,"failed":0,"skipped":0,"cases":[{"id":"kill9_recovery","title":"Kill -9 Recovery","#,
            r#""status":"passed","duration_ms":1500,"planned":5,"succeeded":5,"#,
            r#""reproduce":"cargo xtask chaos kill9_recovery --seed 1","checks":[{"name":"acknowledged_lost","#,
            r#""value":0,"unit":"count","op":"<=","limit":0,"status":"ok"}]}]}"#
        );
        assert_eq!(json, expected);
    }
}
