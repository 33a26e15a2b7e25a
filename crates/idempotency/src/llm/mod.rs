//! The cache of model answers: a request is sent to the model once, whoever asks, and everybody gets the same bytes.

mod answer;
mod fingerprint;
mod request;

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use steadfast_store::{
    Abandonment, Durability, InvalidSpan, InvalidateOperation, MODEL_KEYS, OperationStatus, Store, Term,
    commit_one,
};
use tracing::Instrument;

pub use self::answer::LlmAnswer;
pub use self::request::LlmRequest;

use crate::attempt::{Abandoning, Attempt};
use crate::call::ToolOutput;
use crate::error::LedgerError;
use crate::flight::{Flight, Intent};
use crate::history::purge;
use crate::ledger::{Call, TERM_DEFAULT, WAIT_DEFAULT};
use crate::stats::{CacheCounters, CacheStats};
use crate::telemetry;

/// How long an answer is used again when the options do not say otherwise.
pub const TTL_DEFAULT: Duration = Duration::from_secs(7 * 24 * 3_600);

/// How a cache works. Caches over one store share their answers if they agree on `ignored_fields`, `keep_errors` and
/// `keep_truncated`, and none otherwise: what the one takes for an answer to a request need not be one to the other.
///
/// ```
/// use std::time::Duration;
/// use steadfast_idempotency::LlmCacheOptions;
///
/// let options = LlmCacheOptions { ttl: Duration::from_secs(3_600), ..LlmCacheOptions::default() };
/// assert!(!options.keep_errors);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LlmCacheOptions {
    /// How long an answer is used again, by the wall clock: [`TTL_DEFAULT`] unless set.
    pub ttl: Duration,
    /// How long one caller may take to get an answer before another one asks the model instead, within the bounds of
    /// [`Term`].
    pub term: Duration,
    /// How long a caller waits for another one's answer.
    pub wait: Duration,
    /// Fields of the request's body, at its top level, that do not count: two requests that differ in nothing else are
    /// the same. None unless set: every field counts.
    pub ignored_fields: Vec<String>,
    /// Whether an error of the model is the answer for everybody, until it is as old as an answer may be.
    pub keep_errors: bool,
    /// Whether an answer that is not complete is kept.
    pub keep_truncated: bool,
}

impl Default for LlmCacheOptions {
    fn default() -> Self {
        Self {
            ttl: TTL_DEFAULT,
            term: TERM_DEFAULT,
            wait: WAIT_DEFAULT,
            ignored_fields: Vec::new(),
            keep_errors: false,
            keep_truncated: false,
        }
    }
}

/// An answer, and where it came from.
///
/// ```
/// # use std::sync::Arc;
/// # use serde_json::json;
/// # use steadfast_idempotency::{LlmAnswer, LlmCache, LlmCacheOptions, LlmRequest};
/// # use steadfast_store::{MemoryStore, env::Env};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cache = LlmCache::new(Arc::new(MemoryStore::new(Env::system())), LlmCacheOptions::default())?;
/// # let request = LlmRequest::new("large-model", json!({ "prompt": "Why?" }));
/// let ask = async || Ok::<_, std::io::Error>(LlmAnswer::new("Because."));
/// let first = cache.get_or_ask(&request, ask).await?;
/// let again = cache.get_or_ask(&request, ask).await?;
/// assert!(!first.is_hit && again.is_hit);
/// assert_eq!(first.answer, again.answer);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cached {
    /// The answer.
    pub answer: LlmAnswer,
    /// Whether it came from the cache, or from another caller who asked at the same time.
    pub is_hit: bool,
}

/// Why there is no answer.
///
/// ```
/// # use std::sync::Arc;
/// # use serde_json::json;
/// # use steadfast_idempotency::{LlmAnswer, LlmCache, LlmCacheOptions, LlmRequest};
/// # use steadfast_store::{MemoryStore, env::Env};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cache = LlmCache::new(Arc::new(MemoryStore::new(Env::system())), LlmCacheOptions::default())?;
/// # let request = LlmRequest::new("large-model", json!({ "prompt": "Why?" }));
/// use steadfast_idempotency::LlmCacheError;
///
/// let fail = async || Err::<LlmAnswer, _>(std::io::Error::other("overloaded"));
/// match cache.get_or_ask(&request, fail).await {
///     Err(LlmCacheError::Model(error)) => println!("ask again later: {error}"),
///     other => unreachable!("{other:?}"),
/// }
/// // An error is nobody else's answer.
/// let ask = async || Ok::<_, std::io::Error>(LlmAnswer::new("Because."));
/// assert!(!cache.get_or_ask(&request, ask).await?.is_hit);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LlmCacheError<E> {
    /// The model gave none.
    #[error("the model gave no answer: {0}")]
    Model(E),
    /// The model gave none to an earlier caller, and errors are kept.
    #[error("the model gave no answer to an earlier caller: {0}; invalidate the request to ask again")]
    Remembered(String),
    /// What is stored is no answer of this program.
    #[error("what is cached for this request cannot be read: invalidate the request to ask again")]
    Unreadable,
    /// Trouble with the cache itself. Asking the model without it is always right.
    #[error(transparent)]
    Cache(#[from] LedgerError),
}

