//! The cache of model answers: one answer for equal requests, none for any other, and nothing kept that should not be.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use steadfast_idempotency::{Cached, LlmAnswer, LlmCache, LlmCacheError, LlmCacheOptions, LlmRequest};
use steadfast_store::env::{Env, ManualClock};
use steadfast_store::{MODEL_KEYS, MemoryStore, PurgeOperations, Store, StoreExt};

use crate::stage::{soon, wrap_for};

struct Model {
    clock: Arc<ManualClock>,
    cache: LlmCache,
    store: Arc<MemoryStore>,
    asked: AtomicU32,
}

impl Model {
    fn new(options: LlmCacheOptions) -> Self {
        let clock = Arc::new(ManualClock::new());
        let store = Arc::new(MemoryStore::new(Env::system().with_clock(clock.clone())));
        Self { clock, cache: LlmCache::new(store.clone(), options).unwrap(), store, asked: AtomicU32::new(0) }
    }

    async fn get(&self, request: &LlmRequest) -> Cached {
        let ask = async || {
            let number = self.asked.fetch_add(1, Ordering::SeqCst);
            let tokens =
                LlmAnswer { input_tokens: 5, output_tokens: 7, cost_micros: 11, ..LlmAnswer::new("") };
            Ok::<_, String>(LlmAnswer { body: format!("answer {number}").into(), ..tokens })
        };
        self.cache.get_or_ask(request, ask).await.unwrap()
    }

    async fn is_hit(&self, request: &LlmRequest) -> bool {
        self.get(request).await.is_hit
    }
}

fn request() -> LlmRequest {
    let body = json!({
        "messages": [{ "role": "user", "content": "Why? \u{0} é" }, { "role": "system", "content": "" }],
        "temperature": 0.5, "seed": 7, "stop": null, "stream": false, "tools": [], "format": { "type": "json" }
    });
    LlmRequest { tenant: Some("acme".into()), ..LlmRequest::new("model-1", body) }
}

#[tokio::test]
async fn an_equal_request_gets_the_same_bytes_and_the_order_of_fields_does_not_count() {
    let model = Model::new(LlmCacheOptions::default());
    let first = model.get(&request()).await;
    let text = request().body.to_string();
    let reversed: serde_json::Map<String, Value> =
        request().body.as_object().unwrap().clone().into_iter().rev().collect();
    for body in [serde_json::from_str(&text).unwrap(), Value::Object(reversed)] {
        let again = model.get(&LlmRequest { body, ..request() }).await;
        assert!(again.is_hit && again.answer == first.answer);
    }
    let stats = model.cache.stats();
    assert_eq!((stats.hits, stats.misses), (2, 1));
    assert_eq!((stats.tokens_saved, stats.cost_saved_micros), (24, 22));
    assert!((stats.hit_rate() - 2.0 / 3.0).abs() < 1e-9);
}

/// Every value that differs from `value` in one place.
fn variants(value: &Value) -> Vec<Value> {
    let mut others = match value {
        Value::Null => vec![json!(false), json!("null"), json!([])],
        Value::Bool(value) => vec![json!(!value), json!(value.to_string()), Value::Null],
        Value::Number(number) => vec![
            json!(number.as_f64().unwrap() + 1.0),
            json!(number.to_string()),
            json!(9_007_199_254_740_993_u64),
            json!(9_007_199_254_740_992_u64),
        ],
        Value::String(text) => vec![json!(format!("{text} ")), json!(format!(" {text}")), Value::Null],
        Value::Array(_) | Value::Object(_) => vec![Value::Null],
    };
    match value {
        Value::Array(elements) => {
            let mut longer = elements.clone();
            longer.push(Value::Null);
            others.push(Value::Array(longer));
            for (at, element) in elements.iter().enumerate() {
                let mut fewer = elements.clone();
                fewer.remove(at);
                others.push(Value::Array(fewer));
                others.extend(variants(element).into_iter().map(|other| {
                    let mut changed = elements.clone();
                    changed[at] = other;
                    Value::Array(changed)
                }));
            }
            let mut turned = elements.clone();
            turned.reverse();
            if turned != *elements {
                others.push(Value::Array(turned));
            }
        }
        Value::Object(members) => {
            let mut more = members.clone();
            more.insert("one more".into(), Value::Null);
            others.push(Value::Object(more));
            for (name, member) in members {
                let mut fewer = members.clone();
                fewer.remove(name);
                let mut renamed = fewer.clone();
                renamed.insert(format!("{name}_"), member.clone());
                others.extend([Value::Object(fewer), Value::Object(renamed)]);
                others.extend(variants(member).into_iter().map(|other| {
                    let mut changed = members.clone();
                    changed.insert(name.clone(), other);
                    Value::Object(changed)
                }));
            }
        }
        _ => {}
    }
    others
}

