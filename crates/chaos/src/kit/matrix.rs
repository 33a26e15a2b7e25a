//! Runs an agent once by itself, and then once for each place at which it can be killed.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use std::{io, thread};

use steadfast_recovery::{SweepOptions, Sweeper};
use steadfast_store::env::{Env, ManualClock};
use steadfast_store::limits::PAGE_ROWS_MAX;
use steadfast_store::{
    MemoryStore, OperationKey, OperationPage, OperationStatus, Store, StoreError, TaskPage,
};

use super::crash::{CrashReport, PointReport, Side};
use super::faulty::FaultyStore;
use super::life::{Life, Mortal};
use super::world::{Effects, World};

/// Any error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// Opens a store in an environment.
type Open =
    Arc<dyn Fn(Env) -> Pin<Box<dyn Future<Output = Result<Arc<dyn Store>, BoxError>> + Send>> + Send + Sync>;

/// How an agent is tried.
#[derive(Clone)]
pub struct CrashMatrix {
    lives_max: u32,
    between_lives: Duration,
    life_time_max: Duration,
    open: Open,
}

impl Debug for CrashMatrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CrashMatrix")
            .field("lives_max", &self.lives_max)
            .field("between_lives", &self.between_lives)
            .field("life_time_max", &self.life_time_max)
            .finish_non_exhaustive()
    }
}

impl Default for CrashMatrix {
    /// On stores in memory, with four lives of at most 20 seconds after the killed one, ten minutes apart.
    fn default() -> Self {
        Self {
            lives_max: 4,
            between_lives: Duration::from_mins(10),
            life_time_max: Duration::from_secs(20),
            open: Arc::new(|env| {
                Box::pin(async move { Ok(Arc::new(MemoryStore::new(env)) as Arc<dyn Store>) })
            }),
        }
    }
}

/// Tries an agent with the defaults of [`CrashMatrix`].
///
/// The agent is one life: it opens whatever it needs over the [`World`]'s store, works until its task is done, and
/// returns. It is run once to count its commits and outside effects, then once for each of them and each side, on an
/// empty store each time; after the kill the clock goes on, a sweep runs, and the agent is started again until it
/// finishes.
///
/// ```
/// use steadfast_chaos::kit::{BoxError, Verdict, World, crash_matrix};
/// use steadfast_store::{CreateTask, Label, Payload, StoreExt, TaskId};
///
/// async fn naive(world: World) -> Result<(), BoxError> {
///     let (store, task) = (world.store(), TaskId::new("report")?);
///     if store.task(&task).await?.is_none() {
///         world.effect("mail").await;
///         let (kind, input) = (Label::new("mail")?, Payload::empty());
///         store.create_task(CreateTask { task, kind, input }).await?; // "it was sent"
///     }
///     Ok(())
/// }
///
/// let report = crash_matrix(naive);
/// assert!(!report.is_clean(), "killed between the two it sends the mail again");
/// let broken: Vec<String> = report.broken().map(|crash| crash.point.to_string()).collect();
/// assert_eq!(broken, ["after point 0, effect mail", "before point 1, commit of CreateTask"]);
/// ```
///
/// # Panics
/// When the operating system gives no thread or no runtime to run the agent on.
pub fn crash_matrix<A, F>(agent: A) -> CrashReport
where
    A: Fn(World) -> F + Sync,
    F: Future<Output = Result<(), BoxError>>,
{
    CrashMatrix::default().run(agent)
}

/// One trial: a store, its clock, and what happened outside.
struct Trial<'a, A> {
    matrix: &'a CrashMatrix,
    agent: &'a A,
    clock: Arc<ManualClock>,
    effects: Effects,
}

/// What one life came to.
enum End {
    Finished,
    Killed,
    Failed(String),
}

impl CrashMatrix {
    /// The same with so many lives after the killed one, until one has finished.
    #[must_use]
    pub fn lives(self, lives_max: u32) -> Self {
        Self { lives_max, ..self }
    }

    /// The same with so much time between two lives, by the store's clock: more than the term of every lease and
    /// operation, less than any cached answer lives.
    #[must_use]
    pub fn time_between_lives(self, between_lives: Duration) -> Self {
        Self { between_lives, ..self }
    }

    /// The same with so much time for one life, by the machine's clock; then it counts as one that does not finish.
    #[must_use]
    pub fn life_time(self, life_time_max: Duration) -> Self {
        Self { life_time_max, ..self }
    }

    /// The same on stores that `open` makes: each call a new and empty one, in the environment that it is given.
    #[must_use]
    pub fn on<O, F>(mut self, open: O) -> Self
    where
        O: Fn(Env) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Arc<dyn Store>, BoxError>> + Send + 'static,
    {
        self.open = Arc::new(move |env| Box::pin(open(env)));
        self
    }

    /// See [`crash_matrix`]. Blocks; runs the agent on threads of its own, so that it may be called anywhere.
    ///
    /// # Panics
    /// As [`crash_matrix`].
    pub fn run<A, F>(&self, agent: A) -> CrashReport
    where
        A: Fn(World) -> F + Sync,
        F: Future<Output = Result<(), BoxError>>,
    {
        let by_itself = self.trial(&agent, None);
        let effects: Vec<(String, u64)> = by_itself.effects.clone();
        let commits = by_itself.points.iter().filter(|what| what.starts_with("commit")).count();
        let mut report = CrashReport { commits, effects, points: Vec::new(), error: by_itself.error };
        if report.error.is_some() {
            return report;
        }
        for index in 0..by_itself.points.len() {
            for side in [Side::Before, Side::After] {
                let tried = self.trial(&agent, Some((index, side)));
                report.points.extend(tried.compared(&report.effects));
            }
        }
        report
    }

