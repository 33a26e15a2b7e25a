//! Payloads: bytes that the store keeps and never reads, each with the digest that its maker computed.

use bytes::Bytes;

use crate::digest::Digest;
use crate::env::Env;
use crate::limits::PAYLOAD_BYTES_MAX;
use crate::planted::{self, Bug};

/// A payload over [`PAYLOAD_BYTES_MAX`]. Nothing was written.
///
/// ```
/// use steadfast_store::{Payload, limits::PAYLOAD_BYTES_MAX};
///
/// let error = Payload::new(vec![0; PAYLOAD_BYTES_MAX + 1]).unwrap_err();
/// println!("{error}");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a payload of {actual} bytes is over the limit of {limit}: keep the bytes in a file and give the store its digest"
)]
pub struct PayloadTooLarge {
    /// Its length in bytes.
    pub actual: usize,
    /// The limit in bytes.
    pub limit: usize,
}

/// Bytes and their BLAKE3 digest. Cloning shares the bytes.
///
/// The digest is computed here, by the caller, so that the store's single writer need not.
///
/// ```
/// # use steadfast_store::Payload;
/// let payload = Payload::new("state")?;
/// assert_eq!(payload.bytes().as_ref(), b"state");
/// # Ok::<(), steadfast_store::PayloadTooLarge>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    bytes: Bytes,
    digest: Digest,
}

impl Payload {
    /// Takes the bytes and computes their digest.
    ///
    /// # Errors
    /// [`PayloadTooLarge`] over [`PAYLOAD_BYTES_MAX`].
    pub fn new(bytes: impl Into<Bytes>) -> Result<Self, PayloadTooLarge> {
        let bytes = bytes.into();
        check_length(bytes.len())?;
        let digest = Digest::of(&bytes);
        Ok(Self { bytes, digest })
    }

    /// No bytes.
    pub fn empty() -> Self {
        Self { bytes: Bytes::new(), digest: Digest::of(&[]) }
    }

    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Their digest.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Takes bytes read from storage, if they match the digest stored beside them.
    ///
    /// # Errors
    /// [`DamagedPayload`] when they do not.
    pub fn open(bytes: Bytes, stored: Digest) -> Result<Self, DamagedPayload> {
        let digest = Digest::of(&bytes);
        if digest == stored || planted::is(Bug::DigestNotCompared) {
            Ok(Self { bytes, digest: stored })
        } else {
            Err(DamagedPayload { stored, found: digest })
        }
    }
}

/// Bytes, a random salt and the digest over both: after salt and bytes are erased, the digest that stays in the
/// chain gives away nothing, however few values the bytes could have had.
///
/// ```
/// # use steadfast_store::{SealedPayload, env::Env};
/// let sealed = SealedPayload::seal("sources collected", &Env::system())?;
/// // Salted, so that equal states of two customers have different digests.
/// assert_ne!(sealed, SealedPayload::seal("sources collected", &Env::system())?);
/// # Ok::<(), steadfast_store::PayloadTooLarge>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedPayload {
    bytes: Bytes,
    salt: [u8; 16],
    digest: Digest,
}

impl SealedPayload {
    /// Takes the bytes, draws a salt, computes the digest over both.
    ///
    /// # Errors
    /// [`PayloadTooLarge`] over [`PAYLOAD_BYTES_MAX`].
    pub fn seal(bytes: impl Into<Bytes>, env: &Env) -> Result<Self, PayloadTooLarge> {
        let bytes = bytes.into();
        check_length(bytes.len())?;
        let mut salt = [0; 16];
        env.rng().fill(&mut salt);
        let digest = salted(&salt, &bytes);
        Ok(Self { bytes, salt, digest })
    }

