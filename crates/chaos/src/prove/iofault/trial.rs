//! One trial: the acts of a scenario on a device that is struck at one operation, then a look at what SIGKILL and power
//! losses would have left, then the same caller's second submissions once the device is well again.

#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::acts::Scenario;
use super::content::Content;
use super::disk::{Disk, Loss, StrikeAt};
use super::explain::{Course, Healthy, Survived, courses};
use super::subject::{Answer, Subject, Told, unresolved};
use crate::case::CaseError;
use crate::vfs::{Fault, FaultVfs, FileFaults, FileOp};

/// Rows that a message tells of each side.
const ROWS_TOLD: usize = 3;

/// What must never happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Wrong {
    /// What is in the file is not what the answers say: something acknowledged is missing, or something failed is there.
    Unexplained,
    /// Something was acknowledged between a failed sync of the log and the next that succeeded.
    TooEarly,
    /// After healing a second submission got no final answer, or was done twice.
    Unresolved,
    /// SQLite's own checks complain.
    Damaged,
    /// An answer that no failing device explains.
    OutOfPlace,
}

impl Wrong {
    /// Every kind.
    pub(super) const ALL: [Self; 5] =
        [Self::Unexplained, Self::TooEarly, Self::Unresolved, Self::Damaged, Self::OutOfPlace];

    /// The name of its check.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Unexplained => "answers_contradicted",
            Self::TooEarly => "acknowledged_before_marker",
            Self::Unresolved => "unknowns_unresolved",
            Self::Damaged => "integrity_faults",
            Self::OutOfPlace => "answers_out_of_place",
        }
    }
}

/// What one or more trials found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// What was wrong, in words.
    pub(super) wrong: Vec<(Wrong, String)>,
    /// Operations that were struck.
    pub(super) struck: u64,
    /// Files that were looked at.
    pub(super) images: usize,
    /// Answers by what they were.
    pub(super) unknown: usize,
    /// Unknowns that turned out to have been done.
    pub(super) unknown_done: usize,
    /// Unknowns that turned out not to have been done.
    pub(super) unknown_not_done: usize,
    /// Failed answers.
    pub(super) failed: usize,
}

impl Found {
    /// Takes in another's.
    pub(super) fn merge(&mut self, other: Self) {
        self.wrong.extend(other.wrong);
        self.struck += other.struck;
        self.images += other.images;
        self.unknown += other.unknown;
        self.unknown_done += other.unknown_done;
        self.unknown_not_done += other.unknown_not_done;
        self.failed += other.failed;
    }

    /// Counts the first answers, and those that no failing device explains.
    pub(super) fn count(&mut self, told: &[Told], what: &str) {
        for told in told {
            self.unknown += usize::from(told.answer == Answer::Unknown);
            self.failed += usize::from(matches!(told.answer, Answer::Failed | Answer::DiskFull));
            if let Answer::Other(answer) = &told.answer {
                self.wrong.push((Wrong::OutOfPlace, format!("{what}: act {}: {answer}", told.act)));
            }
        }
    }

    /// Counts how the unknowns were resolved.
    fn count_resolved(&mut self, first: &[Told], second: &[Told]) {
        for told in second {
            let is_of_unknown =
                first.iter().any(|first| first.act == told.act && first.answer == Answer::Unknown);
            self.unknown_done += usize::from(is_of_unknown && told.answer == Answer::Replayed);
            self.unknown_not_done += usize::from(is_of_unknown && told.answer == Answer::Applied);
        }
    }
}

/// The device that the VFS of a thread stands on at the moment: a registration is for ever, a device for one trial.
#[derive(Debug, Default)]
struct Socket(RwLock<Option<Arc<Disk>>>);

impl FileFaults for Socket {
    fn before(&self, op: &FileOp) -> Fault {
        let disk = self.0.read().unwrap_or_else(PoisonError::into_inner);
        disk.as_ref().map_or(Fault::Pass, |disk| disk.before(op))
    }

