//! The synchronous core: applies groups of batches to the file, and knows what a failure means. Usable without its
//! thread. Long because what may be acknowledged after a failure is decided in one place.

mod fold;

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::batch::{Batch, Durability};
use crate::command::Command;
use crate::decide::{Write, decide_batch};
use crate::env::{Env, Failpoint};
use crate::error::{OpenError, StoreError, again};
use crate::outcome::Committed;
use crate::own_files::OwnFile;
use crate::planted::{self, Bug};
use crate::record::OperationStatus;
use crate::sqlite::connect::{self, FileIdentity};
use crate::sqlite::failure::Trouble;
use crate::sqlite::group::{Closed, Group, batches};
use crate::sqlite::heads::Heads;
use crate::sqlite::log::{self, Rewrite};
use crate::sqlite::options::SqliteOptions;
use crate::sqlite::pages::{self, Log};
use crate::sqlite::recent::Recent;
use crate::sqlite::rows::Transaction;
use crate::sqlite::sql;
use crate::store_clock::{CEILING_AHEAD, StoreClock};
use crate::sync::sleep_thread;
use crate::time::{Now, StoreTime};

/// How long one group may take before the rest of its batches go into the next one.
const GROUP_TIME_MAX: Duration = Duration::from_millis(20);
/// How many commands are applied between two looks at the clock.
const CLOCK_LOOK_COMMANDS: usize = 32;
/// First pause after finding the write lock taken; doubled up to [`PAUSE_MAX`], half of each by chance.
const PAUSE_MIN: Duration = Duration::from_micros(50);
/// Longest pause between two looks at the write lock.
const PAUSE_MAX: Duration = Duration::from_millis(2);
/// How long the marker after a failed sync waits for the write lock.
const MARKER_WAIT: Duration = Duration::from_secs(2);

/// How often the log is tried to be written over itself while other processes begin it anew.
const LOG_TRIES_MAX: u32 = 4;

/// What became of one batch.
pub type Answer = Result<Committed, StoreError>;

/// One open file and its write connection.
///
/// ```
/// # use steadfast_store::{Batch, SqliteCore, SqliteOptions, env::Env};
/// # let folder = tempfile::tempdir()?;
/// let mut core = SqliteCore::open(&SqliteOptions::new(folder.path().join("agent.db")), Env::system())?;
/// let answers = core.apply(&[&Batch::durable()], std::time::Duration::from_secs(1));
/// assert!(answers[0].is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SqliteCore {
    connection: Connection,
    env: Env,
    clock: StoreClock,
    heads: Heads,
    recent: Recent,
    data_version: i64,
    synchronous: Durability,
    state: State,
    powersafe_overwrite: bool,
    overwrites: bool,
    /// Whether any batch asked for a change since this was last looked at.
    changed: bool,
    files: (PathBuf, PathBuf),
    identity: FileIdentity,
    log: Log,
    _own: Vec<OwnFile>,
}

/// Whether anything may be acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Sound,
    /// A sync failed, here or perhaps before the file was opened, and what it left behind is not overwritten yet.
    Unsynced,
    /// The files were replaced under us.
    Replaced,
}

/// A group that was not committed.
enum Lost {
    NotBegun(StoreError),
    BeforeCommit(Trouble),
    AtCommit(Trouble),
    /// It is, but a sync failed on the way to overwriting what it erased.
    Unfolded(StoreError),
    Replaced,
}

impl SqliteCore {
    /// Opens the file, making it if it is not there, and brings it to this program's schema.
    ///
    /// # Errors
    /// [`OpenError`]; a file that is not ours is left untouched.
    pub fn open(options: &SqliteOptions, env: Env) -> Result<Self, OpenError> {
        let options = &options.absolute()?;
        // Somebody may have left this log after a failed sync of his; see `State::Unsynced`.
        let inherited = options.beside("-wal").metadata().is_ok_and(|log| log.len() > 0);
        pages::forget();
        let opened = connect::writer(options, &env)?;
        let (connection, clock) = (opened.connection, opened.clock);
        // What is read in a new boot comes from the device, whoever left it.
        let doubtful = inherited && !opened.is_new_boot;
        let version = connection.query_row(sql::connection::DATA_VERSION, [], |row| row.get(0)).unwrap_or(0);
        let files = (options.path.clone(), options.beside("-wal"));
        let own = [files.0.as_path(), &files.1, &options.beside("-shm")]
            .into_iter()
            .map(OwnFile::register)
            .collect::<Result<_, _>>()
            .map_err(|error| OpenError::Failed { path: options.path.clone(), source: Box::new(error) })?;
        let mut core = Self {
            connection,
            env,
            clock,
            heads: Heads::default(),
            recent: Recent::default(),
            data_version: 0,
            synchronous: Durability::Durable,
            powersafe_overwrite: options.powersafe_overwrite,
            overwrites: false,
            changed: false,
            state: if doubtful { State::Unsynced } else { State::Sound },
            identity: FileIdentity::look(&files.0, &files.1),
            files,
            log: Log::new(options, version, inherited),
            _own: own,
        };
        if !doubtful {
            // What was committed on the way here was so under FULL.
            core.log.note_synced(&core.files.1);
        }
        Ok(core)
    }

