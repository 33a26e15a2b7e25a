//! A holder that does not hear that its lease is gone, and tries everything it could do under it: the store must
//! refuse each.

use steadfast_checkpoints::CheckpointError;
use steadfast_leases::Lease;
use steadfast_store::{Batch, Committed, Renew, Settle, SettleItem, Term};

use super::step::{State, hex};
use super::told::Told;
use super::{WorkError, Worker, is_stale};

impl Worker {
    /// Renews, appends and settles under the lost lease, each in a commit of its own, and tells what came of it.
    pub(super) async fn write_all_the_same(&self, lease: &Lease) -> Result<(), WorkError> {
        let guard = lease.guard();
        let term = Term::new(std::time::Duration::from_millis(self.args.term_ms))?;
        let mut renewal = Batch::relaxed();
        renewal.add(Renew { guard: guard.clone(), term });
        self.told_of(renewal, "renew").await?;

        let state = State {
            step: self.args.steps,
            holder: self.args.holder.clone(),
            receipt: "written after the loss of the lease".to_owned(),
            is_in_doubt: false,
            chain: self.chain.clone(),
        };
        let prepared = self.prepare(lease, &state).await?;
        Told::Trying { id: hex(prepared.id().as_bytes()) }.tell()?;
        let shown = self.is_guarding().then(|| guard.clone());
        match self.checkpoints.commit_step(&prepared, shown, |_| {}).await {
            Ok(_) => Told::Taken { what: "append".to_owned() }.tell()?,
            Err(CheckpointError::Rejected(rejection)) if is_stale(&rejection.reason) => {
                Told::Fenced { what: "append".to_owned() }.tell()?;
            }
            Err(error) => return Err(error.into()),
        }

        let mut settlement = Batch::durable();
        settlement.add(SettleItem { guard, settle: Settle::Failed, detail: String::new() });
        self.told_of(settlement, "settle").await
    }

    async fn told_of(&self, batch: Batch, what: &str) -> Result<(), WorkError> {
        let what = what.to_owned();
        let told = match self.store.commit(batch).await? {
            Committed::Applied(_) => Told::Taken { what },
            Committed::Rejected(rejection) if is_stale(&rejection.reason) => Told::Fenced { what },
            // Refused, but not by its fence.
            Committed::Rejected(rejection) => Told::Taken { what: format!("{what}-{}", rejection.index) },
        };
        Ok(told.tell()?)
    }
}
