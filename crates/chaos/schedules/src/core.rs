//! A core that commits into books, and looks at the groups that the writer gives it: who is in them, and who joins.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use steadfast_store::schedules::{Batches, Core, GROUP_BATCHES_MAX, GROUP_BYTES_MAX};
use steadfast_store::{Answer, Applied, Batch, Committed, OperationBegun, Outcome, StoreError, StoreTime};

use crate::books::{Books, number_of};
use crate::bugs::Outside;
use crate::clock::ExploredClock;
use crate::met::Met;
use crate::world::{below, chance, choice};

/// Commits into [`Books`].
#[derive(Debug)]
pub(crate) struct BookCore {
    books: Arc<Books>,
    /// With it time passes while the lock is waited for, and some commits fail, for the reasons that commits fail for.
    trouble: Option<Arc<ExploredClock>>,
    unsynced: Vec<u32>,
}

impl BookCore {
    /// Every commit succeeds.
    pub(crate) fn sound(books: &Arc<Books>) -> Self {
        Self { books: Arc::clone(books), trouble: None, unsynced: Vec::new() }
    }

    /// Some commits fail. Each caller has told the clock that he asks.
    pub(crate) fn troubled(books: &Arc<Books>, clock: &Arc<ExploredClock>) -> Self {
        Self { books: Arc::clone(books), trouble: Some(Arc::clone(clock)), unsynced: Vec::new() }
    }

    /// Asks whether another batch joins, as the core of SQLite does. Of those that come some do not fit.
    fn is_joined(&self, batches: &mut Batches<'_>) -> bool {
        let (fits, asked) = (!chance(20), Cell::new(None));
        let joins = batches.join(&|batch| {
            asked.set(Some(number_of(batch)));
            fits
        });
        match asked.get() {
            None => assert!(!joins, "a batch joined a commit, and nobody had asked whether it fits"),
            Some(_) if !joins => Met::NotJoined.count(),
            Some(asked) => {
                Met::Joined.count();
                assert!(fits, "batch {asked} joined a commit that it does not fit");
                self.check_joined(batches.at(batches.len() - 1), asked);
            }
        }
        joins
    }

    fn check_joined(&self, joined: &Batch, asked: u32) {
        let number = number_of(joined);
        assert_eq!(number, asked, "one batch joined in the place of another");
        let Some(clock) = &self.trouble else { return };
        let (waited, wait) = (clock.waited(number), joined.wait());
        assert!(
            wait.is_zero() || waited <= wait,
            "batch {number} joined a commit though its patience was over: {waited:?} of {wait:?}"
        );
    }

    fn apply_one(&mut self, number: u32) -> Answer {
        let source = || number.to_string().into();
        match if self.trouble.is_some() { below(10) } else { 9 } {
            0 => {
                Met::Failed.count();
                return Err(StoreError::Failed { source: source() });
            }
            1 => {
                Met::LockTaken.count();
                return Err(StoreError::Overloaded { waited: Duration::ZERO, held_by: "another process" });
            }
            2 => {
                Met::Unknown.count();
                if chance(50) {
                    self.unsynced.push(number);
                }
                return Err(StoreError::Unknown { source: source() });
            }
            _ => {}
        }
        self.unsynced.push(number);
        let begun = OperationBegun { expires_at: StoreTime::from_millis(0), attempt: number };
        Ok(Committed::Applied(Applied::new(vec![Outcome::OperationBegun(begun)], false)))
    }

    fn sync(&mut self) {
        choice();
        let synced = std::mem::take(&mut self.unsynced);
        self.books.sync(&synced);
        choice();
    }
}

/// What a group may hold.
fn check_limits(batches: &Batches<'_>) {
    let length = batches.len();
    let bytes: usize = (0..length).map(|place| batches.at(place).payload_bytes()).sum();
    assert!(
        length <= GROUP_BATCHES_MAX && (length == 1 || bytes <= GROUP_BYTES_MAX),
        "{length} batches of {bytes} bytes are more than a group may hold"
    );
}

impl Core for BookCore {
    fn apply(&mut self, batches: &mut Batches<'_>) -> Vec<Answer> {
        if let Some(clock) = &self.trouble {
            choice();
            clock.lock_waited_for();
        }
        let mut answers = Vec::new();
        loop {
            if answers.len() == batches.len() && !self.is_joined(batches) {
                break;
            }
            check_limits(batches);
            if !answers.is_empty() && chance(20) {
                Met::GroupSplit.count();
                break;
            }
            answers.push(self.apply_one(number_of(batches.at(answers.len()))));
            choice();
        }
        if answers.len() > 1 {
            Met::Group.count();
        }
        if !Outside::AnsweredBeforeSync.is_in() {
            self.sync();
        }
        answers
    }

    fn after(&mut self) {
        self.sync();
    }
}

impl Drop for BookCore {
    fn drop(&mut self) {
        self.books.close_core();
    }
}
