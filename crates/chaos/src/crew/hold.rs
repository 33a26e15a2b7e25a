//! Holding: many leases at once, kept alive until the runner says that they may be settled.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use steadfast_leases::{LeaseManager, LeaseOptions};
use steadfast_store::{HolderId, Settle};

use super::{CrewError, HOLDING, Member, Trouble};
use crate::planted::Planted;

/// What is held.
#[derive(Debug, Clone, clap::Args)]
pub struct HoldArgs {
    /// How many items.
    #[arg(long)]
    items: u32,
    /// How many of them are claimed at once.
    #[arg(long, default_value_t = 100)]
    batch: u32,
    /// How long a lease lasts without renewal, in milliseconds.
    #[arg(long)]
    term_ms: u64,
    /// Whether the leases are renewed.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    heartbeat: bool,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HoldReport {
    /// Items that were claimed.
    pub claimed: usize,
    /// Leases that were lost before they could be settled.
    pub lost: usize,
    /// What could not be settled.
    pub trouble: Trouble,
}

impl Member {
    pub(super) async fn hold(&mut self, args: HoldArgs) -> Result<(), CrewError> {
        let options = LeaseOptions {
            term: Duration::from_millis(args.term_ms),
            heartbeat: args.heartbeat && !self.has(Planted::NoHeartbeat),
            ..LeaseOptions::new(HolderId::new(&self.name)?)
        };
        let manager = LeaseManager::new(self.store.clone(), options)?;
        self.ready().await?;
        let mut leases = Vec::new();
        while leases.len() < args.items as usize {
            let left = args.items - u32::try_from(leases.len()).unwrap_or(args.items);
            let claimed = manager.claim_many(left.min(args.batch)).await?;
            if claimed.is_empty() {
                break;
            }
            leases.extend(claimed);
        }
        self.say(HOLDING)?;
        self.word().await?;
        let (claimed, lost) = (leases.len(), leases.iter().filter(|lease| lease.is_lost()).count());
        let mut trouble = Trouble::default();
        for lease in leases {
            if let Err(error) = lease.finish(Settle::Succeeded).await {
                trouble.add(error);
            }
        }
        self.report(&HoldReport { claimed, lost, trouble })
    }
}