    /// Applies batches in order, each by itself all or nothing, in as few transactions as their sizes allow. The
    /// answers come in the same order, after each batch has reached its durability. Waits up to `wait` for the
    /// write lock; blocks the thread.
    pub fn apply(&mut self, batches: &[&Batch], wait: Duration) -> Vec<Answer> {
        let mut answers = Vec::with_capacity(batches.len());
        while let Some(next) = batches.get(answers.len()) {
            if let Err(error) = next.validate() {
                answers.push(Err(error));
                continue;
            }
            let rest = &batches[answers.len()..];
            let valid = rest.iter().take_while(|batch| batch.validate().is_ok()).count();
            answers.extend(self.apply_some(&mut Closed(&rest[..valid]), wait));
        }
        answers
    }

    /// Whether anything may have changed since the last call: an empty claim wakes nobody.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// The clock of this boot.
    pub(super) fn clock(&self) -> StoreClock {
        self.clock
    }

    /// Applies at least one of the batches, as many as fit a group's time. They must be valid.
    pub(super) fn apply_some(&mut self, group: &mut dyn Group, wait: Duration) -> Vec<Answer> {
        if let Some(error) = self.unfit(wait) {
            return batches(group).map(|_| Err(again(&error))).collect();
        }
        let lost = match self.group(group, wait) {
            Ok(answers) => return answers.into_iter().map(Ok).collect(),
            Err(lost) => lost,
        };
        let error = match lost {
            Lost::NotBegun(error) => error,
            // Only the offender shall fail: what fits alone is applied alone.
            Lost::BeforeCommit(_) if group.len() > 1 => return self.each_alone(group, wait),
            Lost::BeforeCommit(trouble) => trouble.not_applied(),
            // The write that did not fit was that of the commit's last frame or one before it, and no sync was tried.
            // Without powersafe overwrite copies of the last frame follow it, and one of those may be what did not fit.
            Lost::AtCommit(trouble) if trouble.is_disk_full() && self.powersafe_overwrite => {
                if group.len() > 1 {
                    return self.each_alone(group, wait);
                }
                trouble.not_applied()
            }
            Lost::AtCommit(trouble) if trouble.is_busy() => trouble.not_applied(),
            Lost::AtCommit(trouble) => {
                let in_sync = trouble.is_failed_sync();
                match self.after_failed_sync(trouble) {
                    // The device did not take some write: perhaps of one batch only.
                    StoreError::Failed { .. } | StoreError::DiskFull if !in_sync && group.len() > 1 => {
                        return self.each_alone(group, wait);
                    }
                    error => error,
                }
            }
            Lost::Unfolded(error) => StoreError::Unknown { source: error.into() },
            Lost::Replaced => {
                tracing::error!(path = %self.files.0.display(), "the database or its log was replaced");
                self.state = State::Replaced;
                StoreError::Unknown {
                    source: "the database or its log was replaced while it was open".into(),
                }
            }
        };
        batches(group).map(|_| Err(again(&error))).collect()
    }

    /// The wait for the lock is shared by all of them; once it is over the rest is told so untried.
    fn each_alone(&mut self, group: &dyn Group, wait: Duration) -> Vec<Answer> {
        let started = self.env.clock().monotonic();
        let mut answers: Vec<Answer> = Vec::with_capacity(group.len());
        for batch in batches(group) {
            let answer = if let Some(Err(error @ StoreError::Overloaded { .. })) = answers.last() {
                vec![Err(again(error))]
            } else {
                let spent = self.env.clock().monotonic().saturating_sub(started);
                self.apply_some(&mut Closed(&[batch]), wait.saturating_sub(spent))
            };
            answers.extend(answer);
        }
        answers
    }