#[tokio::test]
async fn a_request_that_differs_in_any_one_place_misses() {
    let model = Model::new(LlmCacheOptions::default());
    assert!(!model.is_hit(&request()).await);
    let mut others: Vec<LlmRequest> =
        variants(&request().body).into_iter().map(|body| LlmRequest { body, ..request() }).collect();
    for tenant in [None, Some(String::new()), Some("acme ".into()), Some("ACME".into())] {
        others.push(LlmRequest { tenant, ..request() });
    }
    for name in ["", "model-2", "model-1 ", "model:1"] {
        others.push(LlmRequest { model: name.into(), ..request() });
    }
    // Only as much of a name as people read stands in the key; all of it counts.
    let long = "m".repeat(200);
    for name in ["model\0-1".to_owned(), long.clone(), format!("{long}1"), format!("{long}2")] {
        others.push(LlmRequest { model: name, ..request() });
    }
    // What stands in one place must not count as standing in another.
    others.push(LlmRequest { tenant: Some("acmemodel-1".into()), model: String::new(), ..request() });
    let mut seen = Vec::new();
    others.retain(|other| {
        !seen.contains(other) && {
            seen.push(other.clone());
            true
        }
    });
    assert!(others.len() > 60, "{}", others.len());
    for (number, other) in others.iter().enumerate() {
        assert!(!model.is_hit(other).await, "variant {number} hit: {other:?}");
    }
    assert!(model.is_hit(&request()).await);
}

/// Any JSON, of no more than this depth.
fn any_value(rng: &mut fastrand::Rng, depth: u32) -> Value {
    let text = |rng: &mut fastrand::Rng| -> String {
        (0..rng.usize(0..6)).map(|_| rng.char('\0'..='\u{2ff}')).collect()
    };
    match rng.u32(0..if depth == 0 { 4 } else { 6 }) {
        0 => Value::Null,
        1 => json!(rng.bool()),
        2 => json!(rng.i32(-3..1_000)),
        3 => json!(text(rng)),
        4 => (0..rng.usize(0..4)).map(|_| any_value(rng, depth - 1)).collect(),
        _ => (0..rng.usize(0..4)).map(|_| (text(rng), any_value(rng, depth - 1))).collect(),
    }
}

#[tokio::test]
async fn whatever_is_asked_hits_itself_and_nothing_that_differs_in_one_place() {
    const BODIES: u64 = 256;
    let mut compared = 0;
    for seed in 0..BODIES {
        let model = Model::new(LlmCacheOptions::default());
        let body = any_value(&mut fastrand::Rng::with_seed(seed), 3);
        let of = |body: &Value| LlmRequest { body: body.clone(), ..request() };
        assert!(!model.is_hit(&of(&body)).await, "seed {seed}");
        for other in variants(&body).into_iter().filter(|other| *other != body) {
            let looked_up = model.cache.look_up(&of(&other)).await.unwrap();
            assert_eq!(looked_up, None, "seed {seed}: {other} hit {body}");
            compared += 1;
        }
        assert!(model.is_hit(&of(&body)).await, "seed {seed}");
    }
    assert!(compared > 1_500, "{compared}");
}

#[tokio::test]
async fn a_field_counts_unless_it_is_named_as_ignorable() {
    let ignored_fields = vec!["seed".to_owned(), "stream".to_owned()];
    let model = Model::new(LlmCacheOptions { ignored_fields, ..LlmCacheOptions::default() });
    let with = |name: &str, value: Value| {
        let mut body = request().body;
        body[name] = value;
        LlmRequest { body, ..request() }
    };
    assert!(!model.is_hit(&request()).await);
    assert!(model.is_hit(&with("seed", json!(8))).await);
    assert!(model.is_hit(&with("stream", json!(true))).await);
    assert!(!model.is_hit(&with("temperature", json!(0.6))).await);
    let inside = with("format", json!({ "type": "json", "seed": 8 }));
    assert!(!model.is_hit(&inside).await, "a name inside another field is another field");
}

/// A second cache over the same store, as another program would have.
async fn looks_up(model: &Model, options: LlmCacheOptions, request: &LlmRequest) -> Option<LlmAnswer> {
    let other = LlmCache::new(model.store.clone(), options).unwrap();
    other.look_up(request).await.unwrap()
}

