//! A request to a model, and the key it has in the store.

use serde_json::Value;
use steadfast_store::planted::{self, Bug};
use steadfast_store::{Digest, Label, MODEL_KEYS, OperationKey};

use crate::error::LedgerError;
use crate::key::escaped;
use crate::llm::fingerprint;

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

    pub(super) fn fingerprint(&self, ignored_fields: &[String]) -> Digest {
        let mut fields = Digest::fields("steadfast model request 1");
        match &self.tenant {
            Some(tenant) => fields.push(b"tenant").push(tenant.as_bytes()),
            None => fields.push(b"nobody"),
        };
        if !planted::is(Bug::ModelNotInKey) {
            fields.push(self.model.as_bytes());
        }
        match &self.body {
            Value::Object(body) => {
                let counted = body.iter().filter(|(name, _)| !ignored_fields.contains(name));
                fingerprint::object(&mut fields, counted);
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
