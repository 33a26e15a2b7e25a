//! The batches of one commit. More may join while the first are applied: callers who were answered a moment ago come
//! back just then, and without them every other commit would carry one half of them and sync for it.

use crate::batch::Batch;

/// Batches in their order, each at its place from 0.
pub(super) trait Group {
    /// How many there are by now; at least one.
    fn len(&self) -> usize;
    /// The batch at a place that is taken.
    fn at(&self, place: usize) -> &Batch;
    /// Takes in the next batch, if one waits already and `fits` the commit that has begun. Never waits for one.
    fn join(&mut self, fits: &dyn Fn(&Batch) -> bool) -> bool;
}

/// A group that nobody joins.
#[derive(Debug)]
pub(super) struct Closed<'a>(pub(super) &'a [&'a Batch]);

impl Group for Closed<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn at(&self, place: usize) -> &Batch {
        self.0[place]
    }

    fn join(&mut self, _: &dyn Fn(&Batch) -> bool) -> bool {
        false
    }
}

/// The batches that are there by now.
pub(super) fn batches(group: &dyn Group) -> impl Iterator<Item = &Batch> {
    (0..group.len()).map(|place| group.at(place))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::command::{Claim, CreateTask, Enqueue, EraseCheckpoint};
    use crate::env::{Clock, Env, ManualClock};
    use crate::id::{CheckpointId, HolderId, Label, TaskId, TransitionId, WorkItemId};
    use crate::outcome::{Committed, Outcome};
    use crate::payload::Payload;
    use crate::sqlite::core::SqliteCore;
    use crate::sqlite::options::SqliteOptions;
    use crate::time::{Delay, StoreTime, Term};

    const TERM: Duration = Duration::from_secs(10);

    /// Batches that come one by one, each some time after the one before it was applied.
    struct Late {
        there: Vec<Batch>,
        coming: VecDeque<Batch>,
        clock: Arc<ManualClock>,
    }

    impl Group for Late {
        fn len(&self) -> usize {
            self.there.len()
        }

        fn at(&self, place: usize) -> &Batch {
            &self.there[place]
        }

        fn join(&mut self, fits: &dyn Fn(&Batch) -> bool) -> bool {
            self.clock.advance(Duration::from_secs(3));
            let joins = self.coming.front().is_some_and(fits);
            if joins {
                self.there.extend(self.coming.pop_front());
            }
            joins
        }
    }

    struct World {
        core: SqliteCore,
        env: Env,
        clock: Arc<ManualClock>,
        _folder: tempfile::TempDir,
    }

    impl World {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let clock = Arc::new(ManualClock::new());
            let env = Env::system().with_clock(Arc::clone(&clock) as Arc<dyn Clock>);
            let options = SqliteOptions::new(folder.path().join("a.db"));
            let core = SqliteCore::open(&options, env.clone()).unwrap();
            Self { core, env, clock, _folder: folder }
        }

        /// Applies the first of the batches, and those of the others that join it; answers for them all.
        fn apply(&mut self, first: Batch, coming: impl IntoIterator<Item = Batch>) -> Vec<Committed> {
            let clock = Arc::clone(&self.clock);
            let mut group = Late { there: vec![first], coming: coming.into_iter().collect(), clock };
            let answers = self.core.apply_some(&mut group, Duration::from_secs(1));
            assert_eq!(answers.len(), group.len());
            answers.into_iter().collect::<Result<_, _>>().unwrap()
        }

        fn claim(&self) -> Batch {
            let mut batch = Batch::durable();
            batch.add(Claim {
                claim: TransitionId::generate(&self.env),
                holder: HolderId::new("holder").unwrap(),
                term: Term::new(TERM).unwrap(),
                limit: 1,
                kinds: Vec::new(),
                task: None,
            });
            batch
        }
    }

    fn create(mut batch: Batch, items: usize) -> Batch {
        let (task, kind) = (TaskId::new("t").unwrap(), Label::new("k").unwrap());
        batch.add(CreateTask { task: task.clone(), kind: kind.clone(), input: Payload::empty() });
        for item in 0..items {
            let item = WorkItemId::new(format!("item-{item}")).unwrap();
            let (task, kind) = (task.clone(), kind.clone());
            batch.add(Enqueue { item, task, kind, priority: 0, delay: Delay::ZERO, max_attempts: 1 });
        }
        batch
    }

    fn deadline(answer: &Committed) -> StoreTime {
        let Committed::Applied(applied) = answer else { panic!("{answer:?}") };
        let [Outcome::Claimed(claimed)] = applied.outcomes() else { panic!("{applied:?}") };
        claimed.items[0].lease.as_ref().unwrap().expires_at
    }

    #[test]
    fn whoever_joins_late_has_his_whole_term_from_then() {
        let mut world = World::new();
        world.apply(create(Batch::durable(), 2), []);
        let (first, second) = (world.claim(), world.claim());
        let began = world.core.clock().now(&*world.clock).store;
        let answers = world.apply(first, [second]);
        let deadlines: Vec<_> = answers.iter().map(deadline).collect();
        assert_eq!(deadlines, [began.plus(TERM), began.plus(Duration::from_secs(3) + TERM)]);
    }

    #[test]
    fn the_ceiling_of_store_time_rises_for_a_late_one_too() {
        let mut world = World::new();
        world.apply(create(Batch::durable(), 20), []);
        let claims: Vec<_> = (0..20).map(|_| world.claim()).collect();
        let first = world.claim();
        world.apply(first, claims);
        let clock = world.core.clock();
        assert!(clock.ceiling >= clock.now(&*world.clock).store, "a minute has passed in one group");
    }

    #[test]
    fn nobody_joins_a_commit_that_does_less_than_he_asks_for() {
        let mut world = World::new();
        let relaxed = create(Batch::relaxed(), 1);
        assert_eq!(world.apply(relaxed.clone(), [Batch::durable()]).len(), 1, "it would not be synced");
        assert_eq!(world.apply(Batch::durable(), [relaxed, Batch::durable()]).len(), 3);
        let mut erasing = Batch::durable();
        erasing.add(EraseCheckpoint { checkpoint: CheckpointId::generate(&world.env) });
        assert_eq!(
            world.apply(Batch::durable(), [erasing.clone()]).len(),
            1,
            "its bytes would stay in the file"
        );
        assert_eq!(world.apply(erasing, [Batch::durable()]).len(), 2);
    }
}
