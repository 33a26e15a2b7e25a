//! The committed corpora pass on stable Rust, and what a target plants is reported by the campaign.

use std::sync::Arc;

use super::*;
use crate::case::{Backend, Settings};

/// A context of a few runs.
fn context(folder: &Path, runs: usize) -> Context {
    let settings = Settings {
        backend: Backend::Sqlite,
        level: Level::Pr,
        seed: 5,
        runs: Some(runs),
        budget: None,
        timeout: Duration::from_secs(600),
        folder: folder.to_owned(),
        planted: None,
        sync_delay: None,
        url: None,
    };
    Context::new(FUZZ, Arc::new(settings), folder.to_owned())
}

#[test]
fn every_committed_input_passes_its_target_and_both_sides_of_each_are_met() {
    let mut failed = Vec::new();
    for target in TARGETS {
        let mut met = Vec::new();
        let corpus = corpus::read(target).unwrap();
        for kept in &corpus {
            match outcome(target, &kept.bytes) {
                Ok(found) => met.push(found),
                Err(what) => failed.push(format!("{} fails on {}: {what}", target.name, kept.path.display())),
            }
        }
        assert!(met.contains(&Met::Taken), "nothing in the corpus of {} is taken", target.name);
        assert!(met.contains(&Met::Refused), "nothing in the corpus of {} is refused", target.name);
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn the_corpora_are_small_and_each_target_is_one_of_cargo_fuzz() {
    let manifest = fs::read_to_string(corpus::package().join("Cargo.toml")).unwrap();
    let (mut bytes, mut names) = (0, Vec::new());
    for target in TARGETS {
        let corpus = corpus::read(target).unwrap();
        assert!((8..=90).contains(&corpus.len()), "{} has a corpus of {} files", target.name, corpus.len());
        bytes += corpus.iter().map(|kept| kept.bytes.len()).sum::<usize>();
        assert!(manifest.contains(&format!("name = \"{}\"", target.name)), "{} is not built", target.name);
        let source = corpus::package().join(format!("fuzz_targets/{}.rs", target.name));
        let source = fs::read_to_string(source).unwrap();
        assert!(source.contains(&format!("targets::{}(data)", target.name)), "{source}");
        names.push(target.name);
    }
    assert!(bytes < 1024 * 1024, "the corpora take {bytes} bytes");
    assert_eq!(manifest.matches("[[bin]]").count(), names.len(), "{names:?}");
}

/// A decoder as many were: it trusts a length that it reads.
fn planted_panic(data: &[u8]) -> Met {
    match data {
        [b'{', length, rest @ ..] => {
            assert!(rest[..usize::from(*length)].is_ascii() || !rest.is_empty());
            Met::Taken
        }
        _ => Met::Refused,
    }
}

#[test]
fn a_planted_panic_is_reported_with_its_shrunk_input_and_what_replays_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut context = context(folder.path(), 2_000);
    let honest = TARGETS.iter().find(|target| target.name == "digests").unwrap();
    let planted =
        Target { run: planted_panic, ..*TARGETS.iter().find(|target| target.name == "outcome").unwrap() };
    fuzz(&mut context, &[*honest, planted]).unwrap();
    let failed = context.findings.checks.iter().find(|check| check.name == "targets_failed").unwrap();
    assert!(failed.is_failure() && failed.value.to_bits() == 1_f64.to_bits(), "{failed:?}");
    // What came after it in this target counts for nothing: the campaign is void as well.
    assert!(context.findings.succeeded < context.findings.planned);
    let note = context.findings.notes.iter().find(|note| note.contains("outcome failed")).unwrap();
    assert!(note.contains("on 2 bytes: range end index"), "{note}");
    let (_, input) = note.split_once("replay: cp ").unwrap();
    let input = input.split_whitespace().next().unwrap();
    assert_eq!(fs::read(input).unwrap()[0], b'{');
    assert!(
        note.ends_with(
            "crates/chaos/fuzz/corpus/outcome/ && cargo test -p steadfast-chaos --lib prove::fuzz"
        )
    );
}

#[test]
fn targets_that_hold_pass_and_say_how_often_they_were_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut context = context(folder.path(), 300);
    let targets: Vec<Target> = TARGETS
        .iter()
        .filter(|target| ["digests", "outcome", "ids"].contains(&target.name))
        .copied()
        .collect();
    fuzz(&mut context, &targets).unwrap();
    let findings = &context.findings;
    assert_eq!((findings.planned, findings.succeeded), (300, 300), "{:?}", findings.notes);
    assert!(findings.faults.len() == 6 && findings.faults.values().all(|times| *times > 0), "{findings:?}");
    assert!(!findings.checks.iter().any(crate::report::Check::is_failure), "{findings:?}");
}

#[test]
fn libfuzzer_takes_a_minute_for_each_target_or_its_share_of_the_time_that_was_named() {
    let minutes = |minutes: u64| Some(Duration::from_secs(60 * minutes));
    let targets = &TARGETS[..10];
    assert_eq!(libfuzzer_time(None, targets), Duration::from_secs(60));
    assert_eq!(libfuzzer_time(minutes(3), targets), Duration::from_secs(18));
    assert_eq!(libfuzzer_time(minutes(600), targets), Duration::from_secs(60));
    assert_eq!(libfuzzer_time(minutes(0), targets), Duration::from_secs(5));
}
