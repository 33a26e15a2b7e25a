//! Asking: callers that want answers of a model, which is another process, through the cache.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use steadfast_idempotency::{LlmAnswer, LlmCache, LlmCacheOptions, LlmRequest};
use steadfast_store::Digest;

use super::{CrewError, Member, Trouble};
use crate::planted::Planted;
use crate::recorder::Outside;

/// What an answer costs, in millionths, and how many tokens it counts: figures to be saved.
const COST_MICROS: u64 = 150;
const TOKENS: u64 = 40;
/// How long a caller waits for another one's answer.
const WAIT: Duration = Duration::from_secs(30);

/// What is asked.
#[derive(Debug, Clone, clap::Args)]
pub struct AskArgs {
    /// Where the model listens.
    #[arg(long)]
    model: SocketAddr,
    /// The number of the first prompt.
    #[arg(long, default_value_t = 0)]
    first: usize,
    /// How many prompts.
    #[arg(long)]
    prompts: usize,
    /// Callers that ask at the same time: each asks every prompt.
    #[arg(long)]
    callers: usize,
    /// How long one caller may take to get an answer before another one asks instead, in milliseconds.
    #[arg(long)]
    term_ms: u64,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AskReport {
    /// Requests answered from the cache.
    pub hits: u64,
    /// Requests for which the model was asked.
    pub misses: u64,
    /// As the cache computes it.
    pub hit_rate: f64,
    /// Tokens that were not paid for again.
    pub tokens_saved: u64,
    /// Their price.
    pub cost_saved_micros: u64,
    /// Of each prompt, the digests of all answers that the callers got.
    pub answers: BTreeMap<String, Vec<String>>,
    /// Callers that got none.
    pub trouble: Trouble,
}

impl Member {
    pub(super) async fn ask(&mut self, args: AskArgs) -> Result<(), CrewError> {
        let options = LlmCacheOptions {
            term: Duration::from_millis(args.term_ms),
            wait: WAIT,
            ..LlmCacheOptions::default()
        };
        let cache = LlmCache::new(self.store.clone(), options)?;
        self.ready().await?;
        let callers: Vec<_> = (0..args.callers)
            .map(|_| {
                let (cache, name, args) = (cache.clone(), self.name.clone(), args.clone());
                let bypasses = self.has(Planted::NoCache);
                tokio::spawn(async move { Caller { cache, name, args, bypasses }.ask().await })
            })
            .collect();
        let (mut answers, mut trouble) = (BTreeMap::<String, Vec<String>>::new(), Trouble::default());
        for caller in callers {
            let (got, missed) = caller.await??;
            for (prompt, digest) in got {
                let digests = answers.entry(prompt).or_default();
                digests.push(digest);
                digests.dedup();
            }
            trouble.merge(&missed);
        }
        let stats = cache.stats();
        let hit_rate = stats.hit_rate();
        let (tokens_saved, cost_saved_micros) = (stats.tokens_saved, stats.cost_saved_micros);
        let (hits, misses) = (stats.hits, stats.misses);
        self.report(&AskReport { hits, misses, hit_rate, tokens_saved, cost_saved_micros, answers, trouble })
    }
}

struct Caller {
    cache: LlmCache,
    name: String,
    args: AskArgs,
    bypasses: bool,
}

impl Caller {
    async fn ask(self) -> Result<(Vec<(String, String)>, Trouble), CrewError> {
        let (mut got, mut trouble) = (Vec::with_capacity(self.args.prompts), Trouble::default());
        for number in self.args.first..self.args.first + self.args.prompts {
            let prompt = format!("prompt-{number}");
            let body = json!({ "messages": [{ "role": "user", "content": prompt }], "temperature": 0 });
            let request = LlmRequest::new("large-model", body);
            if self.bypasses {
                generate(self.args.model, prompt.clone(), self.name.clone()).await?;
            }
            let ask = || generate(self.args.model, prompt.clone(), self.name.clone());
            match self.cache.get_or_ask(&request, ask).await {
                Ok(cached) => got.push((prompt, Digest::of(&cached.answer.body).to_string())),
                Err(error) => trouble.add(error),
            }
        }
        Ok((got, trouble))
    }
}

/// Asks the model itself, on a thread that may block.
async fn generate(model: SocketAddr, prompt: String, asker: String) -> io::Result<LlmAnswer> {
    let done = tokio::task::spawn_blocking(move || Outside::connect(model)?.effect(&prompt, &asker)).await;
    let body = done.map_err(io::Error::other)??;
    Ok(LlmAnswer { output_tokens: TOKENS, cost_micros: COST_MICROS, ..LlmAnswer::new(body) })
}
