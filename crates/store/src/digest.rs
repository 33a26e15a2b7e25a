//! BLAKE3 digests: of payloads, made by the caller, and of the links of a checkpoint chain, made by the store
//! inside the commit. <https://github.com/BLAKE3-team/BLAKE3-specs>

use std::fmt;

use crate::id::{CheckpointId, Label, TaskId, WorkItemId};

/// A BLAKE3 digest of 32 bytes.
///
/// ```
/// use steadfast_store::Digest;
///
/// assert_eq!(Digest::of(b"# Report"), Digest::of(b"# Report"));
/// assert_ne!(Digest::of(b"# Report"), Digest::of(b"# report"));
/// assert_eq!(Digest::of(b"").to_string().len(), 64);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest that the first checkpoint of a task names as its parent.
    pub const ZERO: Self = Self([0; 32]);

    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// Takes a digest made elsewhere.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, as stored.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Starts a digest of several fields, each with its length, so that no two lists of fields collide.
    /// `context` separates the uses of this digest from one another.
    pub fn fields(context: &'static str) -> Fields {
        let mut fields = Fields(blake3::Hasher::new());
        fields.push(context.as_bytes());
        fields
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A digest over several length-prefixed fields, under way.
///
/// ```
/// use steadfast_store::Digest;
///
/// let of = |parts: [&str; 2]| {
///     let mut fields = Digest::fields("my cache 1");
///     parts.iter().for_each(|part| _ = fields.push(part.as_bytes()));
///     fields.finish()
/// };
/// assert_ne!(of(["ab", "c"]), of(["a", "bc"]), "each field counts with its length");
/// ```
#[derive(Debug, Clone)]
pub struct Fields(blake3::Hasher);

impl Fields {
    /// Adds one field.
    pub fn push(&mut self, field: &[u8]) -> &mut Self {
        self.0.update(&(field.len() as u64).to_le_bytes()).update(field);
        self
    }

    /// The digest over all fields.
    pub fn finish(&self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }
}

/// What one link of a checkpoint chain covers. Whoever holds these fields can compute the link again and so
/// prove that nothing was changed, lost or reordered, even after the payload itself was erased.
///
/// ```
/// use steadfast_store::{CheckpointHeader, Digest, Link, LinkContents};
///
/// /// Computes the link of a checkpoint again, from what is written beside it.
/// fn link(header: &CheckpointHeader) -> Digest {
///     let CheckpointHeader { id, payload, evidence, .. } = *header;
///     let (task, kind, work_item) = (&header.task, &header.kind, header.work_item.as_ref());
///     let contents = LinkContents { task, id, kind, work_item, payload, evidence };
///     Link { parent: header.parent_link, sequence: header.sequence.0, contents }.digest()
/// }
/// # let _ = link;
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Link<'a> {
    /// The link of the checkpoint before, or [`Digest::ZERO`].
    pub parent: Digest,
    /// The sequence number.
    pub sequence: u64,
    /// What does not depend on the place in the chain.
    pub contents: LinkContents<'a>,
}

/// The part of a link that is known before the checkpoint has its place. Its digest is made once, by the caller of a
/// commit; the writer, for which all callers wait, hashes no more than that digest, the parent and the number.
///
/// [`Link`] has an example.
#[derive(Debug, Clone, Copy)]
pub struct LinkContents<'a> {
    /// The task.
    pub task: &'a TaskId,
    /// The checkpoint's id.
    pub id: CheckpointId,
    /// The checkpoint's type.
    pub kind: &'a Label,
    /// The work item it was made under, if any.
    pub work_item: Option<&'a WorkItemId>,
    /// The salted digest of its payload.
    pub payload: Digest,
    /// The digest of its evidence.
    pub evidence: Digest,
}

/// The key under which links are hashed, so that nothing else that is hashed here can be mistaken for one.
const LINK_KEY: &[u8; 32] = b"steadfast checkpoint link 2\0\0\0\0\0";

impl Link<'_> {
    /// The link digest.
    pub fn digest(&self) -> Digest {
        link(self.parent, self.sequence, self.contents.digest())
    }
}

/// The link digest over a parent, a sequence number and the digest of [`LinkContents`].
pub(crate) fn link(parent: Digest, sequence: u64, contents: Digest) -> Digest {
    let mut fields = [0; 72];
    fields[..32].copy_from_slice(parent.as_bytes());
    fields[32..64].copy_from_slice(contents.as_bytes());
    fields[64..].copy_from_slice(&sequence.to_le_bytes());
    Digest(*blake3::keyed_hash(LINK_KEY, &fields).as_bytes())
}

impl LinkContents<'_> {
    /// The digest over all fields.
    pub fn digest(&self) -> Digest {
        let mut fields = Digest::fields("steadfast checkpoint contents 2");
        fields.push(self.task.as_str().as_bytes());
        fields.push(self.id.as_bytes());
        fields.push(self.kind.as_str().as_bytes());
        match self.work_item {
            Some(item) => fields.push(b"item").push(item.as_str().as_bytes()),
            None => fields.push(b"none"),
        };
        fields.push(self.payload.as_bytes());
        fields.push(self.evidence.as_bytes());
        fields.finish()
    }
}