    fn after(&self, op: &FileOp) {
        if let Some(disk) = self.0.read().unwrap_or_else(PoisonError::into_inner).as_ref() {
            disk.after(op);
        }
    }
}

/// Where the trials of one scenario take place, one after the other.
pub(super) struct Bench<'a> {
    scenario: &'a Scenario,
    folder: PathBuf,
    base: Option<PathBuf>,
    vfs: String,
    socket: Arc<Socket>,
    healthy: Healthy<'a>,
}

impl<'a> Bench<'a> {
    /// In a folder of its own, with a VFS registered under this name.
    pub(super) fn new(scenario: &'a Scenario, folder: &Path, vfs: &str) -> Result<Self, CaseError> {
        fs::create_dir_all(folder).map_err(CaseError::io("making the folder of a bench"))?;
        let base = scenario.has_file().then(|| folder.join("base.db"));
        if let Some(base) = &base {
            make_base(base, scenario)?;
        }
        let socket = Arc::new(Socket::default());
        FaultVfs::register(vfs, socket.clone()).map_err(CaseError::store("take a VFS"))?;
        let healthy = Healthy::new(scenario, base.clone(), folder);
        Ok(Self { scenario, folder: folder.to_owned(), base, vfs: vfs.to_owned(), socket, healthy })
    }

    /// How many operations each strike could meet, by a run in which nothing fails.
    pub(super) fn operations(&mut self, count: impl Fn(&Disk) -> u64) -> Result<u64, CaseError> {
        let place = self.place("calm")?;
        let disk = place.plug(self)?;
        let mut subject = Subject::new(&place.database, self.scenario, Duration::ZERO).on(&self.vfs, &disk);
        subject.open();
        subject.act(self.scenario, &disk);
        // The closing of the file is struck too.
        subject.close();
        let counted = count(&disk);
        place.remove();
        Ok(counted)
    }

    /// One trial. `Loss::Some` takes the operation's number for its seed.
    pub(super) fn strike(&mut self, strike: StrikeAt) -> Result<Found, CaseError> {
        let name = format!("{:?}-{}-{}", strike.sickness, strike.operation, strike.lasting);
        let place = self.place(&name)?;
        let disk = place.plug(self)?;
        disk.strike_at(strike);
        let what = format!("{}, {strike:?}", self.scenario.name);
        let mut found = Found::default();
        let mut subject = Subject::new(&place.database, self.scenario, Duration::ZERO).on(&self.vfs, &disk);
        subject.open();
        subject.act(self.scenario, &disk);
        found.count(&subject.told, &what);
        if self.scenario.has_file() {
            // What was there before the acts is all on the device; a new file's beginnings are not modelled.
            let losses = [Loss::All, Loss::Ghost, Loss::Some(strike.operation)];
            for loss in losses.into_iter().filter(|loss| disk.could_lose(*loss)) {
                self.look_after_loss(&place, &disk, &subject, loss, &what, &mut found)?;
            }
        }
        let killed = disk.copy_to(&place.image()?).map_err(CaseError::io("copying the files"))?;
        self.look(&killed, &subject.told, subject.after(), Survived::Kill, &what, &mut found)?;
        self.close_and_heal(&mut subject, &disk, strike, &what, &mut found);
        let told = std::mem::take(&mut subject.told);
        drop(subject);
        disk.is_trusted().map_err(CaseError::io("following what is done to the files"))?;
        self.settle(&place.database, &told, &what, &mut found)?;
        found.struck = disk.struck();
        *self.socket.0.write().unwrap_or_else(PoisonError::into_inner) = None;
        place.remove();
        Ok(found)
    }

