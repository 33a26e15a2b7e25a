//! What came of killing an agent at each of its points.

use std::fmt;

use steadfast_store::OperationKey;

/// On which side of a point an agent was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// It was not done.
    Before,
    /// It was done, and the agent did not hear of it.
    After,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Before => "before",
            Self::After => "after",
        })
    }
}

/// A place at which an agent can be killed: a commit to its store, or an outside effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrashPoint {
    /// Its number within a life, from 0.
    pub index: usize,
    /// What is done there.
    pub what: String,
    /// On which side of it.
    pub side: Side,
}

impl fmt::Display for CrashPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} point {}, {}", self.side, self.index, self.what)
    }
}

/// What a crash at one point led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The agent finished, and every effect happened as often as without a crash.
    Finished,
    /// The agent stopped before a call of which nobody knows, and named it: a person decides.
    InDoubt,
    /// An effect happened again or not at all, or the agent did not finish and nothing is in doubt.
    Broken,
}

/// One crash and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointReport {
    /// Where it was killed.
    pub point: CrashPoint,
    /// Whether a later life came to its end.
    pub finished: bool,
    /// Lives it took, the killed one included.
    pub lives: u32,
    /// Effects that happened more often than without a crash.
    pub repeated: Vec<String>,
    /// Effects that did not happen as often.
    pub missing: Vec<String>,
    /// Operations that the store names as in doubt, of tasks that are there.
    pub in_doubt: Vec<OperationKey>,
    /// What the last life said, when it did not finish.
    pub error: Option<String>,
}

impl PointReport {
    /// What it comes to.
    pub fn verdict(&self) -> Verdict {
        match (self.repeated.is_empty(), self.finished, self.missing.is_empty()) {
            (true, true, true) => Verdict::Finished,
            (true, _, _) if !self.in_doubt.is_empty() => Verdict::InDoubt,
            _ => Verdict::Broken,
        }
    }
}

impl fmt::Display for PointReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict() {
            Verdict::Finished => "finished",
            Verdict::InDoubt => "in doubt",
            Verdict::Broken => "BROKEN",
        };
        write!(f, "{verdict}: killed {}, {} lives", self.point, self.lives)?;
        let lists = [("again", &self.repeated), ("missing", &self.missing)];
        for (what, names) in lists.into_iter().filter(|(_, names)| !names.is_empty()) {
            write!(f, "; {what}: {}", names.join(", "))?;
        }
        for key in &self.in_doubt {
            write!(f, "; in doubt: {key}")?;
        }
        match &self.error {
            Some(error) => write!(f, "; {error}"),
            None => Ok(()),
        }
    }
}

/// What came of all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrashReport {
    /// Commits of the life that nobody ended.
    pub commits: usize,
    /// Effects of that life, each with its number of times.
    pub effects: Vec<(String, u64)>,
    /// One for each point and side.
    pub points: Vec<PointReport>,
    /// Why the agent did not finish although nobody killed it; then no point was tried.
    pub error: Option<String>,
}

impl CrashReport {
    /// Whether the agent finishes by itself and no crash breaks anything.
    pub fn is_clean(&self) -> bool {
        self.error.is_none() && !self.points.is_empty() && self.broken().next().is_none()
    }

    /// The crashes that break something.
    pub fn broken(&self) -> impl Iterator<Item = &PointReport> {
        self.points.iter().filter(|point| point.verdict() == Verdict::Broken)
    }
}

impl fmt::Display for CrashReport {
    /// Every crash, a line each, and a last line that counts them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(error) = &self.error {
            return writeln!(f, "the agent does not finish although nobody kills it: {error}");
        }
        for point in &self.points {
            writeln!(f, "{point}")?;
        }
        let count = |verdict| self.points.iter().filter(|point| point.verdict() == verdict).count();
        writeln!(
            f,
            "{} commits and {} effects: {} crashes, {} finished, {} in doubt, {} broken",
            self.commits,
            self.effects.iter().map(|(_, times)| times).sum::<u64>(),
            self.points.len(),
            count(Verdict::Finished),
            count(Verdict::InDoubt),
            count(Verdict::Broken),
        )
    }
}
