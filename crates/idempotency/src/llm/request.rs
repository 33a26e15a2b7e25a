//! A request to a model, and the key it has in the store.

use std::collections::BTreeSet;

use serde_json::Value;
use steadfast_store::planted::{self, Bug};
use steadfast_store::{Digest, Label, MODEL_KEYS, OperationKey};

use crate::error::LedgerError;
use crate::key::escaped;
use crate::llm::{LlmCacheOptions, fingerprint};

/// Longest part of a key that names the model.
const MODEL_BYTES_MAX: usize = 64;

/// A request to a model, whole: whatever can change the answer belongs into it.
///
/// ```
/// use serde_json::json;
/// use steadfast_idempotency::LlmRequest;
///
/// let request = LlmRequest {
///     tenant: Some("acme".into()),
///     ..LlmRequest::new("large-model", json!({ "messages": [{ "role": "user", "content": "Why?" }], "seed": 7 }))
/// };
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LlmRequest {
    /// Whose answer it is: no tenant gets another's. `None` is a tenant of its own.
    pub tenant: Option<String>,
    /// The model, with its version.
    pub model: String,
    /// Everything that is sent: messages, parameters, tools, format. The order of an object's fields does not count;
    /// everything else does, the form of a number included (`1` and `1.0` are two requests).
    pub body: Value,
}

impl LlmRequest {
    /// A request without a tenant.
    pub fn new(model: impl Into<String>, body: Value) -> Self {
        Self { tenant: None, model: model.into(), body }
    }

    /// Covers beside the request what the cache understands by an equal one and by an answer, so that caches which
    /// differ in that share nothing: one that ignores the temperature has no answers for one that does not.
    pub(super) fn fingerprint(&self, options: &LlmCacheOptions) -> Digest {
        let mut fields = Digest::fields("steadfast model request 1");
        let kept = [("errors", options.keep_errors), ("cut answers", options.keep_truncated)];
        for (what, _) in kept.into_iter().filter(|(_, is_kept)| *is_kept) {
            fields.push(b"kept").push(what.as_bytes());
        }
        match &self.tenant {
            Some(tenant) => fields.push(b"tenant").push(tenant.as_bytes()),
            None => fields.push(b"nobody"),
        };
        if !planted::is(Bug::ModelNotInKey) {
            fields.push(self.model.as_bytes());
        }
        match &self.body {
            Value::Object(body) => {
                let ignored: BTreeSet<&String> = options.ignored_fields.iter().collect();
                if !ignored.is_empty() {
                    fields.push(b"ignored").push(&(ignored.len() as u64).to_le_bytes());
                    for name in &ignored {
                        fields.push(name.as_bytes());
                    }
                }
                fingerprint::object(&mut fields, body.iter().filter(|(name, _)| !ignored.contains(name)));
            }
            body => fingerprint::value(&mut fields, body),
        }
        fields.finish()
    }

    /// What people know it by: the model.
    pub(super) fn name(&self) -> Result<Label, LedgerError> {
        Label::new(self.readable_model()).map_err(LedgerError::InvalidKey)
    }

    /// `llm-cache:MODEL:DIGEST`; the digest alone tells requests apart.
    pub(super) fn key(&self, fingerprint: Digest) -> Result<OperationKey, LedgerError> {
        let model = if planted::is(Bug::ModelNotInKey) { "model".to_owned() } else { self.readable_model() };
        OperationKey::new(format!("{MODEL_KEYS}{model}:{fingerprint}")).map_err(LedgerError::InvalidKey)
    }

    /// As much of the model's name as can stand in a key.
    fn readable_model(&self) -> String {
        let mut model = escaped(&self.model).replace('\0', "");
        model.truncate(model.floor_char_boundary(MODEL_BYTES_MAX));
        if model.is_empty() { "model".to_owned() } else { model }
    }
}
