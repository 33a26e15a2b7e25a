//! Running tools: real shell commands, each through the ledger.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};
use steadfast_idempotency::{Effect, LedgerOptions, ToolCall, ToolLedger, ToolOutput};
use steadfast_store::{Digest, Label};

use super::{CrewError, Member, Trouble};
use crate::planted::Planted;

/// What each command does: a line in the counter that nobody of us keeps, and an answer.
const SCRIPT: &str = r#"echo "$1" >> "$2" && echo "done: $1 with $BASHPID""#;

/// What is run.
#[derive(Debug, Clone, clap::Args)]
pub struct ToolsArgs {
    /// How many commands.
    #[arg(long)]
    count: usize,
    /// The file in which the commands leave a line each.
    #[arg(long)]
    counter: PathBuf,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ToolsReport {
    /// Tools run.
    pub executions: u64,
    /// Calls answered from the ledger.
    pub replays: u64,
    /// As the ledger computes it.
    pub replay_rate: f64,
    /// The digest of each command's output, in their order.
    pub outputs: Vec<String>,
    /// Commands without an outcome.
    pub trouble: Trouble,
}

impl Member {
    pub(super) async fn tools(&mut self, args: ToolsArgs) -> Result<(), CrewError> {
        let ledger = ToolLedger::new(self.store.clone(), LedgerOptions::default())?;
        let tool = Label::new("bash")?;
        self.ready().await?;
        let (mut outputs, mut trouble) = (Vec::with_capacity(args.count), Trouble::default());
        for number in 0..args.count {
            let key = format!("command-{number}");
            let call = ToolCall::new(tool.clone(), key.clone(), SCRIPT, Effect::AtMostOnce);
            if self.has(Planted::RerunTool) && number == 0 {
                bash(key.clone(), args.counter.clone()).await?;
            }
            let ran = ledger.run(&call, || ran(key.clone(), args.counter.clone())).await;
            match ran {
                Ok(ran) if ran.output.is_success() => {
                    outputs.push(Digest::of(ran.output.bytes()).to_string());
                }
                Ok(ran) => trouble.add(String::from_utf8_lossy(ran.output.bytes())),
                Err(error) => trouble.add(error),
            }
        }
        let stats = ledger.stats();
        let (executions, replays, replay_rate) = (stats.executions, stats.replays, stats.replay_rate());
        self.report(&ToolsReport { executions, replays, replay_rate, outputs, trouble })
    }
}

async fn ran(key: String, counter: PathBuf) -> ToolOutput {
    match bash(key, counter).await {
        Ok(output) => ToolOutput::Succeeded(output.into()),
        Err(error) => ToolOutput::Failed(error.to_string().into()),
    }
}

/// Runs the command, on a thread that may block.
async fn bash(key: String, counter: PathBuf) -> io::Result<Vec<u8>> {
    let run = move || run(&key, &counter);
    tokio::task::spawn_blocking(run).await.map_err(io::Error::other)?
}

fn run(key: &str, counter: &Path) -> io::Result<Vec<u8>> {
    let output = Command::new("bash").args(["-c", SCRIPT, "bash", key]).arg(counter).output()?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
    }
}
