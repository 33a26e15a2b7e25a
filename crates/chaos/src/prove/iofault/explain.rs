//! What may be in a file, given what callers were told: each course of events that explains all the answers, and what
//! the same course leaves on a device that never fails.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::acts::Scenario;
use super::content::Content;
use super::subject::{Answer, Subject, Told};
use crate::case::CaseError;

/// What had happened to the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Survived {
    /// Its process was killed, or closed it.
    Kill,
    /// The device lost its power.
    PowerLoss,
}

/// A batch that was done, or refused, at its moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Deed {
    /// Which act it was.
    pub(super) act: usize,
    /// How much time had passed.
    after: Duration,
    /// Whether it was refused.
    is_refused: bool,
}

/// A course of events: what was done, in order, and how much of it must have survived a power loss.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Course {
    /// What was done or refused.
    pub(super) deeds: Vec<Deed>,
    /// So many of these were acknowledged as durable, or came before one that was.
    durable: usize,
}

impl Course {
    fn has(&self, act: usize) -> bool {
        self.deeds.iter().any(|deed| deed.act == act && !deed.is_refused)
    }

    fn with(mut self, act: usize, after: Duration, is_refused: bool) -> Self {
        self.deeds.push(Deed { act, after, is_refused });
        self
    }

    /// An answer that only what is done can have had makes it durable, if its class is.
    fn acknowledged(mut self, act: usize, scenario: &Scenario) -> Self {
        let is_durable = scenario.submission(act).is_some_and(super::acts::Submission::is_durable);
        if is_durable {
            let last = self.deeds.iter().rposition(|deed| deed.act == act && !deed.is_refused);
            self.durable = self.durable.max(last.map_or(0, |last| last + 1));
        }
        self
    }

    /// This course, and for a power loss each beginning of it that holds what must be there.
    pub(super) fn remains(&self, survived: Survived) -> Vec<Self> {
        let shortest = if survived == Survived::Kill { self.deeds.len() } else { self.durable };
        let cut = |length| Self { deeds: self.deeds[..length].to_vec(), durable: self.durable };
        (shortest..=self.deeds.len()).rev().map(cut).collect()
    }
}

/// All courses that go on from these and give these answers. None, when no course of events does.
pub(super) fn courses(from: Vec<Course>, told: &[Told], scenario: &Scenario) -> Vec<Course> {
    told.iter().fold(from, |courses, told| {
        courses.into_iter().flat_map(|course| goes_on(course, told, scenario)).collect()
    })
}

fn goes_on(course: Course, told: &Told, scenario: &Scenario) -> Vec<Course> {
    let Told { act, after, answer } = told;
    let (act, after) = (*act, *after);
    let is_repeatable = scenario.submission(act).is_some_and(|submission| submission.is_repeatable);
    let may_be_done = is_repeatable || !course.has(act);
    match answer {
        // A second time would be a second effect.
        Answer::Applied if !may_be_done => Vec::new(),
        Answer::Applied => vec![course.with(act, after, false).acknowledged(act, scenario)],
        Answer::Replayed if !course.has(act) => Vec::new(),
        Answer::Replayed => vec![course.acknowledged(act, scenario)],
        Answer::Rejected => vec![course.with(act, after, true)],
        Answer::Unknown if may_be_done => vec![course.clone(), course.with(act, after, false)],
        Answer::Unknown | Answer::Failed | Answer::DiskFull | Answer::NotOpen | Answer::Other(_) => {
            vec![course]
        }
    }
}

/// A device that never fails: what a course of events leaves there, worked out once for each.
pub(super) struct Healthy<'a> {
    scenario: &'a Scenario,
    base: Option<PathBuf>,
    folder: PathBuf,
    known: HashMap<Vec<Deed>, Option<Content>>,
}

impl<'a> Healthy<'a> {
    /// `base` is the file before the first act, if there is one; `folder` is the caller's to remove.
    pub(super) fn new(scenario: &'a Scenario, base: Option<PathBuf>, folder: &Path) -> Self {
        Self { scenario, base, folder: folder.to_owned(), known: HashMap::new() }
    }

