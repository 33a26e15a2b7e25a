//! A batch that can be submitted again, word by word or under another durability.

use steadfast_store::{Batch, Command, Durability, Guard, TypedCommand};

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Deed {
    pub(super) commands: Vec<Command>,
    pub(super) guard: Option<Guard>,
    pub(super) durability: Durability,
}

impl Deed {
    pub(super) fn new(durability: Durability, commands: Vec<Command>) -> Self {
        Self { commands, guard: None, durability }
    }

    pub(super) fn batch(&self) -> Batch {
        let mut batch = Batch::new(self.durability);
        for command in &self.commands {
            self.add(&mut batch, command.clone());
        }
        batch
    }

    fn add(&self, batch: &mut Batch, command: Command) {
        match command {
            Command::CreateTask(command) => self.push(batch, command),
            Command::FinishTask(command) => self.push(batch, command),
            Command::Enqueue(command) => self.push(batch, command),
            Command::Claim(command) => self.push(batch, command),
            Command::Renew(command) => self.push(batch, command),
            Command::SettleItem(command) => self.push(batch, command),
            Command::AppendCheckpoint(command) => self.push(batch, command),
            Command::RecordVerification(command) => self.push(batch, command),
            Command::SweepExpired(command) => self.push(batch, command),
            Command::PruneCheckpoints(command) => self.push(batch, command),
            Command::EraseCheckpoint(command) => self.push(batch, command),
            Command::InvalidateOperation(command) => self.push(batch, command),
            Command::BeginOperation(command) => self.push(batch, command),
            Command::FinishOperation(command) => self.push(batch, command),
            other => unreachable!("no script asks for {other:?}"),
        }
    }

    fn push<C: TypedCommand>(&self, batch: &mut Batch, command: C) {
        match &self.guard {
            Some(guard) => drop(batch.add_guarded(guard.clone(), command)),
            None => drop(batch.add(command)),
        }
    }
}
