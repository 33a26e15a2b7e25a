//! What the tests are made of: a schema of its own for each, and SQL beside the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use steadfast_store::{
    Claim, CreateTask, Delay, Enqueue, HolderId, Label, Payload, PostgresOptions, Source, TaskId, Term,
    TransitionId, WorkItemId,
};
use tokio_postgres::{Client, NoTls};

/// Schemas that nobody uses any more; whoever needs a new one takes some of them away.
static ABANDONED: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// Schemas taken away for each new one.
const TAKEN_AWAY: usize = 2;

/// A schema of its own, and a connection beside the store.
pub(crate) struct Schema {
    server: &'static str,
    name: String,
    admin: Client,
}

impl std::fmt::Debug for Schema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Schema").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Schema {
    /// A name that nobody has, on this server. Nothing is made yet.
    pub(crate) async fn new(server: &'static str) -> Result<Arc<Self>, Source> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{number}", std::process::id());
        let admin = connect(server).await?;
        let abandoned: Vec<String> = {
            let mut all = ABANDONED.lock();
            let kept = all.len().saturating_sub(TAKEN_AWAY);
            all.split_off(kept)
        };
        for schema in abandoned {
            // One that is still in use by a connection about to close goes another time.
            let sql = format!("SET lock_timeout = 2000; DROP SCHEMA IF EXISTS {schema} CASCADE");
            if admin.batch_execute(&sql).await.is_err() {
                ABANDONED.lock().insert(0, schema);
            }
        }
        Ok(Arc::new(Self { server, name, admin }))
    }

    /// Its name, which needs no quotes.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A connection beside the store.
    pub(crate) fn admin(&self) -> &Client {
        &self.admin
    }

    /// The URL of a store in it.
    pub(crate) fn url(&self) -> String {
        let joint = if self.server.contains('?') { '&' } else { '?' };
        format!("{}{joint}schema={}&pool=6", self.server, self.name)
    }

    /// How a store in it is opened.
    pub(crate) fn options(&self) -> PostgresOptions {
        PostgresOptions::from_url(&self.url()).unwrap()
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        ABANDONED.lock().push(std::mem::take(&mut self.name));
    }
}

/// A connection to the server as it is.
pub(crate) async fn connect(server: &str) -> Result<Client, Source> {
    let (client, driver) = tokio_postgres::connect(server, NoTls).await?;
    tokio::spawn(async move { drop(driver.await) });
    Ok(client)
}

/// Long enough for anything on the slowest machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A task.
pub(crate) fn create(name: &str) -> CreateTask {
    let kind = Label::new("research").unwrap();
    CreateTask { task: TaskId::new(name).unwrap(), kind, input: Payload::new("the topic").unwrap() }
}

/// An item of a task.
pub(crate) fn enqueue(item: &str, task: &str) -> Enqueue {
    Enqueue {
        item: WorkItemId::new(item).unwrap(),
        task: TaskId::new(task).unwrap(),
        kind: Label::new("research").unwrap(),
        priority: 0,
        delay: Delay::ZERO,
        max_attempts: 3,
    }
}

/// A claim of one item.
pub(crate) fn claim(number: u8) -> Claim {
    Claim {
        claim: TransitionId::from_bytes([number; 16]),
        holder: HolderId::new("worker").unwrap(),
        term: Term::new(Duration::from_secs(300)).unwrap(),
        limit: 1,
        kinds: Vec::new(),
        task: None,
    }
}