    /// Closes the store when the strike was to meet that; then the device is healed, and the caller asks again.
    fn close_and_heal(
        &self,
        subject: &mut Subject,
        disk: &Disk,
        strike: StrikeAt,
        what: &str,
        found: &mut Found,
    ) {
        // Every second store is closed while its device still fails, the others go on as they are.
        if strike.operation.is_multiple_of(2) || disk.struck() == 0 {
            subject.close();
        }
        disk.heal();
        subject.open();
        let first = subject.told.clone();
        for act in unresolved(&first) {
            let Some(submission) = self.scenario.submission(act) else { continue };
            subject.submit(act, &submission.batch, Some(disk));
        }
        let second = &subject.told[first.len()..];
        found.count_resolved(&first, second);
        for told in second.iter().filter(|told| !told.answer.is_final()) {
            found
                .wrong
                .push((Wrong::Unresolved, format!("{what}: healed, act {}: {:?}", told.act, told.answer)));
        }
        subject.close();
        if subject.too_early > 0 {
            let times = subject.too_early;
            found.wrong.push((Wrong::TooEarly, format!("{what}: {times} acknowledgements")));
        }
        for answer in subject.misopened.drain(..) {
            found.wrong.push((Wrong::OutOfPlace, format!("{what}: opening: {answer}")));
        }
    }

    /// Holds what a process has left against what it told.
    pub(super) fn look_at_left(
        &mut self,
        database: &Path,
        told: &[Told],
        what: &str,
        found: &mut Found,
    ) -> Result<(), CaseError> {
        let after = told.last().map_or(Duration::ZERO, |told| told.after);
        self.look(database, told, after, Survived::Kill, what, found)
    }

    fn look_after_loss(
        &mut self,
        place: &Place,
        disk: &Disk,
        subject: &Subject,
        loss: Loss,
        what: &str,
        found: &mut Found,
    ) -> Result<(), CaseError> {
        let unplugged = || {
            let copy = disk.copy_to(&place.image_folder()?)?;
            disk.unplug(&copy, loss)?;
            Ok(copy)
        };
        let copy = unplugged().map_err(CaseError::io("making what a power loss leaves"))?;
        let what = format!("{what}, after a simulated power loss ({loss:?})");
        self.look(&copy, &subject.told, subject.after(), Survived::PowerLoss, &what, found)
    }

    /// Holds a file against what callers were told; then they ask again, of a store that is opened on it.
    fn look(
        &mut self,
        image: &Path,
        told: &[Told],
        after: Duration,
        survived: Survived,
        what: &str,
        found: &mut Found,
    ) -> Result<(), CaseError> {
        found.images += 1;
        let content = Self::read(image, what, found)?;
        let explanations =
            self.explain(&courses(vec![Course::default()], told, self.scenario), survived, &content)?;
        if explanations.is_empty() {
            self.contradicted(told, survived, &content, what, found)?;
            return Ok(());
        }
        let mut subject = Subject::new(image, self.scenario, after);
        subject.open();
        let mut again = unresolved(told);
        let is_lost =
            |act: usize| explanations.iter().all(|course| course.deeds.iter().all(|deed| deed.act != act));
        again.extend((0..self.scenario.acts.len()).filter(|act| {
            is_lost(*act) && told.iter().any(|told| told.act == *act && told.answer.acknowledges())
        }));
        again.sort_unstable();
        again.dedup();
        for act in again {
            let Some(submission) = self.scenario.submission(act) else { continue };
            subject.submit(act, &submission.batch, None);
        }
        subject.close();
        for told in subject.told.iter().filter(|told| !told.answer.is_final()) {
            found.wrong.push((Wrong::Unresolved, format!("{what}: act {}: {:?}", told.act, told.answer)));
        }
        let content = Self::read(image, what, found)?;
        let ends = courses(explanations, &subject.told, self.scenario);
        if self.explain(&ends, Survived::Kill, &content)?.is_empty() {
            let answers = answers(&subject.told);
            found.wrong.push((Wrong::Unresolved, format!("{what}: submitted again: {answers}")));
        }
        Ok(())
    }

