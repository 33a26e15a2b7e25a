//! A tool call as its caller declares it, and what comes of it.

use bytes::Bytes;
use steadfast_store::{
    Abandonment, Digest, Durability, Guard, Label, OperationEnd, Payload, PayloadTooLarge, TaskId,
};

use crate::error::LedgerError;
use crate::flight::Intent;

/// What may be done with a call whose caller vanished before it told the result.
///
/// ```
/// use steadfast_idempotency::{Effect, ToolCall};
/// use steadfast_store::Label;
///
/// // Reading again does no harm; a mail server cannot be asked; a payment has an id to ask for.
/// let read = ToolCall::new(Label::new("search")?, "report/search", "crashes", Effect::Idempotent);
/// let mail = ToolCall::new(Label::new("send-mail")?, "report/mail", "to: all", Effect::AtMostOnce);
/// let paid = ToolCall::new(Label::new("pay")?, "report/pay", "5 EUR", Effect::Queryable);
/// assert!(read.effect != mail.effect && mail.effect != paid.effect);
/// # Ok::<(), steadfast_store::InvalidId>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Effect {
    /// Calling again does no harm: the next one who asks does so.
    Idempotent,
    /// Calling again may do harm, but the tool can be asked whether a call reached it: see
    /// [`run_or_ask`](crate::ToolLedger::run_or_ask).
    Queryable,
    /// The tool writes the attempt's token into its own transaction, together with what it does: whether that row is
    /// there tells whether the call happened. See [`run_or_ask`](crate::ToolLedger::run_or_ask).
    Transactional,
    /// Calling again may do harm: it stays in doubt until its late result or a person settles it.
    AtMostOnce,
}

impl Effect {
    /// What the store shall do with it.
    pub(crate) fn abandonment(self) -> Abandonment {
        match self {
            Self::Idempotent => Abandonment::Retake,
            Self::Queryable | Self::Transactional | Self::AtMostOnce => Abandonment::Doubt,
        }
    }

    /// How safe the intent must be before the tool is called: one that is lost with the power leaves an idempotent
    /// tool to be called again, and any other called without a trace.
    pub(crate) fn intent_durability(self) -> Durability {
        match self {
            Self::Idempotent => Durability::Relaxed,
            Self::Queryable | Self::Transactional | Self::AtMostOnce => Durability::Durable,
        }
    }

    /// The name that the fingerprint covers; released ones never change.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Idempotent => "idempotent",
            Self::Queryable => "queryable",
            Self::Transactional => "transactional",
            Self::AtMostOnce => "at_most_once",
        }
    }

    /// Whether the world outside can tell what became of a call.
    pub(crate) fn can_be_asked(self) -> bool {
        matches!(self, Self::Queryable | Self::Transactional)
    }
}

/// One call of a tool. Tool, input and effect make its fingerprint: the same key must always come with the same three.
///
/// ```
/// use steadfast_idempotency::{Effect, ToolCall};
/// use steadfast_store::{Label, TaskId};
///
/// let call = ToolCall {
///     task: Some(TaskId::new("report")?),
///     ..ToolCall::new(Label::new("search")?, "report/search-1", "crash recovery", Effect::Idempotent)
/// };
/// # Ok::<(), steadfast_store::InvalidId>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// The tool.
    pub tool: Label,
    /// What makes this call the same one when it is asked for again, after a crash or a new plan: the caller's
    /// choice, unique among the calls of this tool. Not empty; any length.
    pub key: String,
    /// All that the tool is given.
    pub input: Bytes,
    /// What the tool was declared to be.
    pub effect: Effect,
    /// The task it is called for, which then lists it.
    pub task: Option<TaskId>,
    /// The lease it is called under: the call is its holder's for as long as the lease lasts, and cannot be begun
    /// under a stale one.
    pub lease: Option<Guard>,
}

impl ToolCall {
    /// A call for no task and under no lease: set those that apply.
    pub fn new(tool: Label, key: impl Into<String>, input: impl Into<Bytes>, effect: Effect) -> Self {
        Self { tool, key: key.into(), input: input.into(), effect, task: None, lease: None }
    }

    /// The operation that it is to the store.
    pub(crate) fn intent(&self) -> Result<Intent, LedgerError> {
        Ok(Intent {
            name: self.tool.clone(),
            key: self.operation_key()?,
            fingerprint: self.fingerprint(),
            task: self.task.clone(),
            lease: self.lease.clone(),
            abandonment: self.effect.abandonment(),
            durability: self.effect.intent_durability(),
            result_durability: Durability::Durable,
            fresh_for: None,
        })
    }

    /// Digest of everything that makes it this call and no other.
    pub(crate) fn fingerprint(&self) -> Digest {
        Digest::fields("steadfast tool call 1")
            .push(self.tool.as_str().as_bytes())
            .push(&self.input)
            .push(self.effect.name().as_bytes())
            .finish()
    }
}

/// What came of a call. Either kind is kept, and given to everybody who asks for the call again.
///
/// ```
/// use steadfast_idempotency::ToolOutput;
///
/// let sent = ToolOutput::Succeeded("sent as 4711".into());
/// // Only when it surely did not happen: what is unclear is no outcome, and stays in doubt.
/// let refused = ToolOutput::Failed("no such address".into());
/// assert!(sent.is_success() && !refused.is_success());
/// assert_eq!(sent.bytes(), "sent as 4711");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolOutput {
    /// The tool did it, and says this.
    Succeeded(Bytes),
    /// The tool surely did not do it, and says why.
    Failed(Bytes),
}

impl ToolOutput {
    /// What the tool says.
    pub fn bytes(&self) -> &Bytes {
        match self {
            Self::Succeeded(bytes) | Self::Failed(bytes) => bytes,
        }
    }

    /// Whether the tool did it.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Succeeded(_))
    }

    pub(crate) fn into_end(self) -> Result<OperationEnd, PayloadTooLarge> {
        Ok(match self {
            Self::Succeeded(bytes) => OperationEnd::Succeeded(Payload::new(bytes)?),
            Self::Failed(bytes) => OperationEnd::Failed(Payload::new(bytes)?),
        })
    }
}
