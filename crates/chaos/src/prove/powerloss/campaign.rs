//! One script: it is run once on a recording device, and cut off many times.

use steadfast_store::{Command, Committed, Durability};

use super::bench::Bench;
use super::deed::Deed;
use super::fault::Fault;
use super::judge::{Broken, Kind, judge};
use super::look::{Contents, Look};
use super::script::Author;
use super::session::{Recording, Session, Setup};
use super::storage::Storage;
use super::{Trouble, boundary};
use crate::memory_vfs::{Files, Name, SyncRule};

/// How many images are made of one script.
pub(super) const IMAGES_OF_SCRIPT: usize = 400;
/// One image in so many is cut again while the store recovers it.
const CUT_AGAIN_EVERY: u8 = 10;
/// Nothing long is written any more once a database is larger than this, in bytes.
const ROOMY_BYTES_MAX: usize = 108 * 1024;
/// A script ends once its database is larger than this, in bytes: then one more group of short rows still fits.
const DATABASE_BYTES_MAX: usize = 116 * 1024;

/// Which device a script meets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Variant {
    /// The file is not there yet: the first opening is part of the script.
    pub(super) is_new: bool,
    /// See [`Setup`].
    pub(super) garbles: Option<u16>,
    /// Some syncs fail.
    pub(super) fails: bool,
    pub(super) rule: SyncRule,
}

impl Variant {
    /// The one of this script, so that every few of them have met all.
    pub(super) fn of(script: usize) -> Self {
        let garbles = match script % 5 {
            1 => Some(512),
            3 => Some(4096),
            _ => None,
        };
        let (is_new, fails) = (script.is_multiple_of(4), !script.is_multiple_of(3));
        Self { is_new, garbles, fails, rule: SyncRule::Honest }
    }
}

/// One image and what came of it.
#[derive(Debug)]
pub(super) struct Examined {
    /// After what the power was cut.
    pub(super) boundary: &'static str,
    pub(super) fault: Fault,
    /// The same of a second cut, if there was one.
    pub(super) again: Option<(&'static str, Fault)>,
    /// What was recovered, where it could be read.
    pub(super) contents: Option<Contents>,
    pub(super) broken: Option<Broken>,
    /// Operations done by then.
    pub(super) cut: usize,
}

/// What came of a script.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) images: Vec<Examined>,
    /// What was wrong without any cut.
    pub(super) broken: Vec<String>,
    pub(super) failed_syncs: usize,
    pub(super) operations: usize,
    pub(super) database_bytes: usize,
}

/// Runs a script and makes so many images of it.
pub(super) fn run(
    bench: &mut Bench,
    variant: Variant,
    mut rng: fastrand::Rng,
    images: usize,
) -> Result<Ran, Trouble> {
    let recording = perform(bench, variant, &mut rng)?;
    let images = examine_all(bench, &recording, images, &mut rng);
    let database_bytes = recording.largest_database();
    let Recording { broken, failed_syncs, ops, .. } = recording;
    Ok(Ran { images, broken, failed_syncs, operations: ops.len(), database_bytes })
}

/// A database that was opened and closed, with everything on the device.
fn made(bench: &mut Bench, setup: Setup) -> Result<Files, Trouble> {
    let mut session = Session::open(bench, Files::default(), Setup { rule: SyncRule::Honest, ..setup })?;
    session.close();
    Ok(session.device().files())
}

/// Lets the store work, and records it.
pub(super) fn perform(
    bench: &mut Bench,
    variant: Variant,
    rng: &mut fastrand::Rng,
) -> Result<Recording, Trouble> {
    let setup = Setup { garbles: variant.garbles, rule: variant.rule, seed: rng.u64(..), boot: 0 };
    let start = if variant.is_new { Files::default() } else { made(bench, setup)? };
    let mut session = Session::open(bench, start, setup)?;
    let mut author = Author::new(rng.fork(), session.env.clone());
    for _ in 0..rng.usize(12..20) {
        if variant.fails && rng.u8(0..8) == 0 {
            let name = if rng.u8(0..4) == 0 { Name::Database } else { Name::Log };
            session.device().fail_syncs(name, rng.u32(1..4));
        }
        if rng.u8(0..24) == 0 {
            for name in Name::ALL {
                session.device().fail_syncs(name, 0);
            }
            session.reopen(bench)?;
        }
        let step = author.next();
        session.clock.advance(step.pause);
        let answers = session.apply(bench, &step.group)?;
        for (deed, answer) in step.group.iter().zip(&answers) {
            author.learn(deed, answer);
        }
        let bytes = session.database_bytes(bench)?;
        if bytes > DATABASE_BYTES_MAX {
            break;
        }
        author.is_cramped = bytes > ROOMY_BYTES_MAX;
    }
    session.finish(bench)
}

/// Cuts at places that are spread over the whole recording.
pub(super) fn examine_all(
    bench: &mut Bench,
    recording: &Recording,
    images: usize,
    rng: &mut fastrand::Rng,
) -> Vec<Examined> {
    let mut storage = Storage::holding(&recording.start);
    let mut played = 0;
    let boundaries = recording.ops.len() + 1;
    let mut examined = Vec::with_capacity(images);
    for image in 0..images {
        let from = image * boundaries / images;
        let to = ((image + 1) * boundaries / images).max(from + 1);
        let cut = rng.usize(from..to).max(played);
        while played < cut {
            storage.play(&recording.ops[played]);
            played += 1;
        }
        let fault = choose(&storage, recording, rng);
        let files = storage.image(fault, rng);
        examined.push(examine(bench, recording, (cut, fault), files, rng));
    }
    examined
}

