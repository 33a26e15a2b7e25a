//! The connections of a store: so many at most, made when they are wanted, kept while they are sound.

use std::sync::Arc;
use std::time::Duration;

use crate::env::Env;
use crate::error::StoreError;
use crate::postgres::connect::{Connected, Connector};
use crate::postgres::failure::Trouble;
use crate::sync::{Mutex, OwnedSemaphorePermit, Semaphore, within};

/// The first pause before a server that was not there is asked again; each further one is twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// The longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// What a connection is wanted for. Each has its own share, so that readers cannot keep commits waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Commit,
    Read,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Pool {
    connector: Connector,
    env: Env,
    idle: Mutex<Vec<Connected>>,
    commits: Arc<Semaphore>,
    reads: Arc<Semaphore>,
}

/// A connection that is somebody's for now. Dropped without [`Lease::give_back`], it is closed: whatever transaction it
/// had open ends with it.
#[derive(Debug)]
pub(super) struct Lease<'a> {
    pool: &'a Pool,
    held: Connected,
    _permit: OwnedSemaphorePermit,
}

impl Lease<'_> {
    pub(super) fn held(&self) -> &Connected {
        &self.held
    }

    /// For the next one: it is sound, and has no transaction open.
    pub(super) fn give_back(self) {
        let Self { pool, held, .. } = self;
        if !held.connection.is_closed() {
            pool.idle.lock().push(held);
        }
    }
}

impl Pool {
    pub(super) fn new(connector: Connector, env: Env, commits: usize, reads: usize) -> Self {
        let (commits, reads) = (Arc::new(Semaphore::new(commits)), Arc::new(Semaphore::new(reads)));
        Self { connector, env, idle: Mutex::new(Vec::new()), commits, reads }
    }

    /// Keeps a connection that was made to look at the server.
    pub(super) fn keep(&self, connected: Connected) {
        self.idle.lock().push(connected);
    }

    /// A connection, within this wait. One that is refused for now is asked for again.
    pub(super) async fn get(&self, purpose: Purpose, wait: Duration) -> Result<Lease<'_>, StoreError> {
        let started = self.env.clock().monotonic();
        let room = match purpose {
            Purpose::Commit => &self.commits,
            Purpose::Read => &self.reads,
        };
        let permit = match within(&self.env, wait, Arc::clone(room).acquire_many_owned(1)).await {
            Some(Ok(permit)) => permit,
            Some(Err(_)) => return Err(StoreError::Closed),
            None => {
                let held_by = "the connections of the pool, all in use";
                return Err(StoreError::Overloaded { waited: wait, held_by });
            }
        };
        let mut pause = PAUSE_MIN;
        loop {
            if let Some(held) = self.take_idle() {
                return Ok(Lease { pool: self, held, _permit: permit });
            }
            let trouble = match self.connector.connect().await {
                Ok(held) => return Ok(Lease { pool: self, held, _permit: permit }),
                Err(trouble) => trouble,
            };
            let waited = self.env.clock().monotonic().saturating_sub(started);
            if !trouble.is_passing() || waited + pause > wait {
                return Err(trouble.not_applied(waited));
            }
            self.env.sleep(jittered(&self.env, pause)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn take_idle(&self) -> Option<Connected> {
        let mut idle = self.idle.lock();
        while let Some(held) = idle.pop() {
            if !held.connection.is_closed() {
                return Some(held);
            }
        }
        None
    }

    /// Whatever is idle is suspect: the server was seen to be gone.
    pub(super) fn forget_idle(&self) {
        self.idle.lock().clear();
    }

    /// Listens on a connection of its own, beside the pool, until that ends.
    pub(super) async fn listen(&self, listen: &str, heard: impl Fn() + Send + Sync) -> Result<(), Trouble> {
        self.connector.listen(listen, heard).await
    }

    /// Makes a connection of its own, beside the pool.
    pub(super) async fn connect(&self) -> Result<Connected, Trouble> {
        self.connector.connect().await
    }
}

/// Half of a pause, and the other half by chance, so that those who failed together do not come back together.
pub(super) fn jittered(env: &Env, pause: Duration) -> Duration {
    let mut byte = [0];
    env.rng().fill(&mut byte);
    pause / 2 + pause * u32::from(byte[0]) / 512
}
