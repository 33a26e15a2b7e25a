//! The exit of a command as evidence: what the ledger has recorded of it, never what somebody claims.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use steadfast_store::{Digest, OperationKey, OperationStatus, Payload, Store, StoreError};

use crate::evidence::beside::Beside;
use crate::evidence::digests::blake3_of_hex;
use crate::evidence::{Failure, Finding, InvalidEvidence, Obstacle};

/// The version written here.
const VERSION: u32 = 1;

/// That a command, run as an operation of the ledger, has ended with this exit code and this output. It holds
/// while the operation is in the store as it was: one that was purged, or run again with another result,
/// fails.
///
/// A step with this piece and the result of the same operation may be one commit: add the command that records the
/// result beside the checkpoint, and [`commit_step`](crate::CheckpointManager::commit_step) looks at what that says.
///
/// [`observe_command`](crate::CheckpointManager::observe_command) makes one of what the ledger holds. Made
/// here, of what the tool has returned, it says the same:
///
/// ```
/// use steadfast_checkpoints::{CommandExit, CommandOutcome, Piece};
/// use steadfast_store::OperationKey;
///
/// let operation = OperationKey::new("tool-ledger:cargo:report/tests")?;
/// let outcome = CommandOutcome::new(0, "48 passed", "");
/// let exit = CommandExit::of(operation, &outcome)?;
/// assert_eq!((exit.exit_code(), exit.output()), (0, outcome.to_payload()?.digest()));
/// let piece = Piece::CommandExit(exit);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandExit {
    operation: OperationKey,
    exit_code: i32,
    output: Digest,
}

impl CommandExit {
    /// The operation of this key must have ended with `exit_code`, and its whole output must have the digest
    /// `output`.
    pub fn new(operation: OperationKey, exit_code: i32, output: Digest) -> Self {
        Self { operation, exit_code, output }
    }

    /// The operation of this key must have ended with this very outcome.
    ///
    /// # Errors
    /// [`InvalidEvidence::TooLarge`] for an outcome over the limit of one payload, which no operation can
    /// have.
    pub fn of(operation: OperationKey, outcome: &CommandOutcome) -> Result<Self, InvalidEvidence> {
        Ok(Self::new(operation, outcome.exit_code, outcome.to_payload()?.digest()))
    }

    /// The operation's key in the store.
    pub fn operation(&self) -> &OperationKey {
        &self.operation
    }

    /// The exit code that it must have.
    pub fn exit_code(&self) -> i32 {
        self.exit_code
    }

    /// The digest that its output must have.
    pub fn output(&self) -> Digest {
        self.output
    }

    /// Looks at it now: at what is to be committed `beside` it, if that is about its operation, else in the store.
    pub(super) async fn look(&self, store: &dyn Store, beside: &Beside) -> Finding {
        let observed = match beside.output(&self.operation) {
            Some(Ok(output)) => ended(&self.operation, output, self.exit_code),
            Some(Err(finding)) => Err(finding),
            None => observe(store, &self.operation, self.exit_code).await,
        };
        match observed {
            Ok(found) if found.output == self.output => Finding::Verified,
            Ok(found) => {
                let (expected, found) = (self.output, found.output);
                Finding::Failed(Failure::OtherOutput { expected, found })
            }
            Err(finding) => finding,
        }
    }
}

/// The operation of this key, if it is recorded as a command that ended with `exit_code`.
pub(crate) async fn observe(
    store: &dyn Store,
    operation: &OperationKey,
    exit_code: i32,
) -> Result<CommandExit, Finding> {
    let record = match store.operation(operation).await {
        Ok(Some(record)) => record,
        Ok(None) => return Err(Finding::Failed(Failure::NoSuchOperation)),
        // No later look finds anything else.
        Err(error @ StoreError::Corrupt { .. }) => {
            return Err(Finding::Failed(Failure::DamagedOutput { why: error.to_string() }));
        }
        Err(error) => return Err(Finding::Pending(Obstacle::Store { why: error.to_string() })),
    };
    match record.operation.status {
        OperationStatus::Succeeded => {}
        OperationStatus::Pending => return Err(Finding::Pending(Obstacle::OperationUnfinished)),
        OperationStatus::Failed => return Err(Finding::Failed(Failure::OperationFailed)),
        OperationStatus::InDoubt => return Err(Finding::Failed(Failure::OperationInDoubt)),
        // The type may grow: what this program does not know it does not judge.
        other => {
            let what = "the operation has a status that this program does not know";
            return Err(Finding::Pending(Obstacle::System { what, why: other.to_string() }));
        }
    }
    ended(operation, &record.output.unwrap_or_else(Payload::empty), exit_code)
}

/// The operation that succeeded with this output, if that says that a command ended with `exit_code`.
fn ended(operation: &OperationKey, output: &Payload, exit_code: i32) -> Result<CommandExit, Finding> {
    let outcome = CommandOutcome::from_payload(output)
        .map_err(|unreadable| Finding::Failed(Failure::NoOutcome(unreadable)))?;
    if outcome.exit_code != exit_code {
        let failure = Failure::ExitCode { expected: exit_code, found: outcome.exit_code };
        return Err(Finding::Failed(failure));
    }
    Ok(CommandExit::new(operation.clone(), exit_code, output.digest()))
}