#[tokio::test]
async fn a_cache_that_ignores_a_field_answers_for_none_that_counts_it() {
    let ignoring = |names: &[&str]| LlmCacheOptions {
        ignored_fields: names.iter().map(|&name| name.to_owned()).collect(),
        ..LlmCacheOptions::default()
    };
    let hot = LlmRequest::new("model-1", json!({ "prompt": "Why?", "temperature": 2 }));
    let plain = LlmRequest::new("model-1", json!({ "prompt": "Why?" }));
    let model = Model::new(ignoring(&["temperature"]));
    let answer = model.get(&hot).await.answer;
    assert_eq!(looks_up(&model, LlmCacheOptions::default(), &plain).await, None);
    assert_eq!(looks_up(&model, ignoring(&["seed"]), &plain).await, None);
    // The cache itself goes by its word: the field does not count, whether it is there or not.
    assert!(model.is_hit(&plain).await);
    // Neither the order of the names nor one named twice makes another cache.
    let model = Model::new(ignoring(&["temperature", "seed"]));
    assert_ne!(model.get(&hot).await.answer.body, "");
    let same = looks_up(&model, ignoring(&["seed", "temperature", "seed"]), &hot).await;
    assert_eq!(same, Some(answer));
}

#[tokio::test]
async fn a_cache_that_keeps_only_whole_answers_gets_none_that_another_one_kept() {
    let cut = LlmAnswer { is_complete: false, ..LlmAnswer::new("half an ans") };
    let usual = LlmCacheOptions::default;
    let model = Model::new(LlmCacheOptions { keep_truncated: true, ..usual() });
    model.cache.get_or_ask(&request(), async || Ok::<_, String>(cut.clone())).await.unwrap();
    assert!(model.get(&request()).await.answer == cut, "it was kept");
    assert_eq!(looks_up(&model, usual(), &request()).await, None);
    let other = LlmCache::new(model.store.clone(), usual()).unwrap();
    let whole = async || Ok::<_, String>(LlmAnswer::new("a whole answer"));
    assert_eq!(other.get_or_ask(&request(), whole).await.unwrap().answer.body, "a whole answer");

    let model = Model::new(LlmCacheOptions { keep_errors: true, ..usual() });
    let failed = model.cache.get_or_ask(&request(), async || Err("no answer".to_owned())).await;
    assert!(matches!(failed, Err(LlmCacheError::Model(_))), "{failed:?}");
    let other = LlmCache::new(model.store.clone(), usual()).unwrap();
    assert_eq!(other.get_or_ask(&request(), whole).await.unwrap().answer.body, "a whole answer");
}

#[tokio::test]
async fn an_answer_is_used_until_it_is_too_old_and_then_purged() {
    let ttl = Duration::from_secs(60);
    let model = Model::new(LlmCacheOptions { ttl, ..LlmCacheOptions::default() });
    let first = model.get(&request()).await.answer;
    model.clock.advance(Duration::from_millis(59_999));
    assert_eq!(model.cache.look_up(&request()).await.unwrap(), Some(first.clone()));
    assert_eq!(model.cache.purge().await.unwrap(), 0);
    model.clock.advance(Duration::from_millis(1));
    assert_eq!(model.cache.look_up(&request()).await.unwrap(), None);
    let second = model.get(&request()).await;
    assert!(!second.is_hit && second.answer != first);
    assert!(model.is_hit(&request()).await);
    model.clock.advance(ttl);
    assert_eq!(model.cache.purge().await.unwrap(), 1);
    assert_eq!(model.store.monitoring().await.unwrap().model_answers.entries, 0);
}

/// Found by the simulation: too old to be used and too new to be asked for again, it was neither.
#[tokio::test]
async fn an_answer_that_only_the_callers_clock_finds_too_old_is_used() {
    let clocks = [Arc::new(ManualClock::new()), Arc::new(ManualClock::new())];
    let [own, others] = clocks.clone().map(|clock| Env::system().with_clock(clock));
    let options = LlmCacheOptions { ttl: Duration::from_secs(3_600), ..LlmCacheOptions::default() };
    let cache = LlmCache::new(wrap_for(MemoryStore::new(own), others), options).unwrap();
    let ask = async || Ok::<_, String>(LlmAnswer::new("Because."));
    assert!(!cache.get_or_ask(&request(), ask).await.unwrap().is_hit);
    clocks[1].step_wall(24 * 3_600_000);
    assert!(cache.get_or_ask(&request(), ask).await.unwrap().is_hit, "to the store it is fresh");
    clocks[0].step_wall(24 * 3_600_000);
    assert!(!cache.get_or_ask(&request(), ask).await.unwrap().is_hit, "now it is not");
}

#[tokio::test]
async fn an_invalidated_answer_is_asked_for_again() {
    let model = Model::new(LlmCacheOptions::default());
    assert!(!model.cache.invalidate(&request()).await.unwrap(), "there is nothing yet");
    model.get(&request()).await;
    assert!(model.cache.invalidate(&request()).await.unwrap());
    assert!(!model.is_hit(&request()).await);
}