/// Asks a model once for each request. Cloning is cheap, and clones count together.
///
/// The key covers the whole request: tenant, model, and every field of its body that is not named as ignorable. Many
/// who ask the same at once, in however many processes, cost one answer; when the one who asks the model vanishes,
/// another takes over. Entries are [`Relaxed`](Durability::Relaxed): losing the cache costs money, never correctness.
///
/// ```
/// use std::sync::Arc;
/// use serde_json::json;
/// use steadfast_idempotency::{LlmAnswer, LlmCache, LlmCacheOptions, LlmRequest};
/// use steadfast_store::{MemoryStore, env::Env};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = LlmCache::new(Arc::new(MemoryStore::new(Env::system())), LlmCacheOptions::default())?;
/// let request = LlmRequest::new("large-model", json!({ "prompt": "Why?", "temperature": 0 }));
/// let ask = async || Ok::<_, std::io::Error>(LlmAnswer::new("Because."));
///
/// assert!(!cache.get_or_ask(&request, ask).await?.is_hit);
/// let again = cache.get_or_ask(&request, async || unreachable!("it is cached") as std::io::Result<_>).await?;
/// assert!(again.is_hit && again.answer.body == "Because.");
/// assert_eq!(cache.stats().hit_rate(), 0.5);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct LlmCache {
    flight: Flight,
    options: Arc<LlmCacheOptions>,
    counters: Arc<CacheCounters>,
}

impl LlmCache {
    /// A cache over `store`.
    ///
    /// # Errors
    /// [`InvalidSpan`] for a term out of bounds.
    pub fn new(store: Arc<dyn Store>, options: LlmCacheOptions) -> Result<Self, InvalidSpan> {
        let flight = Flight { store, term: Term::new(options.term)?, wait: options.wait };
        Ok(Self { flight, options: Arc::new(options), counters: CacheCounters::shared() })
    }

    /// The cached answer; asks the model if there is none that is young enough, and keeps what it says. While somebody
    /// else asks the same, waits for his answer, at most for the `wait` of the options.
    ///
    /// When this future is dropped while the model is asked, the next caller asks it at once.
    ///
    /// # Errors
    /// [`LlmCacheError::Model`] when the model gave none: then the next caller asks again, unless errors are kept.
    /// Otherwise trouble with the cache; when the model was asked and its answer could not be kept, that is
    /// [`LedgerError::Unrecorded`], which holds the answer.
    pub async fn get_or_ask<F, E>(
        &self,
        request: &LlmRequest,
        ask: impl FnOnce() -> F,
    ) -> Result<Cached, LlmCacheError<E>>
    where
        F: Future<Output = Result<LlmAnswer, E>>,
        E: Display,
    {
        let intent = self.intent(request)?;
        self.find_or_ask(&intent, ask).instrument(telemetry::get_or_ask(&intent)).await
    }

    async fn find_or_ask<F, E>(
        &self,
        intent: &Intent,
        ask: impl FnOnce() -> F,
    ) -> Result<Cached, LlmCacheError<E>>
    where
        F: Future<Output = Result<LlmAnswer, E>>,
        E: Display,
    {
        let (found, took) = self.flight.begun_or_replayed(intent).await?;
        match found {
            Call::Begun(attempt) => {
                self.counters.missed();
                self.ask(attempt, ask).await
            }
            Call::Replayed(output) => {
                let answer = read(&output)?;
                let tokens = answer.input_tokens.saturating_add(answer.output_tokens);
                self.counters.hit(tokens, answer.cost_micros, took);
                Ok(Cached { answer, is_hit: true })
            }
            Call::InDoubt(doubt) => Err(LedgerError::InDoubt(doubt).into()),
            Call::InFlight { key, .. } => {
                Err(LedgerError::StillInFlight { key, waited: self.flight.wait }.into())
            }
        }
    }

    /// Asks the model under an intent.
    async fn ask<F, E>(&self, attempt: Attempt, ask: impl FnOnce() -> F) -> Result<Cached, LlmCacheError<E>>
    where
        F: Future<Output = Result<LlmAnswer, E>>,
        E: Display,
    {
        let broken_off = Abandoning::unless_finished(&attempt);
        let said = ask().await;
        broken_off.finished();
        match said {
            Ok(answer) if answer.is_complete || self.options.keep_truncated => {
                let output = ToolOutput::Succeeded(answer.encode());
                self.flight.record(attempt, output).await?;
                Ok(Cached { answer, is_hit: false })
            }
            Ok(answer) => {
                give_up(&attempt).await;
                Ok(Cached { answer, is_hit: false })
            }
            Err(error) if self.options.keep_errors => {
                let output = ToolOutput::Failed(error.to_string().into());
                self.flight.record(attempt, output).await?;
                Err(LlmCacheError::Model(error))
            }
            Err(error) => {
                give_up(&attempt).await;
                Err(LlmCacheError::Model(error))
            }
        }
    }