/// What a command wrote to one of its streams.
///
/// ```
/// # use steadfast_checkpoints::Captured;
/// let whole = Captured::from("three warnings");
/// // For what is too large to be kept: it can be recognised, not read.
/// let digest = Captured::digest_of(b"a gigabyte of logs");
/// assert!(matches!(digest, Captured::Digest { bytes: 18, .. }));
/// assert_ne!(whole, digest);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Captured {
    /// All of it.
    Whole(Bytes),
    /// How much it was, and its digest.
    Digest {
        /// Its length in bytes.
        bytes: u64,
        /// Its digest.
        digest: Digest,
    },
}

impl Captured {
    /// Length and digest of `bytes`.
    pub fn digest_of(bytes: &[u8]) -> Self {
        Self::Digest { bytes: bytes.len() as u64, digest: Digest::of(bytes) }
    }
}

impl<T: Into<Bytes>> From<T> for Captured {
    fn from(bytes: T) -> Self {
        Self::Whole(bytes.into())
    }
}

/// How a command ended: what a tool that runs one returns as its output, for [`CommandExit`] to look at.
/// Written as versioned JSON, the same bytes each time, by [`to_payload`](Self::to_payload) and by serde
/// alike.
///
/// ```
/// use steadfast_checkpoints::{Captured, CommandOutcome};
///
/// // In the tool: run the command, then say how it ended. A command that was killed has no exit code:
/// // give it the one that a shell would, 128 and the signal's number.
/// let outcome = CommandOutcome::new(101, "running 48 tests", Captured::digest_of(b"a long backtrace"));
/// let output = outcome.to_payload()?; // for `ToolOutput::Succeeded(output.bytes().clone())`
/// assert_eq!(CommandOutcome::from_payload(&output)?, outcome);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Wire", try_from = "Wire")]
pub struct CommandOutcome {
    /// Its exit code.
    pub exit_code: i32,
    /// What it wrote to its standard output.
    pub stdout: Captured,
    /// What it wrote to its standard error.
    pub stderr: Captured,
}

impl CommandOutcome {
    /// An exit code, and what was written: text or bytes to be kept whole, or a [`Captured::digest_of`] them.
    pub fn new(exit_code: i32, stdout: impl Into<Captured>, stderr: impl Into<Captured>) -> Self {
        Self { exit_code, stdout: stdout.into(), stderr: stderr.into() }
    }

    /// As it is stored.
    ///
    /// # Errors
    /// [`InvalidEvidence::TooLarge`] over the limit of one payload: keep a digest of what was written.
    pub fn to_payload(&self) -> Result<Payload, InvalidEvidence> {
        Ok(Payload::new(serde_json::to_vec(self)?)?)
    }

    /// Reads what [`to_payload`](Self::to_payload) has written.
    ///
    /// # Errors
    /// [`UnreadableOutcome`] for anything else.
    pub fn from_payload(payload: &Payload) -> Result<Self, UnreadableOutcome> {
        /// Read first and loosely: a newer version may look different in everything else.
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let malformed = |error: serde_json::Error| UnreadableOutcome::Malformed { why: error.to_string() };
        let Version { version: found } = serde_json::from_slice(payload.bytes()).map_err(malformed)?;
        if found > VERSION {
            return Err(UnreadableOutcome::TooNew { found });
        }
        serde_json::from_slice(payload.bytes()).map_err(malformed)
    }
}

/// An operation's output that is no outcome of a command.
///
/// ```
/// # use steadfast_checkpoints::{CommandOutcome, UnreadableOutcome};
/// # use steadfast_store::Payload;
/// let error = CommandOutcome::from_payload(&Payload::new("exit code 0, I promise")?).unwrap_err();
/// assert!(matches!(error, UnreadableOutcome::Malformed { .. }));
/// # Ok::<(), steadfast_store::PayloadTooLarge>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnreadableOutcome {
    /// A newer program has written it.
    #[error("the outcome has version {found}, this program knows {VERSION}: upgrade it")]
    TooNew {
        /// Its version.
        found: u32,
    },
    /// It is not what this program writes.
    #[error("no outcome of a command ({why}): let the tool return a `CommandOutcome`")]
    Malformed {
        /// What is wrong.
        why: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    version: u32,
    exit_code: i32,
    stdout: WireStream,
    stderr: WireStream,
}

/// Text stays readable in the store; only what is none is written in hexadecimal digits.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum WireStream {
    Text(String),
    Hex(String),
    Digest { bytes: u64, blake3: String },
}

impl From<CommandOutcome> for Wire {
    fn from(CommandOutcome { exit_code, stdout, stderr }: CommandOutcome) -> Self {
        Self { version: VERSION, exit_code, stdout: stdout.into(), stderr: stderr.into() }
    }
}

impl TryFrom<Wire> for CommandOutcome {
    type Error = &'static str;

