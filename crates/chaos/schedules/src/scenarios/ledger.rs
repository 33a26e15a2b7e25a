//! Single flight through the tool ledger: who makes the call, and what everybody is told.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use shuttle::future::{block_on, spawn};
use steadfast_idempotency::{Effect, LedgerError, LedgerOptions, Ran, ToolCall, ToolLedger, ToolOutput};
use steadfast_store::{Label, MemoryStore};

use crate::bugs::Outside;
use crate::met::Met;
use crate::world::{chance, environment, some_choices, unless_dropped};

const CALLERS: usize = 3;

pub(super) fn one_winner() {
    let (made, told) = call(Effect::AtMostOnce, false);
    assert_eq!(made, 1, "the call was made more than once by callers who made the same at once");
    same_bytes(told, CALLERS);
}

pub(super) fn winner_gone() {
    let effect = if chance(50) { Effect::Idempotent } else { Effect::AtMostOnce };
    let (made, told) = call(effect, true);
    if effect == Effect::Idempotent {
        assert_eq!(made, 2, "the call is made by the one who vanished, and by one other");
        return same_bytes(told, CALLERS - 1);
    }
    assert_eq!(
        made, 1,
        "a call whose maker vanished was made again, and is declared to be made at most once"
    );
    assert_eq!(told.len(), CALLERS - 1, "every caller that stayed is told something");
    for told in told {
        assert!(matches!(told, Err(LedgerError::InDoubt(_))), "not in doubt: {told:?}");
    }
}

fn same_bytes(told: Vec<Result<Ran, LedgerError>>, callers: usize) {
    let told: Vec<Ran> =
        told.into_iter().map(|told| told.unwrap_or_else(|e| panic!("refused: {e}"))).collect();
    assert_eq!(told.len(), callers, "every caller that stayed is told something");
    assert_eq!(told.iter().filter(|ran| !ran.replayed).count(), 1, "one of them is the winner");
    let is_same = |ran: &Ran| ran.output == told[0].output;
    assert!(told.iter().all(is_same), "callers who made the same call got different bytes");
}

/// How often the tool was called, and what was told to those whose future was not dropped.
fn call(effect: Effect, first_vanishes: bool) -> (u32, Vec<Result<Ran, LedgerError>>) {
    let store = MemoryStore::new(environment(Met::ChangeAwaited));
    let made = Arc::new(AtomicU32::new(0));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let own = if Outside::NothingShared.is_in() {
                MemoryStore::new(environment(Met::ChangeAwaited))
            } else {
                store.peer()
            };
            let made = Arc::clone(&made);
            spawn(async move { one(own, effect, &made, first_vanishes).await })
        })
        .collect();
    let told = block_on(async {
        let mut told = Vec::new();
        for caller in callers {
            told.extend(caller.await.ok().flatten());
        }
        told
    });
    (made.load(Ordering::Relaxed), told)
}

/// One caller; `None` when it vanished while the tool ran.
async fn one(
    store: MemoryStore,
    effect: Effect,
    made: &AtomicU32,
    first_vanishes: bool,
) -> Option<Result<Ran, LedgerError>> {
    let (Ok(ledger), Ok(name)) =
        (ToolLedger::new(Arc::new(store), LedgerOptions::default()), Label::new("send-mail"))
    else {
        panic!("the default term is a term, and the name a name")
    };
    let call = ToolCall::new(name, "report/mail", "to: all", effect);
    let is_gone = Arc::new(AtomicBool::new(false));
    let tool = async || {
        let number = made.fetch_add(1, Ordering::Relaxed) + 1;
        some_choices().await;
        if first_vanishes && number == 1 {
            Met::WinnerGone.count();
            is_gone.store(true, Ordering::Relaxed);
            return pending().await;
        }
        ToolOutput::Succeeded(format!("output {number}").into())
    };
    let told = unless_dropped(ledger.run(&call, tool), Arc::clone(&is_gone)).await?;
    if told.as_ref().is_ok_and(|ran| ran.replayed) {
        Met::Shared.count();
    }
    Some(told)
}
