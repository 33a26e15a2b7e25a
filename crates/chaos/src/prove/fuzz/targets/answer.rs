//! The cached answer of a model: what decodes is what is stored, byte for byte, and nothing else is handed out.

use std::cell::RefCell;
use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use steadfast_idempotency::{LedgerError, LlmAnswer, LlmCache, LlmCacheError, LlmCacheOptions, LlmRequest};
use steadfast_store::env::Env;
use steadfast_store::{
    Abandonment, BeginOperation, Digest, FinishOperation, MemoryStore, OperationEnd, OperationKey,
    OperationToken, Payload, StoreExt, Term,
};

use super::{Met, scratch};

/// Any bytes as the stored answer to one request.
pub fn answer(data: &[u8]) -> Met {
    static KEY: OnceLock<OperationKey> = OnceLock::new();
    let request = LlmRequest::new("model", serde_json::json!({ "prompt": "Why?" }));
    let key = KEY.get_or_init(|| key_of(&request, LlmCacheOptions::default()));
    let Ok(stored) = Payload::new(data.to_vec()) else { return Met::Refused };
    let cache = cache_with(key, stored);
    let asked = || std::future::ready(Err::<LlmAnswer, _>("the model was asked past the cache".to_owned()));
    let (looked_up, got) =
        scratch::run(async { (cache.look_up(&request).await, cache.get_or_ask(&request, asked).await) });
    match (looked_up, got) {
        (Ok(Some(found)), Ok(got)) => {
            assert!(got.is_hit && got.answer == found, "two readings of one answer differ");
            is_stored(&found, data);
            Met::Taken
        }
        (Err(LlmCacheError::Unreadable), Err(LlmCacheError::Unreadable)) => Met::Refused,
        other => panic!("the cache answered {other:?}"),
    }
}

/// A cache whose store has this output under the key.
fn cache_with(key: &OperationKey, output: Payload) -> LlmCache {
    let store = Arc::new(MemoryStore::new(Env::system()));
    let token = OperationToken::from_bytes([7; 16]);
    // The look-up goes by the key; the fingerprint must be that of the request, which is the end of its key.
    let (_, digest) = key.as_str().rsplit_once(':').unwrap_or_default();
    let fingerprint = digest_of_hex(digest);
    let begin = BeginOperation {
        key: key.clone(),
        fingerprint,
        token,
        task: None,
        lease: None,
        term: term(),
        abandonment: Abandonment::Retake,
        fresh_for: None,
    };
    let finish = FinishOperation { key: key.clone(), token, end: OperationEnd::Succeeded(output) };
    let stored = scratch::run(async {
        store.begin_operation(begin).await?;
        store.finish_operation(finish).await
    });
    assert!(stored.is_ok(), "{stored:?}");
    match LlmCache::new(store, LlmCacheOptions::default()) {
        Ok(cache) => cache,
        Err(error) => panic!("{error}"),
    }
}

fn term() -> Term {
    match Term::new(Duration::from_secs(60)) {
        Ok(term) => term,
        Err(error) => panic!("{error}"),
    }
}

/// What is handed out is what is stored: version, flag, three counts, then the body to its last byte.
fn is_stored(found: &LlmAnswer, data: &[u8]) {
    let counts = [found.input_tokens, found.output_tokens, found.cost_micros];
    let mut again = vec![1, u8::from(found.is_complete)];
    for count in counts {
        again.extend(count.to_le_bytes());
    }
    again.extend_from_slice(&found.body);
    assert_eq!(again, data, "another answer than the stored one: {found:?}");
}

fn digest_of_hex(hex: &str) -> Digest {
    let mut bytes = [0; 32];
    for (byte, digits) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).unwrap_or_default();
        *byte = u8::from_str_radix(digits, 16).unwrap_or(0);
    }
    Digest::from_bytes(bytes)
}

/// The key that a request has in the store. The cache tells it to whoever asks the same while the model is asked.
pub(super) fn key_of(request: &LlmRequest, options: LlmCacheOptions) -> OperationKey {
    let store = Arc::new(MemoryStore::new(Env::system()));
    let options = LlmCacheOptions { wait: Duration::ZERO, ..options };
    let cache = match LlmCache::new(store, options) {
        Ok(cache) => cache,
        Err(error) => panic!("{error}"),
    };
    let told = RefCell::new(None);
    let ask = || async {
        let again = || std::future::ready(Ok::<_, Infallible>(LlmAnswer::new("asked twice")));
        let answered = cache.get_or_ask(request, again).await;
        told.replace(Some(answered));
        Ok::<_, Infallible>(LlmAnswer::new("Because."))
    };
    let first = scratch::run(cache.get_or_ask(request, ask));
    assert!(matches!(&first, Ok(cached) if !cached.is_hit), "{first:?}");
    match told.into_inner() {
        Some(Err(LlmCacheError::Cache(LedgerError::StillInFlight { key, .. }))) => key,
        other => panic!("the same request while it is under way was answered {other:?}"),
    }
}
