//! The ledger of operations that must not happen twice, and the cache of model answers.
//!
//! A [`ToolLedger`] writes down that a tool is about to be called, and then what came of it. Whoever asks for the
//! same call again, in whatever process, gets the same bytes; what happens to a call whose caller vanished in between
//! depends on what the tool was declared to be ([`Effect`]), and is never decided behind anybody's back.
//!
//! ```
//! use std::sync::Arc;
//! use steadfast_idempotency::{Effect, LedgerOptions, ToolCall, ToolLedger, ToolOutput};
//! use steadfast_store::{Label, MemoryStore, env::Env};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = Arc::new(MemoryStore::new(Env::system()));
//! let ledger = ToolLedger::new(store, LedgerOptions::default())?;
//! let call = ToolCall::new(Label::new("send-mail")?, "report/mail-1", "to: all", Effect::AtMostOnce);
//!
//! let first = ledger.run(&call, async || ToolOutput::Succeeded("sent as 4711".into())).await?;
//! let again = ledger.run(&call, async || unreachable!("it was called before")).await?;
//! assert_eq!(again.output, first.output);
//! assert!(again.replayed);
//! # Ok(())
//! # }
//! ```

mod attempt;
mod call;
mod doubt;
mod error;
mod flight;
mod history;
mod key;
mod ledger;
mod llm;
mod run;
mod stats;
mod telemetry;

/// The store below, for those who depend on this crate alone.
pub use steadfast_store as store;

pub use attempt::Attempt;
pub use call::{Effect, ToolCall, ToolOutput};
pub use doubt::Doubt;
pub use error::LedgerError;
pub use history::{History, TOOL_RETENTION_DEFAULT};
pub use ledger::{Call, LedgerOptions, TERM_DEFAULT, ToolLedger, WAIT_DEFAULT};
pub use llm::{Cached, LlmAnswer, LlmCache, LlmCacheError, LlmCacheOptions, LlmRequest, TTL_DEFAULT};
pub use run::{Found, Ran};
pub use stats::{CacheStats, LedgerStats};