    /// The cached answer, if there is one that is young enough. Asks nobody, waits for nobody, and counts nothing.
    ///
    /// # Errors
    /// [`LlmCacheError`], but for [`Model`](LlmCacheError::Model).
    pub async fn look_up(
        &self,
        request: &LlmRequest,
    ) -> Result<Option<LlmAnswer>, LlmCacheError<std::convert::Infallible>> {
        let intent = self.intent(request)?;
        let store = &self.flight.store;
        let Some(record) = store.operation(&intent.key).await.map_err(LedgerError::from)? else {
            return Ok(None);
        };
        let is_stale = intent.is_stale(record.operation.finished_at, store.env().clock().wall());
        match (record.operation.status, record.output) {
            (OperationStatus::Succeeded, Some(output)) if !is_stale => {
                Ok(Some(read(&ToolOutput::Succeeded(output.bytes().clone()))?))
            }
            _ => Ok(None),
        }
    }

    /// Forgets the answer to one request, and says whether there was one. While somebody asks the model, nothing is
    /// forgotten.
    ///
    /// # Errors
    /// [`LedgerError::Store`].
    pub async fn invalidate(&self, request: &LlmRequest) -> Result<bool, LedgerError> {
        let key = self.intent(request)?.key;
        let command = InvalidateOperation { key };
        match commit_one(&*self.flight.store, Durability::Durable, command).await {
            Ok(invalidated) => Ok(invalidated.was_there),
            Err(error) if error.reason().is_some() => Ok(false),
            Err(error) => Err(LedgerError::of_command(error)),
        }
    }

    /// Removes the answers that are too old to be used, and says how many. In pages: dropping the future ends it
    /// between two of them.
    ///
    /// # Errors
    /// [`LedgerError::Store`]; what was removed before stays so.
    pub async fn purge(&self) -> Result<u64, LedgerError> {
        purge(&*self.flight.store, MODEL_KEYS, self.options.ttl).await
    }

    /// What this cache and its clones have done in this process.
    pub fn stats(&self) -> CacheStats {
        self.counters.look()
    }

    fn intent(&self, request: &LlmRequest) -> Result<Intent, LedgerError> {
        let fingerprint = request.fingerprint(&self.options);
        Ok(Intent {
            name: request.name()?,
            key: request.key(fingerprint)?,
            fingerprint,
            task: None,
            lease: None,
            abandonment: Abandonment::Retake,
            durability: Durability::Relaxed,
            result_durability: Durability::Relaxed,
            fresh_for: Some(self.options.ttl),
        })
    }
}

fn read<E>(output: &ToolOutput) -> Result<LlmAnswer, LlmCacheError<E>> {
    match output {
        ToolOutput::Succeeded(bytes) => LlmAnswer::decode(bytes).ok_or(LlmCacheError::Unreadable),
        ToolOutput::Failed(bytes) => {
            Err(LlmCacheError::Remembered(String::from_utf8_lossy(bytes).into_owned()))
        }
    }
}

/// What cannot be given up comes free with the end of its term.
async fn give_up(attempt: &Attempt) {
    drop(attempt.give_up().await);
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use steadfast_store::env::Env;
    use steadfast_store::{
        BeginOperation, FinishOperation, MemoryStore, OperationEnd, OperationToken, Payload, StoreExt,
    };

    use super::*;

    #[tokio::test]
    async fn what_does_not_decode_is_told_and_never_handed_out() {
        let store = Arc::new(MemoryStore::new(Env::system()));
        let cache = LlmCache::new(store.clone(), LlmCacheOptions::default()).unwrap();
        let request = LlmRequest::new("model", json!({ "prompt": "Why?" }));
        let fingerprint = request.fingerprint(&LlmCacheOptions::default());
        let (key, token) = (request.key(fingerprint).unwrap(), OperationToken::from_bytes([7; 16]));
        let begin = BeginOperation {
            key: key.clone(),
            fingerprint,
            token,
            task: None,
            lease: None,
            term: Term::new(TERM_DEFAULT).unwrap(),
            abandonment: Abandonment::Retake,
            fresh_for: None,
        };
        store.begin_operation(begin).await.unwrap();
        let end = OperationEnd::Succeeded(Payload::new("written by nobody").unwrap());
        store.finish_operation(FinishOperation { key, token, end }).await.unwrap();

        let ask = async || Ok::<_, std::io::Error>(LlmAnswer::new("Because."));
        let error = cache.get_or_ask(&request, ask).await.unwrap_err();
        assert!(matches!(error, LlmCacheError::Unreadable), "{error:?}");
        assert!(error.to_string().contains("invalidate the request"), "{error}");
        assert!(cache.invalidate(&request).await.unwrap());
        assert!(!cache.get_or_ask(&request, ask).await.unwrap().is_hit);
    }
}
