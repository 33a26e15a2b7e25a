//! Identities: what callers name things by. Text ids are chosen by people or programs, 16-byte ids are made
//! once by the caller and make a command recognisable when it is submitted again.

use std::fmt;
use std::sync::Arc;

use crate::env::Env;
use crate::limits::{ID_BYTES_MAX, KEY_BYTES_MAX};

/// Why a text is no id. Nothing was written.
///
/// ```
/// use steadfast_store::TaskId;
///
/// let error = TaskId::new("").unwrap_err();
/// println!("{error}");
/// assert!(TaskId::new("report").is_ok());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidId {
    /// The text is empty.
    #[error("a {what} may not be empty: give it at least one character")]
    Empty {
        /// Which kind of id.
        what: &'static str,
    },
    /// The text is longer than the store keeps.
    #[error(
        "a {what} of {actual} bytes is over the limit of {limit}: shorten it, or use its digest as the id"
    )]
    TooLong {
        /// Which kind of id.
        what: &'static str,
        /// Its length in bytes.
        actual: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The text holds a NUL, at which SQL text ends for many a tool.
    #[error("a {what} may not contain a NUL character (found at byte {at}): remove or encode it")]
    Nul {
        /// Which kind of id.
        what: &'static str,
        /// The byte offset of the first NUL.
        at: usize,
    },
}

fn check(what: &'static str, text: &str, limit: usize) -> Result<(), InvalidId> {
    if text.is_empty() {
        return Err(InvalidId::Empty { what });
    }
    if text.len() > limit {
        return Err(InvalidId::TooLong { what, actual: text.len(), limit });
    }
    match text.bytes().position(|byte| byte == 0) {
        Some(at) => Err(InvalidId::Nul { what, at }),
        None => Ok(()),
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $limit:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `text` and makes it an id.
            ///
            /// # Errors
            /// [`InvalidId`] when it is empty, too long, or contains a NUL.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidId> {
                let text = text.as_ref();
                check($what, text, $limit)?;
                Ok(Self(Arc::from(text)))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?})", stringify!($name), &*self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }
    };
}

macro_rules! generated {
    ($($name:ident),*) => {$(
        impl $name {
            /// Makes a fresh id whose text order is the order of making (a UUID of version 7).
            pub fn generate(env: &Env) -> Self {
                Self(Arc::from(uuid::Uuid::from_bytes(env.time_ordered_bytes()).hyphenated().to_string()))
            }
        }
    )*};
}

text_id! {
    /// Names a task: one piece of work that an agent does, with its checkpoints.
    ///
    /// ```
    /// # use steadfast_store::TaskId;
    /// assert!(TaskId::new("report-2026-11").is_ok());
    /// assert!(TaskId::new("nul\0inside").is_err());
    /// ```
    TaskId, "task id", ID_BYTES_MAX
}
text_id! {
    /// Names a work item: something of a task that a worker claims under a lease.
    ///
    /// ```
    /// # use steadfast_store::{WorkItemId, env::Env};
    /// let named = WorkItemId::new("report-2026-11/collect")?;
    /// assert_eq!(named.as_str(), "report-2026-11/collect");
    /// assert_ne!(WorkItemId::generate(&Env::system()), WorkItemId::generate(&Env::system()));
    /// # Ok::<(), steadfast_store::InvalidId>(())
    /// ```
    WorkItemId, "work item id", ID_BYTES_MAX
}
text_id! {
    /// Names whoever holds a lease, for people to read; the fence, not this name, decides anything.
    ///
    /// ```
    /// # use steadfast_store::HolderId;
    /// let holder = HolderId::new(format!("host-7/{}", std::process::id()))?;
    /// # Ok::<(), steadfast_store::InvalidId>(())
    /// ```
    HolderId, "holder id", ID_BYTES_MAX
}
text_id! {
    /// A short name of a kind: of a task, of a work item, of a checkpoint.
    ///
    /// ```
    /// # use steadfast_store::Label;
    /// assert_eq!(Label::new("research")?, Label::constant("research"));
    /// # Ok::<(), steadfast_store::InvalidId>(())
    /// ```
    Label, "label", ID_BYTES_MAX
}
text_id! {
    /// The idempotency key of an operation, such as `tool-ledger:…` or `llm-cache:…`.
    ///
    /// ```
    /// # use steadfast_store::OperationKey;
    /// let key: OperationKey = "tool-ledger:send-mail:report/1".parse()?;
    /// assert!(key.as_str().starts_with(steadfast_store::TOOL_KEYS));
    /// # Ok::<(), steadfast_store::InvalidId>(())
    /// ```
    OperationKey, "operation key", KEY_BYTES_MAX
}
generated!(TaskId, WorkItemId);

impl Label {
    /// A label that stands in the code.
    ///
    /// # Panics
    /// When it is none: a mistake in the calling code.
    #[track_caller]
    pub fn constant(text: &'static str) -> Self {
        match Self::new(text) {
            Ok(label) => label,
            Err(error) => panic!("{text:?} is no label: {error}"),
        }
    }
}

macro_rules! bytes_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// Makes a fresh, time-ordered id (a UUID of version 7): new ones land at the right edge of an index.
            pub fn generate(env: &Env) -> Self {
                Self(env.time_ordered_bytes())
            }

            /// Takes bytes that the caller keeps as its identity.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The bytes, as stored.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), uuid::Uuid::from_bytes(self.0).hyphenated())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&uuid::Uuid::from_bytes(self.0).hyphenated(), f)
            }
        }
    };
}

bytes_id! {
    /// Names a checkpoint. Its maker keeps it, so that an append submitted again applies once.
    ///
    /// ```
    /// # use steadfast_store::{CheckpointId, env::Env};
    /// let id = CheckpointId::generate(&Env::system());
    /// assert_eq!(CheckpointId::from_bytes(*id.as_bytes()), id);
    /// ```
    CheckpointId
}
bytes_id! {
    /// Names one claim or one sweep page: the command that last moved an item between states.
    ///
    /// ```
    /// # use steadfast_store::{TransitionId, env::Env};
    /// // One for each claim: submitted again under the same, it takes nothing more.
    /// let claim = TransitionId::generate(&Env::system());
    /// # let _ = claim;
    /// ```
    TransitionId
}
bytes_id! {
    /// Names one attempt at an operation, made by whoever begins it.
    ///
    /// ```
    /// # use steadfast_store::{OperationToken, env::Env};
    /// // Whoever comes later begins under another one, and this one ends nothing any more.
    /// let token = OperationToken::generate(&Env::system());
    /// assert_ne!(token, OperationToken::generate(&Env::system()));
    /// ```
    OperationToken
}
