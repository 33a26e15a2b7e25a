//! The monitoring read of the in-memory store.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::memory::rows::Tables;
use crate::monitoring::{
    AgeCount, CROWDED_CHECKPOINTS, CROWDED_TASKS_MAX, DAY, DAYS_LOOKED_BACK, EntryCount, HolderLoad,
    KindCount, MODEL_KEYS, Monitoring, TOOL_KEYS,
};
use crate::record::OperationStatus;
use crate::time::{Now, WallTime};

const DAY_MS: i64 = 86_400_000;

impl Tables {
    pub(super) fn monitoring(&self, now: Now) -> Monitoring {
        Monitoring {
            health: self.health(now),
            checkpoints_by_day: self.checkpoints_by_day(now.wall),
            checkpoint_kinds: self.checkpoint_kinds(),
            holders: self.holders(),
            model_answers: self.entries(MODEL_KEYS),
            tool_calls: self.entries(TOOL_KEYS),
            operation_ages: self.operation_ages(now.wall),
            crowded_tasks: self.crowded_tasks(),
        }
    }

    fn checkpoints_by_day(&self, now: WallTime) -> Vec<(WallTime, u64)> {
        let since = now.minus(DAY * DAYS_LOOKED_BACK);
        let mut days = BTreeMap::new();
        for stored in self.checkpoints.values().filter(|stored| stored.header.created_at > since) {
            let made = stored.header.created_at.as_millis();
            *days.entry(made - made.rem_euclid(DAY_MS)).or_default() += 1;
        }
        days.into_iter().rev().map(|(day, count)| (WallTime::from_millis(day), count)).collect()
    }

    #[allow(clippy::cast_precision_loss, reason = "a mean is told, not an exact number")]
    fn checkpoint_kinds(&self) -> Vec<KindCount> {
        let mut kinds = BTreeMap::<_, (u64, u64)>::new();
        for stored in self.checkpoints.values() {
            let (count, sum) = kinds.entry(&stored.header.kind).or_default();
            *count += 1;
            *sum += stored.header.sequence.0;
        }
        let counted = |(kind, (checkpoints, sum)): (&crate::id::Label, (u64, u64))| KindCount {
            kind: kind.clone(),
            checkpoints,
            average_sequence: sum as f64 / checkpoints as f64,
        };
        kinds.into_iter().map(counted).collect()
    }

    fn holders(&self) -> Vec<HolderLoad> {
        let mut holders = BTreeMap::<_, (u64, Duration)>::new();
        for lease in self.items.values().filter_map(|item| item.lease.as_ref()) {
            let (leases, span) = holders.entry(&lease.holder).or_default();
            *leases += 1;
            *span += lease.expires_at.since(lease.acquired_at);
        }
        let loaded = |(holder, (leases, span)): (&crate::id::HolderId, (u64, Duration))| HolderLoad {
            holder: holder.clone(),
            leases,
            average_span: Duration::from_millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX) / leases),
        };
        holders.into_iter().map(loaded).collect()
    }

    fn entries(&self, prefix: &str) -> EntryCount {
        let mut count = EntryCount::default();
        for record in
            self.operations.values().filter(|record| record.operation.key.as_str().starts_with(prefix))
        {
            count.entries += 1;
            match record.operation.status {
                OperationStatus::Succeeded => count.succeeded += 1,
                OperationStatus::Failed => count.failed += 1,
                OperationStatus::InDoubt => count.in_doubt += 1,
                OperationStatus::Pending => {}
            }
        }
        count
    }

    fn operation_ages(&self, now: WallTime) -> AgeCount {
        let mut ages = AgeCount::default();
        for record in self.operations.values() {
            let begun = record.operation.created_at;
            let younger_than = |days| begun > now.minus(DAY * days);
            *if younger_than(1) {
                &mut ages.under_1_day
            } else if younger_than(7) {
                &mut ages.under_7_days
            } else if younger_than(30) {
                &mut ages.under_30_days
            } else {
                &mut ages.older
            } += 1;
        }
        ages
    }

    fn crowded_tasks(&self) -> Vec<(crate::id::TaskId, u64)> {
        let mut tasks = BTreeMap::<_, u64>::new();
        for (task, _) in self.sequence.keys() {
            *tasks.entry(task).or_default() += 1;
        }
        let crowded = tasks.into_iter().filter(|(_, count)| *count > CROWDED_CHECKPOINTS);
        let mut crowded: Vec<_> = crowded.map(|(task, count)| (task.clone(), count)).collect();
        crowded.sort_by_key(|(task, count)| (Reverse(*count), task.clone()));
        crowded.truncate(CROWDED_TASKS_MAX);
        crowded
    }
}
