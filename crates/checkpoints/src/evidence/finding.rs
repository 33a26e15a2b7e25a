//! What a look at evidence finds: of each piece, and of the pack by its rule.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use steadfast_store::Digest;

use crate::evidence::{ExpectedRow, FileDigest, FoundKind, Piece, Rule, UnreadableOutcome};

/// Most characters of a piece's own text that a report shows.
const SHOWN_CHARS_MAX: usize = 120;

/// Why a piece does not hold.
///
/// ```
/// use steadfast_checkpoints::{Failure, Finding};
///
/// let finding = Finding::Failed(Failure::Missing);
/// assert!(finding.to_string().contains("make it again"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// There is nothing at the path.
    #[error("it is not there: make it again or go on from an earlier checkpoint")]
    Missing,
    /// A part of the path is a symbolic link.
    #[error("its path passes a symbolic link: name the file itself")]
    Symlink,
    /// The path leads out of the base folder.
    #[error("its path leaves the base folder: keep evidence below it")]
    LeavesBase,
    /// It is a folder, a device, a pipe or a socket.
    #[error("it is not a regular file: name one")]
    NotAFile,
    /// It belongs to a store that is open in this process; reading it here could lose acknowledged commits.
    #[error("it is a store's own file: name something that the work itself has made")]
    OwnFile,
    /// It is too large to be hashed.
    #[error(
        "its {actual} bytes are over the limit of {limit}: split it, or name a file of its parts' digests"
    )]
    TooLarge {
        /// Its size in bytes.
        actual: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// Somebody wrote to it while it was hashed.
    #[error("it changed while it was read: finish writing before you name it")]
    Changed,
    /// Its content is another one.
    #[error("its content has digest {found}, not {expected}: it was changed since")]
    Mismatch {
        /// The digest in the evidence.
        expected: FileDigest,
        /// The digest of the file.
        found: FileDigest,
    },
    /// Something is there, of another kind.
    #[error("it is {found}: ask for that, or name something else")]
    OtherKind {
        /// What is there.
        found: FoundKind,
    },
    /// The store has no operation of that key.
    #[error("no operation has this key: run the command under it; it may have been purged or given up")]
    NoSuchOperation,
    /// The operation has an error as its outcome: the tool says that it did not run the command.
    #[error("the operation ended as failed: run the command again under another key")]
    OperationFailed,
    /// Nobody knows what became of the operation.
    #[error("the operation is in doubt: settle that first")]
    OperationInDoubt,
    /// The operation's output does not match the digest that was stored beside it.
    #[error("the operation's output cannot be trusted ({why})")]
    DamagedOutput {
        /// What the store said.
        why: String,
    },
    /// The operation is not recorded as that of a command.
    #[error("the operation's output is {0}")]
    NoOutcome(#[source] UnreadableOutcome),
    /// The command has ended otherwise.
    #[error(
        "the command ended with exit code {found}, not {expected}: mend what it complains of, run it again"
    )]
    ExitCode {
        /// The exit code in the evidence.
        expected: i32,
        /// The recorded one.
        found: i32,
    },
    /// The operation's output is another one.
    #[error("the operation's output has digest {found}, not {expected}: it was run again, observe it anew")]
    OtherOutput {
        /// The digest in the evidence.
        expected: Digest,
        /// The digest of the output.
        found: Digest,
    },
    /// No query is registered under that name.
    #[error("no query is registered under this name: give the manager one, by `Verifiers::query`")]
    UnknownQuery,
    /// The query finds no row.
    #[error("the query finds no row: write it again or go on from an earlier checkpoint")]
    NoRow,
    /// The row is another one.
    #[error("the row has digest {found}, not {expected}: it was changed since")]
    OtherRow {
        /// The digest in the evidence.
        expected: Digest,
        /// The digest of the row.
        found: Digest,
    },
    /// No verifier is registered under that name.
    #[error("no verifier is registered under this name: give the manager one, by `Verifiers::verifier`")]
    UnknownVerifier,
    /// A registered verifier says so.
    #[error("{why}")]
    Refused {
        /// What it says.
        why: String,
    },
}