/// Among the classes that can do something here; a rare one at least every other time.
fn choose(storage: &Storage, recording: &Recording, rng: &mut fastrand::Rng) -> Fault {
    let garbles = recording.setup.garbles.map(usize::from);
    let offered = storage.faults(garbles, garbles.is_some() || recording.inherits);
    let wants_rare = rng.bool();
    let (rare, usual): (Vec<_>, Vec<_>) = offered.into_iter().partition(|fault| fault.is_rare());
    let among = if wants_rare && !rare.is_empty() { rare } else { usual };
    rng.choice(among).unwrap_or(Fault::Kept)
}

/// Opens one image, holds it against what was promised, and sometimes lets the store recover it and cuts again.
fn examine(
    bench: &mut Bench,
    recording: &Recording,
    (cut, fault): (usize, Fault),
    files: Files,
    rng: &mut fastrand::Rng,
) -> Examined {
    let is_cut_again = rng.u8(0..CUT_AGAIN_EVERY) == 0;
    let copy = is_cut_again.then(|| files.clone());
    let (contents, mut broken) = held_against(bench, recording, (cut, fault), files);
    let mut again = None;
    if broken.is_none()
        && let Some(files) = copy
    {
        match recovered(bench, recording, cut, files, rng) {
            Ok((second, found)) => (again, broken) = (Some(second), found),
            Err(trouble) => broken = Some(Broken::new(Kind::Stuck, trouble)),
        }
    }
    Examined { boundary: boundary::name(&recording.ops, cut), fault, again, contents, broken, cut }
}

/// Looks at an image and judges it.
pub(super) fn held_against(
    bench: &mut Bench,
    recording: &Recording,
    (cut, fault): (usize, Fault),
    files: Files,
) -> (Option<Contents>, Option<Broken>) {
    match bench.look_deeply(files) {
        Ok(look) => (Some(look.contents), judge(recording, cut, fault, &look).err()),
        Err(trouble) => (None, Some(Broken::new(Kind::Corrupt, trouble))),
    }
}

/// The second cut, and what was broken by then or by it.
type Second = ((&'static str, Fault), Option<Broken>);

/// Lets the store recover an image and go on from it, on a device that records that, and cuts the power again.
fn recovered(
    bench: &mut Bench,
    recording: &Recording,
    first: usize,
    files: Files,
    rng: &mut fastrand::Rng,
) -> Result<Second, Trouble> {
    let last = recording.appended.iter().rev().find(|(at, deed, _)| *at <= first && is_durable(deed));
    let setup = Setup { rule: SyncRule::Honest, seed: rng.u64(..), boot: 1, ..recording.setup };
    let mut session = Session::open(bench, files, setup)?;
    let mut broken = None;
    if let Some((_, deed, sequence)) = last {
        broken = submitted_again(&mut session, bench, deed, *sequence)?;
    }
    let mut author = Author::new(rng.fork(), session.env.clone());
    for answer in session.apply(bench, &author.next().group)? {
        if let Err(error) = answer {
            broken = broken.or(Some(Broken::new(Kind::Stuck, format!("after recovery: {error}"))));
        }
    }
    let second = session.finish(bench)?;
    if let Some(what) = second.broken.first() {
        broken = broken.or(Some(Broken::new(Kind::Corrupt, format!("after recovery: {what}"))));
    }
    let cut = rng.usize(0..=second.ops.len());
    let mut storage = Storage::holding(&second.start);
    for op in &second.ops[..cut] {
        storage.play(op);
    }
    let fault = choose(&storage, &second, rng);
    let image = storage.image(fault, rng);
    let found = match bench.look_deeply(image) {
        Ok(look) => judge_second(recording, first, &second, (cut, fault), &look).err(),
        Err(trouble) => Some(Broken::new(Kind::Corrupt, trouble)),
    };
    Ok(((boundary::name(&second.ops, cut), fault), broken.or(found)))
}

/// What is there after the second cut. Until the store has promised anything anew, relaxed commits that the first cut
/// had left may still go, as long as all goes that came after them: a device that garbles sectors may take them when the
/// store writes on behind them.
fn judge_second(
    recording: &Recording,
    first: usize,
    second: &Recording,
    (cut, fault): (usize, Fault),
    look: &Look,
) -> Result<(), Broken> {
    let judged = judge(second, cut, fault, look);
    let has_promised = second.promises.iter().any(|promise| promise.at <= cut);
    match judged {
        Err(Broken { kind: Kind::Torn, .. }) if !has_promised => {
            judge(recording, first, Fault::Dropped, look)
        }
        judged => judged,
    }
}

fn is_durable(deed: &Deed) -> bool {
    deed.durability == Durability::Durable
}

/// A batch whose checkpoint is there answers as it did, and one whose checkpoint was pruned since is decided anew; it
/// is never an error.
fn submitted_again(
    session: &mut Session,
    bench: &Bench,
    deed: &Deed,
    sequence: u64,
) -> Result<Option<Broken>, Trouble> {
    let was_there = session.has_checkpoint(bench, deed)?;
    let answers = session.apply(bench, std::slice::from_ref(deed))?;
    let wrong = match answers.into_iter().next() {
        Some(Ok(Committed::Applied(applied))) if was_there => {
            let told = deed.commands.iter().zip(applied.outcomes()).any(|(command, outcome)| {
                let appended = matches!(command, Command::AppendCheckpoint(_));
                appended
                    && matches!(outcome, steadfast_store::Outcome::Appended(of) if of.sequence.0 == sequence)
            });
            (!applied.is_replayed() || !told).then(|| format!("{:?}", applied.outcomes()))
        }
        Some(Ok(_)) if !was_there => None,
        other => Some(format!("{other:?}")),
    };
    Ok(wrong.map(|wrong| {
        let what = format!("an acknowledged batch that is there was answered, submitted again: {wrong}");
        Broken::new(Kind::Stuck, what)
    }))
}