    /// The end of a trial: the file after the last answer.
    fn settle(
        &mut self,
        database: &Path,
        told: &[Told],
        what: &str,
        found: &mut Found,
    ) -> Result<(), CaseError> {
        let content = Self::read(database, what, found)?;
        let courses = courses(vec![Course::default()], told, self.scenario);
        if self.explain(&courses, Survived::Kill, &content)?.is_empty() {
            self.contradicted(told, Survived::Kill, &content, &format!("{what}, healed"), found)?;
        }
        Ok(())
    }

    fn read(file: &Path, what: &str, found: &mut Found) -> Result<Content, CaseError> {
        let (content, faults) = Content::read(file)?;
        found.wrong.extend(faults.into_iter().map(|fault| (Wrong::Damaged, format!("{what}: {fault}"))));
        Ok(content)
    }

    /// Those remains of the courses that leave just this.
    fn explain(
        &mut self,
        courses: &[Course],
        survived: Survived,
        content: &Content,
    ) -> Result<Vec<Course>, CaseError> {
        let mut explanations = Vec::new();
        for course in courses.iter().flat_map(|course| course.remains(survived)) {
            if self.healthy.content(&course)?.as_ref() == Some(content) {
                explanations.push(course);
            }
        }
        Ok(explanations)
    }

    fn contradicted(
        &mut self,
        told: &[Told],
        survived: Survived,
        content: &Content,
        what: &str,
        found: &mut Found,
    ) -> Result<(), CaseError> {
        let courses = courses(vec![Course::default()], told, self.scenario);
        let mut nearest = "no course of events gives these answers".to_owned();
        for course in courses.iter().flat_map(|course| course.remains(survived)) {
            if let Some(expected) = self.healthy.content(&course)? {
                nearest = content.differences(&expected, ROWS_TOLD);
            }
        }
        let detail = format!("{what}: {}: {nearest}", answers(told));
        found.wrong.push((Wrong::Unexplained, detail));
        Ok(())
    }

    fn place(&self, name: &str) -> Result<Place, CaseError> {
        let folder = self.folder.join(name);
        let make = || {
            fs::create_dir_all(&folder)?;
            let database = folder.join("agent.db");
            if let Some(base) = &self.base {
                fs::copy(base, &database)?;
            }
            Ok(Place { folder: folder.clone(), database })
        };
        make().map_err(CaseError::io("making the folder of a trial"))
    }
}

/// The folder of one trial.
struct Place {
    folder: PathBuf,
    database: PathBuf,
}

impl Place {
    fn plug(&self, bench: &Bench<'_>) -> Result<Arc<Disk>, CaseError> {
        let disk = Arc::new(Disk::under(&self.database).map_err(CaseError::io("reading a database"))?);
        *bench.socket.0.write().unwrap_or_else(PoisonError::into_inner) = Some(disk.clone());
        Ok(disk)
    }

    fn image_folder(&self) -> std::io::Result<PathBuf> {
        let folder = self.folder.join("image");
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    fn image(&self) -> Result<PathBuf, CaseError> {
        self.image_folder().map_err(CaseError::io("making the folder of an image"))
    }

    fn remove(&self) {
        // What cannot be removed now goes with the folder of the campaign.
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// The file before the first act, closed in good order.
pub(super) fn make_base(base: &Path, scenario: &Scenario) -> Result<(), CaseError> {
    let mut subject = Subject::new(base, scenario, Duration::ZERO);
    subject.open();
    for batch in &scenario.before {
        subject.submit(0, batch, None);
    }
    subject.close();
    match subject.told.iter().find(|told| told.answer != Answer::Applied) {
        None => Ok(()),
        Some(told) => Err(CaseError::store("prepare a scenario")(format!("{:?}", told.answer))),
    }
}

/// Answers in a line.
pub(super) fn answers(told: &[Told]) -> String {
    let answers: Vec<_> = told.iter().map(|told| format!("act {} {:?}", told.act, told.answer)).collect();
    answers.join(", ")
}