/// Why a piece could not be looked at. It may hold all the same; the next look may tell.
///
/// ```
/// use steadfast_checkpoints::{Finding, Obstacle};
///
/// // It may hold all the same: a pending piece is looked at again, and no verdict is recorded.
/// let finding = Finding::Pending(Obstacle::BrokenOff);
/// assert!(finding.to_string().starts_with("pending: "));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Obstacle {
    /// The base folder cannot be opened.
    #[error("the base folder {base:?} cannot be opened ({why}): create it or correct the option")]
    Base {
        /// The folder.
        base: PathBuf,
        /// What the system said.
        why: String,
    },
    /// The system refused.
    #[error("{what} ({why}): look again when that is mended")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        why: String,
    },
    /// The look itself broke off: it panicked, or the runtime went away.
    #[error("the look was broken off: look again, and at what the program has logged")]
    BrokenOff,
    /// The operation has not ended.
    #[error("the operation is not finished: record its result before the evidence is looked at")]
    OperationUnfinished,
    /// The store could not be read.
    #[error("the store could not be read ({why}): look again when that is mended")]
    Store {
        /// What it said.
        why: String,
    },
    /// A registered query could not look.
    #[error("the query could not look ({why}): look again when that is mended")]
    Query {
        /// What it said.
        why: String,
    },
    /// A registered query or verifier took too long.
    #[error("no answer within {patience:?}: look again, or register it with more patience")]
    TooSlow {
        /// How long it was waited for.
        patience: Duration,
    },
    /// A registered verifier says so.
    #[error("{why}")]
    Undecided {
        /// What it says.
        why: String,
    },
}

/// What a look at one piece found.
///
/// ```
/// use steadfast_checkpoints::Finding;
///
/// /// What a verifier of one's own says of a ticket.
/// fn of_ticket(status: &str) -> Finding {
///     match status {
///         "closed" => Finding::Verified,
///         "open" => Finding::failed("the ticket is open: close it first"),
///         _ => Finding::pending("the tracker does not answer"),
///     }
/// }
/// assert_eq!(of_ticket("closed"), Finding::Verified);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It holds, now.
    Verified,
    /// It does not.
    Failed(Failure),
    /// It could not be looked at.
    Pending(Obstacle),
}

impl Finding {
    /// What a [`Verifier`](crate::Verifier) answers when its subject does not hold, with what to do about it.
    pub fn failed(why: impl Into<String>) -> Self {
        Self::Failed(Failure::Refused { why: why.into() })
    }

    /// What a [`Verifier`](crate::Verifier) answers when it could not look, with what to do about it.
    pub fn pending(why: impl Into<String>) -> Self {
        Self::Pending(Obstacle::Undecided { why: why.into() })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verified => f.write_str("verified"),
            Self::Failed(failure) => write!(f, "failed: {failure}"),
            Self::Pending(obstacle) => write!(f, "pending: {obstacle}"),
        }
    }
}

/// One piece and what was found.
///
/// ```
/// # use std::sync::Arc;
/// # use steadfast_checkpoints::{CheckpointManager, CheckpointOptions, EvidencePack, NewCheckpoint, Rule};
/// # use steadfast_store::{CreateTask, Label, MemoryStore, Payload, StoreExt, TaskId, env::Env};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, folder) = (Arc::new(MemoryStore::new(Env::system())), tempfile::tempdir()?);
/// # let (task, kind) = (TaskId::new("report")?, Label::new("research")?);
/// # store.create_task(CreateTask { task: task.clone(), kind: kind.clone(), input: Payload::empty() }).await?;
/// # let checkpoints = CheckpointManager::new(store, CheckpointOptions::new(folder.path()));
/// # std::fs::write(folder.path().join("notes.md"), "three sources")?;
/// # let evidence = EvidencePack::new(Rule::All, vec![checkpoints.observe_file("notes.md").await?])?;
/// # let new = NewCheckpoint { evidence, ..NewCheckpoint::new(task.clone(), kind, "sources collected") };
/// # let prepared = checkpoints.prepare(new)?;
/// let report = checkpoints.check(prepared.evidence().clone()).await;
/// assert_eq!(report.pieces[0].to_string(), r#"file "notes.md" verified"#);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PieceReport {
    /// The piece.
    pub piece: Piece,
    /// What a look at it found.
    pub finding: Finding,
}