    /// What this course leaves; nothing when the store answers otherwise than the course has it.
    pub(super) fn content(&mut self, course: &Course) -> Result<Option<Content>, CaseError> {
        if let Some(known) = self.known.get(&course.deeds) {
            return Ok(known.clone());
        }
        let database = self.folder.join("healthy.db");
        drop(fs::remove_file(&database));
        if let Some(base) = &self.base {
            fs::copy(base, &database).map_err(CaseError::io("copying a database"))?;
        }
        let content = self.follow(course, &database)?;
        self.known.insert(course.deeds.clone(), content.clone());
        Ok(content)
    }

    fn follow(&self, course: &Course, database: &Path) -> Result<Option<Content>, CaseError> {
        if !course.deeds.is_empty() {
            let mut subject = Subject::new(database, self.scenario, Duration::ZERO);
            subject.open();
            for deed in &course.deeds {
                subject.wait(deed.after.saturating_sub(subject.after()));
                let Some(submission) = self.scenario.submission(deed.act) else { return Ok(None) };
                subject.submit(deed.act, &submission.batch, None);
                let expected = if deed.is_refused { Answer::Rejected } else { Answer::Applied };
                if subject.told.last().is_none_or(|told| told.answer != expected) {
                    return Ok(None);
                }
            }
            subject.close();
        }
        Ok(Some(Content::read(database)?.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario() -> Scenario {
        Scenario::named("relaxed", 1).unwrap().unwrap()
    }

    fn told(answers: &[(usize, Answer)]) -> Vec<Told> {
        let told = |(act, answer): &(usize, Answer)| Told {
            act: *act,
            after: Duration::ZERO,
            answer: answer.clone(),
        };
        answers.iter().map(told).collect()
    }

    /// The acts that are done in each course, after this.
    fn done(answers: &[(usize, Answer)], survived: Survived) -> Vec<Vec<usize>> {
        let scenario = scenario();
        let courses = courses(vec![Course::default()], &told(answers), &scenario);
        let remains = courses.iter().flat_map(|course| course.remains(survived));
        remains.map(|course| course.deeds.iter().map(|deed| deed.act).collect()).collect()
    }

    #[test]
    fn an_unknown_may_have_happened_or_not_and_a_failure_has_not() {
        let answers = [(0, Answer::Applied), (1, Answer::Unknown), (2, Answer::Failed)];
        assert_eq!(done(&answers, Survived::Kill), [vec![0], vec![0, 1]]);
    }

    #[test]
    fn the_answer_to_a_second_submission_tells_which_it_was() {
        assert_eq!(done(&[(0, Answer::Unknown), (0, Answer::Replayed)], Survived::Kill), [vec![0]]);
        assert_eq!(done(&[(0, Answer::Unknown), (0, Answer::Applied)], Survived::Kill), [vec![0]]);
        let nothing: [Vec<usize>; 0] = [];
        assert_eq!(done(&[(0, Answer::Applied), (0, Answer::Applied)], Survived::Kill), nothing, "twice");
        assert_eq!(done(&[(0, Answer::Failed), (0, Answer::Replayed)], Survived::Kill), nothing, "never");
    }

    #[test]
    fn a_power_loss_takes_a_suffix_and_nothing_that_was_durable_or_came_before_it() {
        // Acts 0, 1 and 3 are relaxed, 2 is durable.
        let answers: Vec<_> = (0..4).map(|act| (act, Answer::Applied)).collect();
        assert_eq!(done(&answers[..2], Survived::PowerLoss), [vec![0, 1], vec![0], vec![]]);
        assert_eq!(done(&answers, Survived::PowerLoss), [vec![0, 1, 2, 3], vec![0, 1, 2]]);
        assert_eq!(done(&answers, Survived::Kill), [[0, 1, 2, 3]]);
    }
}
