//! `llm_lookup`: a hit of the model cache, request and all.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use steadfast_idempotency::{LlmAnswer, LlmCache, LlmCacheOptions, LlmRequest};

use super::hits::{Hits, VALUES, measure};
use super::{FILLERS, Ground, runtime};
use crate::case::{Case, CaseError, Context, Needs, Runs};
use crate::perf::VALUE_BYTES;
use crate::perf::subject::refused;

/// The case.
pub(super) const CASE: Case = Case {
    id: "llm_lookup",
    title: "LLM Cache Lookup",
    shows: "A hit takes at most three times as long as a bare select with the same digests and copies.",
    needs: Needs::Anything,
    runs: Runs::of(15, 31),
    run,
};

struct Cache {
    cache: LlmCache,
    requests: Vec<LlmRequest>,
}

impl Hits for Cache {
    async fn hit(&self, index: usize) -> Result<(), CaseError> {
        let ask = async || Err::<LlmAnswer, _>("the model was asked");
        let cached = self.cache.get_or_ask(&self.requests[index], ask).await;
        let cached = cached.map_err(|error| refused("answer from the cache")(error.to_string()))?;
        let is_whole = cached.is_hit && cached.answer.body.len() == VALUE_BYTES;
        if is_whole { Ok(()) } else { Err(refused("answer from the cache")("the answer is not whole")) }
    }

    fn request(&self, index: usize) -> Value {
        self.requests[index].body.clone()
    }
}

fn run(context: &mut Context) -> Result<(), CaseError> {
    let ground = Ground::new(context)?;
    let runtime = runtime()?;
    let opened = runtime.block_on(ground.store("cache.db"))?;
    let cache = LlmCache::new(opened.store(), LlmCacheOptions::default()).map_err(refused("take a term"))?;
    let requests = (0..VALUES).map(request).collect();
    let hits = Cache { cache, requests };
    runtime.block_on(fill(&ground, context, &hits))?;
    measure(context, &ground, &runtime, &hits, "hit")?;
    drop(hits);
    runtime.block_on(opened.close());
    Ok(())
}

fn request(number: usize) -> LlmRequest {
    let question = format!("Question {number}: why does a call that was made once cost twice?");
    let body = json!({
        "messages": [
            { "role": "system", "content": "You answer in one sentence." },
            { "role": "user", "content": question },
        ],
        "temperature": 0,
        "max_tokens": 512,
    });
    LlmRequest::new("large-model", body)
}

/// Asks everything once, some callers at a time.
async fn fill(ground: &Ground, context: &Context, hits: &Cache) -> Result<(), CaseError> {
    let mut rng = context.rng(2);
    let answers: Arc<Vec<Bytes>> =
        Arc::new((0..VALUES).map(|_| ground.pool.cut(&mut rng, VALUE_BYTES)).collect());
    let requests = Arc::new(hits.requests.clone());
    super::fill(VALUES, FILLERS, move |number| {
        let (cache, requests, answers) = (hits.cache.clone(), requests.clone(), answers.clone());
        async move {
            let ask = async || Ok::<_, std::convert::Infallible>(LlmAnswer::new(answers[number].clone()));
            let cached = cache.get_or_ask(&requests[number], ask).await;
            cached.map(drop).map_err(|error| refused("fill the cache")(error.to_string()))
        }
    })
    .await
}
