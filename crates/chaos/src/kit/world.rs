//! What an agent under test is given: a store that dies with it, and a world outside that counts what reaches it.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};

use steadfast_store::Store;
use steadfast_store::env::Env;

use super::life::{Life, Step};

/// How often each outside effect has happened, over all lives of an agent.
pub(super) type Effects = Arc<Mutex<BTreeMap<String, u64>>>;

/// The world of one life of an agent.
#[derive(Debug, Clone)]
pub struct World {
    pub(super) store: Arc<dyn Store>,
    pub(super) life: Arc<Life>,
    pub(super) effects: Effects,
    pub(super) number: u32,
}

impl World {
    /// The store: the same data in every life.
    pub fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    /// The environment of the store. Its clock stands still during a life, and goes on by more than a lease's term
    /// between two.
    pub fn env(&self) -> &Env {
        self.store.env()
    }

    /// Which life it is, counted from 1: a name for the lease's holder.
    pub fn life(&self) -> u32 {
        self.number
    }

    /// Something happens outside: a mail is sent, a payment made. Call it where the agent's tool does that. Named so that
    /// what may happen once has a name of its own; answers with how often it has happened now. The agent may be killed
    /// right before and right after; then it does not come back.
    pub async fn effect(&self, name: impl Into<String>) -> u64 {
        let name = name.into();
        let step = self.life.reach(|| format!("effect {name}"));
        if step == Step::Never {
            return pending().await;
        }
        let times = {
            let mut effects = self.effects.lock().unwrap_or_else(PoisonError::into_inner);
            let times = effects.entry(name).or_default();
            *times += 1;
            *times
        };
        self.life.done();
        if step == Step::Last { pending().await } else { times }
    }
}