    /// Why nothing may be acknowledged now, if so. An earlier failed sync is tried to be overcome first.
    fn unfit(&mut self, wait: Duration) -> Option<StoreError> {
        match self.state {
            State::Sound => None,
            State::Unsynced => {
                let error = self.marker(wait).err()?;
                Some(match error {
                    StoreError::Overloaded { .. } | StoreError::DiskFull | StoreError::ReadOnly => error,
                    error => {
                        let text = format!("what stands in the log cannot be synced: {error}");
                        StoreError::Failed { source: text.into() }
                    }
                })
            }
            State::Replaced => {
                let text = "the database or its log was replaced while it was open: open it again";
                Some(StoreError::Failed { source: text.into() })
            }
        }
    }

    /// What was read back now would come from the page cache and prove nothing. A commit that writes a page and
    /// syncs has overwritten the frames that the failed one left; only then is the group surely gone. What stands
    /// before them in the log is then written once more.
    fn after_failed_sync(&mut self, trouble: Trouble) -> StoreError {
        tracing::error!(%trouble, "a commit failed at its sync: nothing is acknowledged before a marker has synced");
        self.state = State::Unsynced;
        match self.marker(MARKER_WAIT) {
            Ok(()) => trouble.not_applied(),
            Err(marker) => StoreError::Unknown {
                source: format!("{trouble}; nor could a marker be synced: {marker}").into(),
            },
        }
    }

    fn marker(&mut self, wait: Duration) -> Result<(), StoreError> {
        let mut left = LOG_TRIES_MAX;
        loop {
            left -= 1;
            self.env.reach(Failpoint::MARKER_BEFORE);
            self.begin(Durability::Durable, wait)?;
            let written =
                self.execute(sql::transaction::MARKER).and_then(|()| self.execute(sql::transaction::COMMIT));
            if let Err(trouble) = written {
                self.roll_back();
                return Err(trouble.not_applied());
            }
            self.env.reach(Failpoint::MARKER_AFTER);
            match self.rewrite_log(wait) {
                Ok(()) => break,
                // Between the two transactions another process may have folded the log and begun it anew.
                Err(StoreError::Corrupt { .. }) if left > 0 => {}
                Err(error) => return Err(error),
            }
        }
        self.state = State::Sound;
        Ok(())
    }

    /// Makes what nobody had synced before a failed sync durable again, see [`log`]: before anything behind it in the
    /// log is acknowledged, and before any of it is folded. To be called right after a commit.
    fn rewrite_log(&mut self, wait: Duration) -> Result<(), StoreError> {
        self.begin(Durability::Durable, wait)?;
        self.env.reach(Failpoint::LOG_REWRITE_BEFORE);
        let rewritten = log::rewrite(&self.files.1, pages::after_commit(), self.log.synced);
        if matches!(rewritten, Ok(Rewrite::Rewritten { .. })) {
            self.env.reach(Failpoint::LOG_REWRITE_AFTER);
        }
        self.roll_back();
        match rewritten {
            Ok(_) if FileIdentity::look(&self.files.0, &self.files.1) != self.identity => {
                self.state = State::Replaced;
                Err(StoreError::Failed { source: "the log was replaced while it was open".into() })
            }
            Ok(Rewrite::Rewritten { .. }) => {
                self.log.note_synced(&self.files.1);
                Ok(())
            }
            Ok(Rewrite::Broken { at_frame }) => {
                let what = format!("the write-ahead log, at frame {at_frame},");
                Err(StoreError::Corrupt { what, source: None })
            }
            Err(error) => Err(StoreError::Failed { source: error.into() }),
        }
    }

    /// What is remembered of the file may no longer be true.
    fn forget(&mut self) {
        self.heads.forget();
        self.recent.forget();
    }

    fn execute(&self, sql: &'static str) -> Result<(), Trouble> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    fn roll_back(&mut self) {
        self.forget();
        // What was done on the way into the transaction is done again.
        self.data_version = 0;
        if !self.connection.is_autocommit() {
            // When even this fails SQLite has rolled back by itself, or will with the next BEGIN.
            drop(self.execute(sql::transaction::ROLLBACK));
        }
    }