    fn trial<A, F>(&self, agent: &A, crash: Option<(usize, Side)>) -> Tried
    where
        A: Fn(World) -> F + Sync,
        F: Future<Output = Result<(), BoxError>>,
    {
        let clock = Arc::new(ManualClock::new());
        let trial = Trial { matrix: self, agent, clock, effects: Effects::default() };
        // A thread of its own: the caller may stand inside a runtime.
        thread::scope(|scope| match scope.spawn(|| trial.live_through(crash)).join() {
            Ok(Ok(tried)) => tried,
            Ok(Err(error)) => panic!("an agent cannot be tried here: {error}"),
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }
}

/// What a trial came to.
struct Tried {
    point: Option<super::crash::CrashPoint>,
    points: Vec<String>,
    effects: Vec<(String, u64)>,
    lives: u32,
    in_doubt: Vec<OperationKey>,
    error: Option<String>,
}

impl Tried {
    /// Held against the effects of a life without a crash. Nothing for a point that was not reached this time.
    fn compared(self, expected: &[(String, u64)]) -> Option<PointReport> {
        let times = |effects: &[(String, u64)], name: &str| {
            effects.iter().find(|(known, _)| known == name).map_or(0, |(_, times)| *times)
        };
        let more = |a: &[(String, u64)], b: &[(String, u64)]| -> Vec<String> {
            a.iter().filter(|(name, count)| *count > times(b, name)).map(|(name, _)| name.clone()).collect()
        };
        Some(PointReport {
            point: self.point?,
            finished: self.error.is_none(),
            lives: self.lives,
            repeated: more(&self.effects, expected),
            missing: more(expected, &self.effects),
            in_doubt: self.in_doubt,
            error: self.error,
        })
    }
}

impl<A, F> Trial<'_, A>
where
    A: Fn(World) -> F,
    F: Future<Output = Result<(), BoxError>>,
{
    fn live_through(&self, crash: Option<(usize, Side)>) -> io::Result<Tried> {
        // The store outlives the lives: it has a runtime of its own.
        let outside = runtime()?;
        let env = Env::system().with_clock(self.clock.clone());
        let store = outside.block_on((self.matrix.open)(env)).map_err(io::Error::other)?;
        let first = Arc::new(Life::new(crash));
        let mut end = self.one_life(&store, &first, 1)?;
        let mut lives = 1;
        let lives_max = if crash.is_some() { 1 + self.matrix.lives_max } else { 1 };
        while !matches!(end, End::Finished) && lives < lives_max {
            lives += 1;
            self.clock.advance(self.matrix.between_lives);
            outside.block_on(Sweeper::new(store.clone(), SweepOptions::default()).run_once());
            end = self.one_life(&store, &Arc::new(Life::new(None)), lives)?;
        }
        let in_doubt = outside.block_on(in_doubt(&*store)).map_err(io::Error::other)?;
        let effects = self.effects.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Tried {
            point: first.crash_point(),
            points: first.points(),
            effects: effects.iter().map(|(name, times)| (name.clone(), *times)).collect(),
            lives,
            in_doubt,
            error: match end {
                End::Finished => None,
                End::Killed => Some("it was killed, and no life came after".to_owned()),
                End::Failed(error) => Some(error),
            },
        })
    }

    /// One life on a runtime of its own, which takes everything that the agent has started with it.
    fn one_life(&self, store: &Arc<dyn Store>, life: &Arc<Life>, number: u32) -> io::Result<End> {
        let runtime = runtime()?;
        let store = Arc::new(FaultyStore::new(store.clone(), Mortal(life.clone())));
        let world = World { store, life: life.clone(), effects: self.effects.clone(), number };
        let limit = self.matrix.life_time_max;
        let end = runtime.block_on(async {
            tokio::select! {
                biased;
                () = life.died() => End::Killed,
                () = tokio::time::sleep(limit) => End::Failed(format!("it did not end within {limit:?}")),
                ended = (self.agent)(world) => match ended {
                    Ok(()) => End::Finished,
                    Err(error) => End::Failed(error.to_string()),
                },
            }
        });
        // Also what its destructors would do.
        life.end();
        drop(runtime);
        Ok(end)
    }
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Every operation in doubt of every task.
async fn in_doubt(store: &dyn Store) -> Result<Vec<OperationKey>, StoreError> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = TaskPage { status: None, after, limit: PAGE_ROWS_MAX };
        let tasks = store.tasks(page).await?;
        let Some(last) = tasks.last() else { return Ok(found) };
        after = Some(last.id.clone());
        for task in &tasks {
            let page =
                OperationPage { status: Some(OperationStatus::InDoubt), after: None, limit: PAGE_ROWS_MAX };
            found.extend(store.operations(&task.id, page).await?.into_iter().map(|operation| operation.key));
        }
    }
}