    /// Takes bytes and salt read from storage, if they match the digest stored beside them.
    ///
    /// # Errors
    /// [`DamagedPayload`] when they do not.
    pub fn open(bytes: Bytes, salt: [u8; 16], stored: Digest) -> Result<Self, DamagedPayload> {
        let digest = salted(&salt, &bytes);
        if digest == stored || planted::is(Bug::DigestNotCompared) {
            Ok(Self { bytes, salt, digest: stored })
        } else {
            Err(DamagedPayload { stored, found: digest })
        }
    }

    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The salt.
    pub fn salt(&self) -> &[u8; 16] {
        &self.salt
    }

    /// The digest over salt and bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// What is kept of one that was erased: nothing.
    pub(crate) fn erased() -> Self {
        Self { bytes: Bytes::new(), salt: [0; 16], digest: Digest::ZERO }
    }

    /// A payload whose salt the store derives itself, for checkpoints that the store writes.
    pub(crate) fn with_salt(bytes: Bytes, salt: [u8; 16]) -> Self {
        let digest = salted(&salt, &bytes);
        Self { bytes, salt, digest }
    }
}

/// Stored bytes that do not match the digest stored beside them. They are never handed out.
///
/// ```
/// use steadfast_store::{Digest, Payload};
///
/// // For a backend: what it reads is handed out only if it is what was written.
/// let written = Digest::of(b"state");
/// assert!(Payload::open("state".into(), written).is_ok());
/// let damage = Payload::open("stete".into(), written).unwrap_err();
/// assert_eq!((damage.stored, damage.found), (written, Digest::of(b"stete")));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the stored bytes have digest {found}, but {stored} was recorded: restore them from a backup or go on from an earlier checkpoint"
)]
pub struct DamagedPayload {
    /// The digest recorded when the payload was written.
    pub stored: Digest,
    /// The digest of the bytes found.
    pub found: Digest,
}

/// Why a checkpoint comes without its payload.
///
/// ```
/// # use steadfast_store::env::Env;
/// # use steadfast_store::{
/// #     AppendCheckpoint, Batch, CheckpointId, CheckpointPage, Claim, CommandError, Committed, CreateTask, Delay, Enqueue,
/// #     FinishTask, HolderId, Label, MemoryStore, Payload, Reason, Renew, SealedPayload, Settle, SettleItem, Store, StoreExt,
/// #     TaskEnd, TaskId, TaskPage, Term, TransitionId, WorkItemId, WorkItemPage,
/// # };
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = MemoryStore::new(Env::system());
/// # let (task, kind) = (TaskId::new("report")?, Label::new("research")?);
/// # let create = CreateTask { task: task.clone(), kind: kind.clone(), input: Payload::empty() };
/// # store.create_task(create).await?;
/// # let append = AppendCheckpoint {
/// #     checkpoint: CheckpointId::generate(store.env()), task: task.clone(), kind: kind.clone(), work_item: None,
/// #     expected_head: None, payload: SealedPayload::seal("state", store.env())?, evidence: Payload::empty(), copy_of: None,
/// # };
/// # let checkpoint = append.checkpoint;
/// # let appended = store.append_checkpoint(append).await?;
/// use steadfast_store::NoPayload;
///
/// let found = store.checkpoint(checkpoint).await?.ok_or("it is there")?;
/// match &found.payload {
///     Ok(payload) => println!("{} bytes", payload.bytes().len()),
///     Err(NoPayload::Damaged(damage)) => println!("go on from another one: {damage}"),
///     Err(gone) => println!("{gone}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoPayload {
    /// It does not match its digest.
    #[error(transparent)]
    Damaged(#[from] DamagedPayload),
    /// It was erased on purpose.
    #[error("the payload was erased on purpose: go on from another checkpoint")]
    Erased,
}

fn check_length(actual: usize) -> Result<(), PayloadTooLarge> {
    if actual > PAYLOAD_BYTES_MAX {
        return Err(PayloadTooLarge { actual, limit: PAYLOAD_BYTES_MAX });
    }
    Ok(())
}

fn salted(salt: &[u8; 16], bytes: &[u8]) -> Digest {
    Digest::from_bytes(*blake3::Hasher::new().update(salt).update(bytes).finalize().as_bytes())
}
