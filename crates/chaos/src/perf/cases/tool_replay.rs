//! `tool_replay`: a call that was made before, answered from the ledger.

use bytes::Bytes;
use serde_json::{Value, json};
use steadfast_idempotency::{Call, Effect, LedgerOptions, ToolCall, ToolLedger, ToolOutput};
use steadfast_store::Label;

use super::hits::{Hits, VALUES, measure};
use super::{FILLERS, Ground, runtime};
use crate::case::{Case, CaseError, Context, Needs, Runs};
use crate::perf::VALUE_BYTES;
use crate::perf::subject::refused;

/// The case.
pub(super) const CASE: Case = Case {
    id: "tool_replay",
    title: "Tool Replay",
    shows: "A replay takes at most three times as long as a bare select with the same digests and copies.",
    needs: Needs::Anything,
    runs: Runs::of(15, 31),
    run,
};

struct Ledger {
    ledger: ToolLedger,
    calls: Vec<ToolCall>,
}

impl Hits for Ledger {
    async fn hit(&self, index: usize) -> Result<(), CaseError> {
        match self.ledger.call(&self.calls[index]).await.map_err(refused("replay a call"))? {
            Call::Replayed(output) if output.bytes().len() == VALUE_BYTES => Ok(()),
            _ => Err(refused("replay a call")("the output is not whole")),
        }
    }

    fn request(&self, index: usize) -> Value {
        let call = &self.calls[index];
        json!({ "tool": call.tool.as_str(), "key": call.key, "input": String::from_utf8_lossy(&call.input) })
    }
}

fn run(context: &mut Context) -> Result<(), CaseError> {
    let ground = Ground::new(context)?;
    let runtime = runtime()?;
    let opened = runtime.block_on(ground.store("ledger.db"))?;
    let ledger = ToolLedger::new(opened.store(), LedgerOptions::default()).map_err(refused("take a term"))?;
    let tool = Label::new("search").map_err(refused("take a label"))?;
    let calls = (0..VALUES).map(|number| call(&tool, number)).collect();
    let hits = Ledger { ledger, calls };
    let mut rng = context.rng(2);
    let outputs: Vec<Bytes> = (0..VALUES).map(|_| ground.pool.cut(&mut rng, VALUE_BYTES)).collect();
    runtime.block_on(super::fill(VALUES, FILLERS, |number| {
        let (ledger, call, output) =
            (hits.ledger.clone(), hits.calls[number].clone(), outputs[number].clone());
        async move {
            let ran = ledger.run(&call, async || ToolOutput::Succeeded(output)).await;
            ran.map(drop).map_err(refused("fill the ledger"))
        }
    }))?;
    measure(context, &ground, &runtime, &hits, "replay")?;
    drop(hits);
    runtime.block_on(opened.close());
    Ok(())
}

fn call(tool: &Label, number: usize) -> ToolCall {
    let input =
        format!("query {number}: calls that were made once and cost twice, newest first, ten results");
    ToolCall::new(tool.clone(), format!("report/search-{number}"), input, Effect::Idempotent)
}
