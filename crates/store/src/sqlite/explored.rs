//! The writer and its watch over a core of the explorer's own, which commits nothing and takes no time; only under
//! `--cfg steadfast_shuttle`.

use std::time::Duration;

use crate::batch::Batch;
use crate::env::Env;
use crate::sqlite::closing;
use crate::sqlite::core::Answer;
use crate::sqlite::group::Group;
use crate::sqlite::watch::Watching;
use crate::sqlite::writer::{self, GroupCommit, Writer};
use crate::store::ChangeStamp;

/// Batches in one group at most.
pub const GROUP_BATCHES_MAX: usize = writer::GROUP_BATCHES_MAX;
/// Payload bytes in one group at most; a single batch may be larger.
pub const GROUP_BYTES_MAX: usize = writer::GROUP_BYTES_MAX;

/// The batches of a commit that has begun, each at its place from 0, and whoever still comes to it.
pub struct Batches<'a>(&'a mut dyn Group);

impl Batches<'_> {
    /// How many there are by now; at least one.
    #[allow(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The batch at a place that is taken.
    pub fn at(&self, place: usize) -> &Batch {
        self.0.at(place)
    }

    /// Takes in the next batch, if one waits already and `fits`; as the core of SQLite asks after each that it has
    /// applied.
    pub fn join(&mut self, fits: &dyn Fn(&Batch) -> bool) -> bool {
        self.0.join(fits)
    }
}

impl std::fmt::Debug for Batches<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Batches").field(&self.len()).finish()
    }
}

/// Commits in the place of SQLite.
pub trait Core: Send + 'static {
    /// Applies at least one of the batches and syncs them; answers for those that it has taken, in their order.
    fn apply(&mut self, batches: &mut Batches<'_>) -> Vec<Answer>;
    /// What is done after the answers have gone out.
    fn after(&mut self);
}

struct Abstract<C> {
    core: C,
    changed: bool,
}

impl<C: Core> GroupCommit for Abstract<C> {
    fn apply_some(&mut self, group: &mut dyn Group, _: Duration) -> Vec<Answer> {
        self.changed = true;
        self.core.apply(&mut Batches(group))
    }

    fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    fn fold_log_if_due(&mut self) {
        self.core.after();
    }

    fn log_pages(&self) -> u32 {
        0
    }

    fn fold_every(&self) -> u32 {
        1
    }
}

/// A [`SqliteStore`](crate::SqliteStore) without readers, on a [`Core`].
#[derive(Debug)]
pub struct ExploredStore {
    env: Env,
    writer: Writer,
    watch: Watching,
}

impl ExploredStore {
    /// Starts its threads. `look` tells a number that differs once another process has committed.
    ///
    /// # Errors
    /// When no thread could be started.
    pub fn start(
        core: impl Core,
        look: impl FnMut() -> Option<i64> + Send + 'static,
        env: Env,
    ) -> std::io::Result<Self> {
        let (open, others) = closing::order();
        let watch = Watching::start(look, open)?;
        let core = Abstract { core, changed: false };
        let writer = Writer::start(core, env.clone(), watch.shared(), others)?;
        Ok(Self { env, writer, watch })
    }

    /// As [`Store::commit`](crate::Store::commit).
    ///
    /// # Errors
    /// What the core answers, and what the writer does.
    pub async fn commit(&self, batch: Batch) -> Answer {
        self.writer.commit(&self.env, batch).await
    }

    /// As [`Store::change_stamp`](crate::Store::change_stamp).
    pub fn change_stamp(&self) -> ChangeStamp {
        self.watch.stamp()
    }

    /// As [`Store::changed`](crate::Store::changed).
    pub async fn changed(&self, seen: ChangeStamp, limit: Duration) -> ChangeStamp {
        self.watch.changed(&self.env, seen, limit).await
    }

    /// As [`SqliteStore::close`](crate::SqliteStore::close).
    pub async fn close(self) {
        let Self { writer, watch, .. } = self;
        drop(watch);
        writer.close().await;
    }
}
