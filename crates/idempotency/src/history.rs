//! Looking back on the calls of a task, and forgetting old ones.

use std::time::Duration;

use steadfast_store::limits::PAGE_ROWS_MAX;
use steadfast_store::{
    Durability, Operation, OperationKey, OperationPage, PurgeOperations, Store, StoreError, TOOL_KEYS,
    TaskId, commit_one,
};

use crate::error::LedgerError;
use crate::ledger::ToolLedger;
use crate::stats::LedgerStats;

/// How long outcomes of tool calls are kept when nobody says otherwise.
pub const TOOL_RETENTION_DEFAULT: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Some of the calls that were made for a task, in the order of their keys.
///
/// ```
/// # use std::sync::Arc;
/// # use steadfast_idempotency::{Effect, LedgerOptions, ToolCall, ToolLedger, ToolOutput};
/// # use steadfast_store::{Label, MemoryStore, env::Env};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = Arc::new(MemoryStore::new(Env::system()));
/// # let tools = ToolLedger::new(store, LedgerOptions::default())?;
/// # let mail = ToolCall::new(Label::new("send-mail")?, "report/mail", "to: all", Effect::AtMostOnce);
/// # use steadfast_store::{CreateTask, Payload, StoreExt, TaskId};
/// # let task = TaskId::new("report")?;
/// # let store = Arc::new(MemoryStore::new(Env::system()));
/// # let kind = Label::new("research")?;
/// # store.create_task(CreateTask { task: task.clone(), kind, input: Payload::empty() }).await?;
/// # let tools = ToolLedger::new(store, LedgerOptions::default())?;
/// let mail = ToolCall { task: Some(task.clone()), ..mail };
/// tools.run(&mail, async || ToolOutput::Succeeded("sent".into())).await?;
/// let history = tools.history(&task, None, 100).await?;
/// for call in &history.calls {
///     println!("{}: {}", call.key, call.status);
/// }
/// assert_eq!(history.calls.len(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The calls, without their outputs.
    pub calls: Vec<Operation>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<OperationKey>,
}

impl ToolLedger {
    /// The calls made for a task, up to `limit` of its operations at once, after `after`.
    ///
    /// # Errors
    /// [`StoreError`], for a limit out of bounds too.
    pub async fn history(
        &self,
        task: &TaskId,
        after: Option<OperationKey>,
        limit: u32,
    ) -> Result<History, StoreError> {
        let page = OperationPage { after, status: None, limit };
        let mut calls = self.flight.store.operations(task, page).await?;
        let next = calls.last().map(|last| last.key.clone());
        calls.retain(|call| call.key.as_str().starts_with(TOOL_KEYS));
        Ok(History { calls, next })
    }

    /// Forgets the outcomes of calls that finished at least `older_than` ago by the wall clock
    /// ([`TOOL_RETENTION_DEFAULT`] is the usual choice), and says how many. A call that is forgotten would be made
    /// again if somebody asked for it: so those of a task that goes on stay, and so do calls in doubt. In pages: dropping the future ends it
    /// between two of them.
    ///
    /// # Errors
    /// [`LedgerError::Store`]; what was forgotten before stays so.
    pub async fn purge(&self, older_than: Duration) -> Result<u64, LedgerError> {
        purge(&*self.flight.store, TOOL_KEYS, older_than).await
    }

    /// What this ledger and its clones have done in this process.
    pub fn stats(&self) -> LedgerStats {
        self.counters.look()
    }
}

/// Removes finished operations page by page.
pub(crate) async fn purge(store: &dyn Store, prefix: &str, older_than: Duration) -> Result<u64, LedgerError> {
    let mut removed = 0;
    loop {
        let command = PurgeOperations { prefix: prefix.to_owned(), older_than, limit: PAGE_ROWS_MAX };
        let page = commit_one(store, Durability::Relaxed, command).await.map_err(LedgerError::of_command)?;
        removed += u64::from(page.removed);
        if page.removed < PAGE_ROWS_MAX {
            return Ok(removed);
        }
    }
}
