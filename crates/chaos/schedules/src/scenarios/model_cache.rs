//! Single flight through the model cache: who asks, and what everybody gets.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use serde_json::json;
use shuttle::future::{block_on, spawn};
use steadfast_idempotency::{Cached, LlmAnswer, LlmCache, LlmCacheOptions, LlmRequest};
use steadfast_store::MemoryStore;

use crate::bugs::Outside;
use crate::met::Met;
use crate::world::{environment, some_choices, unless_dropped};

const CALLERS: usize = 3;

pub(super) fn one_winner() {
    let (asked, got) = ask(false);
    assert_eq!(asked, 1, "the model was asked more than once by callers who asked the same at once");
    same_bytes(&got, CALLERS);
}

pub(super) fn winner_gone() {
    let (asked, got) = ask(true);
    assert_eq!(asked, 2, "the model is asked by the one who vanished, and by one other");
    same_bytes(&got, CALLERS - 1);
}

fn same_bytes(got: &[Cached], callers: usize) {
    assert_eq!(got.len(), callers, "every caller that stayed gets an answer");
    assert_eq!(got.iter().filter(|cached| !cached.is_hit).count(), 1, "one of them is the winner");
    let is_same = |cached: &Cached| cached.answer == got[0].answer;
    assert!(got.iter().all(is_same), "callers who asked the same got different bytes");
}

/// How often the model was asked, and what came back to those whose future was not dropped.
fn ask(first_vanishes: bool) -> (u32, Vec<Cached>) {
    let store = MemoryStore::new(environment(Met::ChangeAwaited));
    let asked = Arc::new(AtomicU32::new(0));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let own = if Outside::NothingShared.is_in() {
                MemoryStore::new(environment(Met::ChangeAwaited))
            } else {
                store.peer()
            };
            let asked = Arc::clone(&asked);
            spawn(async move { one(own, &asked, first_vanishes).await })
        })
        .collect();
    let got = block_on(async {
        let mut got = Vec::new();
        for caller in callers {
            got.extend(caller.await.ok().flatten());
        }
        got
    });
    (asked.load(Ordering::Relaxed), got)
}

/// One caller; `None` when it vanished while it asked the model.
async fn one(store: MemoryStore, asked: &AtomicU32, first_vanishes: bool) -> Option<Cached> {
    let Ok(cache) = LlmCache::new(Arc::new(store), LlmCacheOptions::default()) else {
        panic!("the default term is a term")
    };
    let request = LlmRequest::new("model", json!({ "prompt": "Why?" }));
    let is_gone = Arc::new(AtomicBool::new(false));
    let ask = async || {
        let number = asked.fetch_add(1, Ordering::Relaxed) + 1;
        some_choices().await;
        if first_vanishes && number == 1 {
            Met::WinnerGone.count();
            is_gone.store(true, Ordering::Relaxed);
            return pending().await;
        }
        Ok::<_, io::Error>(LlmAnswer::new(format!("answer {number}")))
    };
    match unless_dropped(cache.get_or_ask(&request, ask), Arc::clone(&is_gone)).await? {
        Ok(cached) => {
            if cached.is_hit {
                Met::Shared.count();
            }
            Some(cached)
        }
        Err(error) => panic!("a caller has no answer: {error}"),
    }
}
