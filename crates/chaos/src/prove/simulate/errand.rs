//! What an item asks of its worker, drawn from its number: the same whoever works on it and however often.

use bytes::Bytes;
use steadfast_idempotency::Effect;
use steadfast_store::env::Env;
use steadfast_store::{Label, TaskId, WorkItemId};

use super::plan::{Errand, Plan};
use super::worker::label;

/// The task of an errand.
pub(super) fn task_of(errand: &Errand) -> TaskId {
    TaskId::new(format!("errand-{}", errand.number)).unwrap_or_else(|_| unreachable!("a short name is an id"))
}

/// The item of an errand.
pub(super) fn item_of(errand: &Errand) -> WorkItemId {
    WorkItemId::new(format!("errand-{}/do", errand.number))
        .unwrap_or_else(|_| unreachable!("a short name is an id"))
}

/// The errand of a task.
pub(super) fn errand_of(plan: &Plan, task: &TaskId) -> Option<Errand> {
    plan.errands.iter().find(|errand| task_of(errand) == *task).copied()
}

/// How far an errand has come, as its checkpoints tell it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Progress {
    /// Steps that are done.
    pub(super) step: u32,
    /// What the model said for the next one, once it was asked: what is called is decided by what is kept, not by what
    /// a cache happens to hold.
    pub(super) answer: Option<String>,
}

impl Progress {
    pub(super) fn kind(&self) -> Label {
        label(if self.answer.is_some() { "planned" } else { "done" })
    }

    pub(super) fn write(&self) -> Bytes {
        let Self { step, answer } = self;
        match answer {
            Some(answer) => format!("planned:{step}:{answer}").into(),
            None => format!("done:{step}:").into(),
        }
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut parts = text.splitn(3, ':');
        let (kind, step, rest) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
        Some(Self { step, answer: (kind == "planned").then(|| rest.to_owned()) })
    }
}

/// One step of an errand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) errand: Errand,
    pub(super) number: u32,
}

impl Step {
    fn rng(self) -> fastrand::Rng {
        let mut rng = fastrand::Rng::with_seed(u64::from(self.errand.number) << 8 | u64::from(self.number));
        // Neighbouring seeds begin alike.
        fastrand::Rng::with_seed(rng.u64(..).rotate_left(17))
    }

    /// Tenant, model and prompt: few of each, so that errands share requests.
    pub(super) fn request(self) -> (String, String, String) {
        let mut rng = self.rng();
        let mut one_of = |what: &str, count: u8| format!("{what}-{}", rng.u8(..count));
        (one_of("tenant", 2), one_of("model", 2), one_of("prompt", 4))
    }

    pub(super) fn effect(self) -> Effect {
        match (self.errand.number + self.number) % 5 {
            0 => Effect::Idempotent,
            1 => Effect::Queryable,
            2 => Effect::Transactional,
            _ => Effect::AtMostOnce,
        }
    }

    pub(super) fn tool(self) -> Label {
        label(match self.effect() {
            Effect::Idempotent => "search",
            Effect::Queryable => "pay",
            Effect::Transactional => "book",
            _ => "send-mail",
        })
    }

    /// The call's own key.
    pub(super) fn key(self) -> String {
        format!("errand-{}/{}", self.errand.number, self.number)
    }

    /// How long the tool may take before its effect.
    pub(super) fn slowest_ms(self) -> u64 {
        match self.rng().u8(..4) {
            0 => 90_000,
            1 => 20_000,
            _ => 2_000,
        }
    }

    /// Whether the tool refuses, always: that is an outcome like any other.
    pub(super) fn tool_refuses(self) -> bool {
        self.rng().u8(..) < 20
    }
}

/// Whether the model fails this time.
pub(super) fn model_fails(env: &Env) -> bool {
    drawn(env) < 25
}

/// Whether the outside world cannot tell, this time, what became of a call.
pub(super) fn nobody_can_tell(env: &Env) -> bool {
    drawn(env) < 50
}

fn drawn(env: &Env) -> u8 {
    let mut byte = [0];
    env.rng().fill(&mut byte);
    byte[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_reads_as_it_was_written() {
        for answer in [None, Some("tenant-0/model-1/prompt-2 #3".to_owned()), Some("a:b".to_owned())] {
            let progress = Progress { step: 7, answer };
            assert_eq!(Progress::read(&progress.write()), Some(progress));
        }
        assert_eq!(Progress::read(b"lease expired"), None);
    }
}