    fn try_from(wire: Wire) -> Result<Self, Self::Error> {
        if wire.version != VERSION {
            return Err("a version that this program does not know");
        }
        let (stdout, stderr) = (wire.stdout.try_into()?, wire.stderr.try_into()?);
        Ok(Self { exit_code: wire.exit_code, stdout, stderr })
    }
}

impl From<Captured> for WireStream {
    fn from(captured: Captured) -> Self {
        match captured {
            Captured::Whole(bytes) => match std::str::from_utf8(&bytes) {
                Ok(text) => Self::Text(text.to_owned()),
                Err(_) => Self::Hex(to_hex(&bytes)),
            },
            Captured::Digest { bytes, digest } => Self::Digest { bytes, blake3: digest.to_string() },
        }
    }
}

impl TryFrom<WireStream> for Captured {
    type Error = &'static str;

    fn try_from(stream: WireStream) -> Result<Self, Self::Error> {
        Ok(match stream {
            WireStream::Text(text) => text.into(),
            WireStream::Hex(hex) => from_hex(&hex).ok_or("bytes that are no hexadecimal digits")?.into(),
            WireStream::Digest { bytes, blake3 } => {
                Self::Digest { bytes, digest: blake3_of_hex(&blake3).ok_or("a digest that is none")? }
            }
        })
    }
}

fn to_hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn from_hex(hex: &str) -> Option<Vec<u8>> {
    let (pairs, []) = hex.as_bytes().as_chunks::<2>() else { return None };
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|nibble| u8::try_from(nibble).ok());
    pairs.iter().map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<CommandOutcome, UnreadableOutcome> {
        CommandOutcome::from_payload(&Payload::new(json.to_owned()).unwrap())
    }

    #[test]
    fn an_outcome_reads_back_as_it_was_written() {
        let streams = || {
            let all_bytes: Vec<u8> = (0..=255).collect();
            let texts = ["", "täglich \"quoted\"\n\0"].map(Captured::from);
            texts.into_iter().chain([all_bytes.into(), Captured::digest_of(b"logs")])
        };
        for exit_code in [0, 1, -1, i32::MIN, i32::MAX] {
            for (stdout, stderr) in streams().flat_map(|out| streams().map(move |err| (out.clone(), err))) {
                let outcome = CommandOutcome { exit_code, stdout, stderr };
                let payload = outcome.to_payload().unwrap();
                assert_eq!(CommandOutcome::from_payload(&payload), Ok(outcome.clone()));
                assert_eq!(outcome.to_payload().unwrap(), payload, "the same bytes each time");
            }
        }
    }

    #[test]
    fn the_stored_form_of_an_outcome_never_changes() {
        let outcome = CommandOutcome::new(3, "out", vec![0xff, 0x0a]);
        let expected = r#"{"version":1,"exit_code":3,"stdout":{"text":"out"},"stderr":{"hex":"ff0a"}}"#;
        assert_eq!(String::from_utf8_lossy(outcome.to_payload().unwrap().bytes()), expected);
        let outcome = CommandOutcome::new(0, Captured::digest_of(b"x"), "");
        let digest = Digest::of(b"x");
        let expected = format!(
            r#"{{"version":1,"exit_code":0,"stdout":{},"stderr":{{"text":""}}}}"#,
            format_args!(r#"{{"digest":{{"bytes":1,"blake3":"{digest}"}}}}"#)
        );
        assert_eq!(String::from_utf8_lossy(outcome.to_payload().unwrap().bytes()), expected);
    }

    #[test]
    fn what_is_no_outcome_is_not_read() {
        let newer = r#"{"version":2,"exit":"fine"}"#;
        assert_eq!(read(newer), Err(UnreadableOutcome::TooNew { found: 2 }));
        let streams = r#""stdout":{"text":""},"stderr":{"text":""}"#;
        for json in [
            String::new(),
            "0".to_owned(),
            r#"{"exit_code":0}"#.to_owned(),
            format!(r#"{{"version":0,"exit_code":0,{streams}}}"#),
            format!(r#"{{"version":1,{streams}}}"#),
            format!(r#"{{"version":1,"exit_code":0,"exit_code":1,{streams}}}"#),
            format!(r#"{{"version":1,"exit_code":0,"signal":9,{streams}}}"#),
            format!(r#"{{"version":1,"exit_code":2147483648,{streams}}}"#),
            r#"{"version":1,"exit_code":0,"stdout":{"hex":"0"},"stderr":{"text":""}}"#.to_owned(),
            r#"{"version":1,"exit_code":0,"stdout":{"hex":"0g"},"stderr":{"text":""}}"#.to_owned(),
            r#"{"version":1,"exit_code":0,"stdout":{"digest":{"bytes":1}},"stderr":{"text":""}}"#.to_owned(),
            r#"{"version":1,"exit_code":0,"stdout":{"text":""},"stderr":{"digest":{"bytes":1,"blake3":"0"}}}"#
                .to_owned(),
        ] {
            let error = read(&json).unwrap_err();
            assert!(matches!(error, UnreadableOutcome::Malformed { .. }), "{json}: {error}");
        }
        assert!(read(&format!(r#"{{"version":1,"exit_code":0,{streams}}}"#)).is_ok());
    }
}
