//! The worker's model: each step asks it one thing, through the cache, and its answers make a chain that becomes the
//! task's result. Whoever knows the model can tell the right result without any worker.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use steadfast_idempotency::{LlmAnswer, LlmCache, LlmCacheError, LlmCacheOptions, LlmRequest};
use steadfast_store::Digest;

use super::board::Stage;
use super::{WorkError, Worker, hex};
use crate::planted::Planted;
use crate::recorder::{Outside, answer_to};

/// How long an answer is, in bytes, at least.
pub const ANSWER_BYTES: usize = 512;
/// The step at which the planted fault forgets the answer.
const FORGOTTEN: u16 = 2;
/// How much of a digest a chain keeps.
const CHAIN_BYTES: usize = 16;

/// The model and the cache before it.
pub(super) struct Model {
    cache: LlmCache,
    outside: Outside,
}

impl Model {
    pub(super) fn connect(
        store: std::sync::Arc<dyn steadfast_store::Store>,
        address: SocketAddr,
        term: Duration,
    ) -> Result<Self, WorkError> {
        let cache = LlmCache::new(store, LlmCacheOptions { term, ..LlmCacheOptions::default() })?;
        Ok(Self { cache, outside: Outside::connect(address)? })
    }
}

impl Worker {
    /// Asks for this step; the chain with the answer in it. Without a model there is none.
    pub(super) async fn think(&mut self, task: &str, step: u16) -> Result<String, WorkError> {
        let Some(model) = &mut self.model else { return Ok(String::new()) };
        self.listener.enter(Stage::Model, step);
        let prompt = prompt(task, step, &self.chain);
        let request = LlmRequest::new("large-model", json!({ "prompt": prompt, "temperature": 0 }));
        if self.args.planted == Some(Planted::NoCache) {
            model.outside.effect(&prompt, &self.args.holder)?;
        }
        let Model { cache, outside } = model;
        let ask = async || outside.effect(&prompt, &self.args.holder).map(LlmAnswer::new);
        let answer = cache.get_or_ask(&request, ask).await.map_err(|error| match error {
            LlmCacheError::Model(error) => WorkError::Io(error),
            LlmCacheError::Cache(error) => WorkError::Ledger(error),
            other => WorkError::Io(std::io::Error::other(other.to_string())),
        })?;
        if self.args.planted == Some(Planted::WrongAnswer) && step == FORGOTTEN {
            return Ok(self.chain.clone());
        }
        Ok(link(&self.chain, &answer.answer.body))
    }
}

/// What a step asks: it depends on every answer before.
fn prompt(task: &str, step: u16, chain: &str) -> String {
    format!("{task}/step-{step}/{chain}")
}

fn link(chain: &str, answer: &[u8]) -> String {
    let digest = Digest::fields("steadfast chaos chain").push(chain.as_bytes()).push(answer).finish();
    hex(&digest.as_bytes()[..CHAIN_BYTES])
}

/// The result of a task of so many steps.
pub fn right_result(task: &str, steps: u16) -> String {
    let next = |chain: String, step| {
        let answer = answer_to(&prompt(task, step, &chain), ANSWER_BYTES);
        link(&chain, answer.as_bytes())
    };
    (1..=steps).fold(String::new(), next)
}