impl fmt::Display for PieceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.piece, self.finding)
    }
}

impl fmt::Display for Piece {
    /// Its kind and its subject, the latter cut when it is long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FileHash(file) => write!(f, "file {:?}", file.path()),
            Self::ArtifactExists(artifact) => write!(f, "{} {:?}", artifact.kind(), artifact.path()),
            Self::CommandExit(exit) => {
                write!(f, "exit code {} of operation {:?}", exit.exit_code(), exit.operation().as_str())
            }
            Self::DatabaseRow(row) => {
                let query = row.query().as_str();
                let parameters = cut(format!("{:?}", row.parameters()));
                let what = match row.expected() {
                    ExpectedRow::Exists => "row",
                    ExpectedRow::Content(_) => "content of the row",
                };
                write!(f, "{what} of query {query:?} with {parameters}")
            }
            Self::Custom(custom) => {
                let subject = cut(custom.subject().to_owned());
                write!(f, "verifier {:?} on {subject}", custom.verifier().as_str())
            }
        }
    }
}

/// The text in one line, and no more of it than a report has room for.
fn cut(mut text: String) -> String {
    if let Some((at, _)) = text.char_indices().nth(SHOWN_CHARS_MAX) {
        text.truncate(at);
        text.push('…');
    }
    text.replace(char::is_control, " ")
}

/// What all findings together say.
///
/// ```
/// # use std::sync::Arc;
/// # use steadfast_checkpoints::{CheckpointManager, CheckpointOptions, EvidencePack, NewCheckpoint, Rule};
/// # use steadfast_store::{CreateTask, Label, MemoryStore, Payload, StoreExt, TaskId, env::Env};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, folder) = (Arc::new(MemoryStore::new(Env::system())), tempfile::tempdir()?);
/// # let (task, kind) = (TaskId::new("report")?, Label::new("research")?);
/// # store.create_task(CreateTask { task: task.clone(), kind: kind.clone(), input: Payload::empty() }).await?;
/// # let checkpoints = CheckpointManager::new(store, CheckpointOptions::new(folder.path()));
/// # std::fs::write(folder.path().join("notes.md"), "three sources")?;
/// # let evidence = EvidencePack::new(Rule::All, vec![checkpoints.observe_file("notes.md").await?])?;
/// # let new = NewCheckpoint { evidence, ..NewCheckpoint::new(task.clone(), kind, "sources collected") };
/// # let prepared = checkpoints.prepare(new)?;
/// # checkpoints.commit_step(&prepared, None, |_batch| {}).await?;
/// use steadfast_checkpoints::Judgement;
///
/// let report = checkpoints.verify(prepared.id()).await?;
/// assert_eq!(report.judgement(), Judgement::Verified);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// The rule holds, now.
    Verified,
    /// The rule cannot hold.
    Failed,
    /// It depends on pieces that could not be looked at.
    Pending,
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Verified => "verified",
            Self::Failed => "failed",
            Self::Pending => "pending",
        })
    }
}