    /// Takes the write lock, looking again and again with pauses of random length: SQLite keeps no queue.
    fn begin(&mut self, durability: Durability, wait: Duration) -> Result<(), StoreError> {
        let durability = if planted::is(Bug::AckBeforeSync) { Durability::Relaxed } else { durability };
        if durability != self.synchronous {
            let sql = match durability {
                Durability::Durable => sql::transaction::FULL,
                Durability::Relaxed => sql::transaction::NORMAL,
            };
            self.connection.execute_batch(sql).map_err(|error| Trouble::from(error).not_applied())?;
            self.synchronous = durability;
        }
        let started = self.env.clock().monotonic();
        let mut pause = PAUSE_MIN;
        loop {
            match self.execute(sql::transaction::BEGIN) {
                Ok(()) => break,
                Err(trouble) if trouble.is_busy() => {
                    let waited = self.env.clock().monotonic().saturating_sub(started);
                    if waited >= wait {
                        return Err(StoreError::Overloaded {
                            waited,
                            held_by: "the write lock of another process",
                        });
                    }
                    sleep_thread(self.jittered(pause));
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                Err(trouble) => return Err(trouble.not_applied()),
            }
        }
        // Only under the lock is the answer of use: nobody can commit after it any more.
        match self
            .connection
            .prepare_cached(sql::connection::DATA_VERSION)
            .and_then(|mut statement| statement.query_row([], |row| row.get::<_, i64>(0)))
        {
            Ok(version) if version == self.data_version => {}
            Ok(version) => {
                self.forget();
                self.data_version = version;
                self.log.seen(version);
                if let Err(trouble) = self.drop_statistics() {
                    self.roll_back();
                    return Err(trouble.not_applied());
                }
            }
            Err(error) => {
                self.roll_back();
                return Err(Trouble::from(error).not_applied());
            }
        }
        Ok(())
    }

    /// Whether SQLite overwrites what is deleted with zeros: only while something is erased, since it costs.
    fn overwrite_deleted(&mut self, wanted: bool) -> Result<(), Trouble> {
        if wanted != self.overwrites {
            let sql = if wanted { sql::transaction::SECURE_DELETE } else { sql::transaction::PLAIN_DELETE };
            self.connection.query_row(sql, [], |_| Ok(()))?;
            self.overwrites = wanted;
        }
        Ok(())
    }

    /// Takes an `ANALYZE` back that somebody has run, inside the transaction that is open: see
    /// [`STATISTICS`](sql::connection::STATISTICS).
    fn drop_statistics(&self) -> Result<(), Trouble> {
        let mut statement = self.connection.prepare_cached(sql::connection::STATISTICS)?;
        let tables: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        drop(statement);
        tables
            .iter()
            .try_for_each(|table| Ok(self.connection.execute_batch(&sql::connection::drop_table(table))?))
    }

    fn jittered(&self, pause: Duration) -> Duration {
        let mut byte = [0];
        self.env.rng().fill(&mut byte);
        pause / 2 + pause * u32::from(byte[0]) / 512
    }

    fn group(&mut self, group: &mut dyn Group, wait: Duration) -> Result<Vec<Committed>, Lost> {
        let durable = batches(group).any(|batch| batch.durability() == Durability::Durable);
        let durability = if durable { Durability::Durable } else { Durability::Relaxed };
        let erases = batches(group).any(erases);
        self.overwrite_deleted(erases).map_err(|trouble| Lost::NotBegun(trouble.not_applied()))?;
        self.env.reach(Failpoint::BEGIN_BEFORE);
        self.begin(durability, wait).map_err(Lost::NotBegun)?;
        self.env.reach(Failpoint::BEGIN_AFTER);
        // How the transaction syncs and deletes was settled before it began.
        let fits = |batch: &Batch| {
            (durable || batch.durability() == Durability::Relaxed) && (erases || !self::erases(batch))
        };
        let (answers, ceiling) = match self.inside(group, &fits) {
            Ok(decided) => decided,
            Err(trouble) => {
                self.roll_back();
                return Err(Lost::BeforeCommit(trouble));
            }
        };
        self.env.reach(Failpoint::COMMIT_BEFORE);
        let commits = pages::commits();
        if let Err(trouble) = self.execute(sql::transaction::COMMIT) {
            self.roll_back();
            return Err(Lost::AtCommit(trouble));
        }
        self.env.reach(Failpoint::COMMIT_AFTER);
        if durable && pages::commits() > commits {
            self.log.note_synced(&self.files.1);
        }
        if planted::is(Bug::OpenAndClose) {
            // The index as well: of a process that holds a lock there SQLite (from 3.51 on) knows that it is open.
            for end in ["", "-shm"] {
                let mut path = self.files.0.clone().into_os_string();
                path.push(end);
                drop(std::fs::File::open(path));
            }
        }
        if FileIdentity::look(&self.files.0, &self.files.1) != self.identity {
            return Err(Lost::Replaced);
        }
        self.clock.ceiling = ceiling;
        self.log.pages = pages::after_commit();
        self.log.holds_erased |= erases;
        self.heads.trim();
        self.recent.trim();
        // What was erased leaves the file before anybody is told that it did. The fold syncs too, and after a failed sync
        // nothing is acknowledged before a marker.
        if erases {
            self.fold_log_if_due();
            if self.state == State::Unsynced
                && let Err(error) = self.marker(MARKER_WAIT)
            {
                return Err(Lost::Unfolded(error));
            }
        }
        Ok(answers)
    }

    /// Decides and writes; answers also with the ceiling that the file will hold once this is committed.
    fn inside(
        &mut self,
        group: &mut dyn Group,
        fits: &dyn Fn(&Batch) -> bool,
    ) -> Result<(Vec<Committed>, StoreTime), Trouble> {
        let started = self.env.clock().monotonic();
        let mut ceiling = self.clock.ceiling;
        let (clock, env, connection) = (self.clock, &self.env, &self.connection);
        let mut look = || -> Result<Now, Trouble> {
            let now = clock.now(env.clock());
            if now.store.plus(CEILING_AHEAD / 2) > ceiling {
                ceiling = now.store.plus(CEILING_AHEAD);
                connection.prepare_cached(sql::clock::RAISE)?.execute([ceiling.as_millis()])?;
            }
            Ok(now)
        };
        let mut now = look()?;
        let mut needs_barrier = false;
        let mut unlooked = 0;
        let mut answers = Vec::with_capacity(group.len());
        let mut transaction = Transaction::new(&self.connection, &mut self.heads, &mut self.recent);
        loop {
            if answers.len() == group.len() {
                if !group.join(fits) {
                    break;
                }
                // A holder counts his term from before he asked: it must not begin earlier here.
                now = look()?;
            }
            let batch = group.at(answers.len());
            if unlooked >= CLOCK_LOOK_COMMANDS {
                unlooked = 0;
                if self.env.clock().monotonic().saturating_sub(started) > GROUP_TIME_MAX {
                    break;
                }
            }
            unlooked += batch.entries().len().max(1);
            let verdict = decide_batch(&mut transaction, batch, now)?;
            needs_barrier |= batch.durability() == Durability::Durable
                && (verdict.rests_on_earlier || verdict.writes.iter().any(may_write_no_page));
            self.changed |= !verdict.writes.is_empty();
            for (index, write) in verdict.writes.into_iter().enumerate() {
                if index > 0 && planted::is(Bug::TornBatch) {
                    self.connection.execute_batch(sql::transaction::COMMIT)?;
                    self.connection.execute_batch(sql::transaction::BEGIN)?;
                }
                transaction.write(write)?;
            }
            answers.push(verdict.answer);
        }
        drop(transaction);
        // What a replayed batch rests on may have been committed without a sync. A commit that writes no page would not
        // sync it, and an update to the same values writes none.
        if needs_barrier {
            self.execute(sql::transaction::MARKER)?;
        }
        Ok((answers, ceiling))
    }

    /// Pages at which the log is folded.
    pub(super) fn fold_every(&self) -> u32 {
        self.log.fold_every
    }

    /// Pages in the write-ahead log after the last commit. One that grows without end means a reader that never
    /// finishes.
    pub fn log_pages(&self) -> u32 {
        self.log.pages
    }
}

impl Drop for SqliteCore {
    /// The last connection to close folds the log, which must not be done now: whoever opens the file next will.
    fn drop(&mut self) {
        if self.state == State::Unsynced {
            let setting = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
            // It cannot fail on an open connection.
            drop(self.connection.set_db_config(setting, true));
        }
    }
}

fn erases(batch: &Batch) -> bool {
    batch.entries().iter().any(|entry| matches!(entry.command, Command::EraseCheckpoint(_)))
}

fn is_io(trouble: &Trouble) -> bool {
    trouble.code() == Some(rusqlite::ErrorCode::SystemIoFailure)
}

/// An update that may set a row to what it is already.
fn may_write_no_page(write: &Write) -> bool {
    match write {
        Write::RecordVerification(..) => true,
        // Freed again at the same instant.
        Write::UpdateOperation(operation, None) => operation.status == OperationStatus::Pending,
        _ => false,
    }
}