/// What an agent makes of five answers, each of which leads to the next question. Before the question of that number
/// the whole cache is lost.
async fn chain(model: &Model, loses_before: Option<u32>) -> String {
    let mut chain = String::new();
    for step in 0..5 {
        if loses_before == Some(step) {
            let purge =
                PurgeOperations { prefix: MODEL_KEYS.to_owned(), older_than: Duration::ZERO, limit: 100 };
            model.store.purge_operations(purge).await.unwrap();
            assert_eq!(model.store.monitoring().await.unwrap().model_answers.entries, 0);
        }
        let request = LlmRequest::new("model-1", json!({ "prompt": format!("{step} after {chain}") }));
        let ask = async || {
            model.asked.fetch_add(1, Ordering::SeqCst);
            Ok::<_, String>(LlmAnswer::new(format!("{:?}", request.body)))
        };
        let answer = model.cache.get_or_ask(&request, ask).await.unwrap().answer;
        chain = steadfast_store::Digest::of(&answer.body).to_string();
    }
    chain
}

#[tokio::test]
async fn the_loss_of_the_whole_cache_costs_questions_and_changes_no_result() {
    let model = Model::new(LlmCacheOptions::default());
    let right = chain(&model, None).await;
    assert_eq!(chain(&model, None).await, right);
    assert_eq!(model.asked.swap(0, Ordering::SeqCst), 5, "nothing was asked twice");
    for loses_before in 0..5 {
        assert_eq!(chain(&model, Some(loses_before)).await, right);
        // What was answered from the cache before the loss was lost after its use.
        assert_eq!(model.asked.swap(0, Ordering::SeqCst), 5 - loses_before);
        chain(&model, None).await;
        assert_eq!(model.asked.swap(0, Ordering::SeqCst), loses_before);
    }
}

#[tokio::test]
async fn errors_and_cut_answers_are_kept_only_when_asked() {
    let cut = || LlmAnswer { is_complete: false, ..LlmAnswer::new("half an ans") };
    let model = Model::new(LlmCacheOptions::default());
    let failed = model.cache.get_or_ask(&request(), async || Err("no answer".to_owned())).await;
    assert!(matches!(failed, Err(LlmCacheError::Model(error)) if error == "no answer"));
    let half = model.cache.get_or_ask(&request(), async || Ok::<_, String>(cut())).await.unwrap();
    assert!(!half.is_hit && !half.answer.is_complete);
    assert!(!model.is_hit(&request()).await, "neither was kept");

    let options = LlmCacheOptions { keep_errors: true, keep_truncated: true, ..LlmCacheOptions::default() };
    let model = Model::new(options);
    let _ = model.cache.get_or_ask(&request(), async || Err("no answer".to_owned())).await;
    let again = model.cache.get_or_ask(&request(), async || Ok::<_, String>(cut())).await;
    assert!(matches!(again, Err(LlmCacheError::Remembered(text)) if text == "no answer"));
    model.cache.invalidate(&request()).await.unwrap();
    model.cache.get_or_ask(&request(), async || Ok::<_, String>(cut())).await.unwrap();
    let again = model.get(&request()).await;
    assert!(again.is_hit && again.answer == cut());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_ask_at_once_one_asks_the_model() {
    let store = Arc::new(MemoryStore::new(Env::system()).with_yields());
    let asked = Arc::new(AtomicU32::new(0));
    let callers: Vec<_> = (0..50)
        .map(|number| {
            // Two managers, as two processes would have.
            let cache = LlmCache::new(store.clone(), LlmCacheOptions::default()).unwrap();
            let asked = Arc::clone(&asked);
            tokio::spawn(async move {
                let ask = async || {
                    asked.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    Ok::<_, String>(LlmAnswer::new(format!("from {number}")))
                };
                cache.get_or_ask(&request(), ask).await.unwrap().answer.body
            })
        })
        .collect();
    let mut bodies = Vec::new();
    for caller in callers {
        bodies.push(soon(caller).await.unwrap());
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    bodies.dedup();
    assert_eq!(bodies.len(), 1);
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_the_question_to_the_next_at_once() {
    let model = Model::new(LlmCacheOptions::default());
    {
        let request = request();
        let ask = async || std::future::pending::<Result<LlmAnswer, String>>().await;
        let gone = model.cache.get_or_ask(&request, ask);
        let first = tokio::time::timeout(Duration::from_millis(20), gone).await;
        assert!(first.is_err(), "the model never answers");
    }
    assert!(!soon(model.get(&request())).await.is_hit);
}

#[test]
fn a_term_of_nothing_is_refused() {
    let options = LlmCacheOptions { term: Duration::ZERO, ..LlmCacheOptions::default() };
    assert!(LlmCache::new(Arc::new(MemoryStore::new(Env::system())), options).is_err());
}