/// What a look at a whole pack found.
///
/// ```
/// # use std::sync::Arc;
/// # use steadfast_checkpoints::{CheckpointManager, CheckpointOptions, EvidencePack, NewCheckpoint, Rule};
/// # use steadfast_store::{CreateTask, Label, MemoryStore, Payload, StoreExt, TaskId, env::Env};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, folder) = (Arc::new(MemoryStore::new(Env::system())), tempfile::tempdir()?);
/// # let (task, kind) = (TaskId::new("report")?, Label::new("research")?);
/// # store.create_task(CreateTask { task: task.clone(), kind: kind.clone(), input: Payload::empty() }).await?;
/// # let checkpoints = CheckpointManager::new(store, CheckpointOptions::new(folder.path()));
/// # std::fs::write(folder.path().join("notes.md"), "three sources")?;
/// # let evidence = EvidencePack::new(Rule::All, vec![checkpoints.observe_file("notes.md").await?])?;
/// # let new = NewCheckpoint { evidence, ..NewCheckpoint::new(task.clone(), kind, "sources collected") };
/// # let prepared = checkpoints.prepare(new)?;
/// std::fs::remove_file(folder.path().join("notes.md"))?;
/// let report = checkpoints.check(prepared.evidence().clone()).await;
/// for piece in report.open_pieces() {
///     println!("{piece}");
/// }
/// assert_eq!(report.open_pieces().count(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceReport {
    /// What the rule makes of it.
    pub judgement: Judgement,
    /// Each piece, in the order of the pack.
    pub pieces: Vec<PieceReport>,
}

impl EvidenceReport {
    pub(crate) fn new(rule: Rule, pieces: Vec<PieceReport>) -> Self {
        let count = |is: fn(&Finding) -> bool| pieces.iter().filter(|piece| is(&piece.finding)).count();
        let verified = count(|finding| matches!(finding, Finding::Verified));
        let pending = count(|finding| matches!(finding, Finding::Pending(_)));
        let needed = match rule {
            Rule::All => pieces.len(),
            Rule::AtLeast(count) => count as usize,
        };
        let judgement = if verified >= needed {
            Judgement::Verified
        } else if verified + pending >= needed {
            Judgement::Pending
        } else {
            Judgement::Failed
        };
        Self { judgement, pieces }
    }

    /// The pieces that do not hold or could not be looked at.
    pub fn open_pieces(&self) -> impl Iterator<Item = &PieceReport> {
        self.pieces.iter().filter(|piece| piece.finding != Finding::Verified)
    }
}

impl fmt::Display for EvidenceReport {
    /// The judgement, then every piece that does not hold.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.judgement)?;
        self.open_pieces().try_for_each(|piece| write!(f, "; {piece}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Custom, FileHash};

    fn judge(rule: Rule, findings: &str) -> Judgement {
        let pieces = findings.chars().map(|letter| PieceReport {
            piece: Piece::FileHash(FileHash::new("a", Digest::ZERO).unwrap()),
            finding: match letter {
                'v' => Finding::Verified,
                'f' => Finding::Failed(Failure::Missing),
                _ => Finding::Pending(Obstacle::BrokenOff),
            },
        });
        EvidenceReport::new(rule, pieces.collect()).judgement
    }

    #[test]
    fn the_rule_decides_what_the_findings_together_say() {
        for (findings, all, two) in [
            ("vvv", Judgement::Verified, Judgement::Verified),
            ("vvf", Judgement::Failed, Judgement::Verified),
            ("vvp", Judgement::Pending, Judgement::Verified),
            ("vfp", Judgement::Failed, Judgement::Pending),
            ("vff", Judgement::Failed, Judgement::Failed),
            ("ffp", Judgement::Failed, Judgement::Failed),
            ("fpp", Judgement::Failed, Judgement::Pending),
            ("ppp", Judgement::Pending, Judgement::Pending),
        ] {
            assert_eq!(judge(Rule::All, findings), all, "all of {findings}");
            assert_eq!(judge(Rule::AtLeast(2), findings), two, "two of {findings}");
        }
        assert_eq!(judge(Rule::All, ""), Judgement::Verified);
    }

    #[test]
    fn a_long_subject_is_cut_at_a_character_and_stays_in_its_line() {
        let piece = Piece::Custom(Custom::new("v", format!("\"\u{20ac}{}\"\n", "ä".repeat(1_000))).unwrap());
        let shown = piece.to_string();
        assert!(shown.ends_with("ä…") && shown.chars().count() < 150, "{shown}");
        let piece = Piece::Custom(Custom::new("v", "{\n}").unwrap());
        assert_eq!(piece.to_string(), "verifier \"v\" on { }");
    }
}
