//! The tests of the stored form: what was released reads and writes as ever, all else is read strictly.

use steadfast_store::Digest;
use steadfast_store::env::{Rng, SeededRng};

use super::*;

fn pack() -> EvidencePack {
    let piece = |path| Piece::FileHash(FileHash::new(path, Digest::of(b"content")).unwrap());
    EvidencePack::new(Rule::AtLeast(1), vec![piece("a/b"), piece("täglich \"c\"")]).unwrap()
}

fn read(json: &str) -> Result<EvidencePack, UnreadableEvidence> {
    EvidencePack::from_payload(&Payload::new(json.to_owned()).unwrap())
}

#[test]
fn a_pack_reads_back_as_it_was_written() {
    for pack in [pack(), EvidencePack::none(), EvidencePack::new(Rule::All, pack().pieces).unwrap()] {
        assert_eq!(EvidencePack::from_payload(&pack.to_payload().unwrap()), Ok(pack));
    }
}

#[test]
fn the_stored_form_is_the_one_that_was_released() {
    let digest = Digest::of(b"x");
    let piece = Piece::FileHash(FileHash::new("a", digest).unwrap());
    let stored = EvidencePack::new(Rule::AtLeast(1), vec![piece]).unwrap().to_payload().unwrap();
    let expected = format!(
        r#"{{"version":1,"rule":{{"at_least":1}},"pieces":[{{"file_hash":{{"path":"a","blake3":"{digest}"}}}}]}}"#
    );
    assert_eq!(String::from_utf8_lossy(stored.bytes()), expected);
}

#[test]
fn what_this_program_does_not_know_it_does_not_read() {
    let newer = r#"{"version":3,"rule":"most","pieces":{}}"#;
    assert_eq!(read(newer), Err(UnreadableEvidence::TooNew { found: 3 }));
    for json in [
        "no json",
        "[]",
        r#"{"version":0,"rule":"all","pieces":[]}"#,
        r#"{"version":1,"rule":"all","pieces":[],"unless":"x"}"#,
        r#"{"version":1,"rule":"all","pieces":[{"file_hash":{"path":"a","blake3":"00"}}]}"#,
        r#"{"version":1,"rule":"all","pieces":[{"moon_phase":{}}]}"#,
        r#"{"version":1,"rule":{"at_least":1},"pieces":[]}"#,
        &pack_with_path("../up"),
    ] {
        let error = read(json).unwrap_err();
        assert!(matches!(error, UnreadableEvidence::Malformed { .. }), "{json}: {error}");
    }
    assert!(read(&pack_with_path("down")).is_ok());
}

#[test]
fn each_kind_has_a_stored_form_that_never_changes() {
    let (blake3, sha256) = (Digest::of(b"x"), Sha256Digest::of(b"x"));
    let operation = OperationKey::new("tool-ledger:tests").unwrap();
    let row = |expected| Piece::DatabaseRow(DatabaseRow::new("q", vec!["7".into()], expected).unwrap());
    let artifact = |kind| Piece::ArtifactExists(ArtifactExists::new("a", kind).unwrap());
    for (piece, expected) in [
        (
            Piece::FileHash(FileHash::new("a", sha256).unwrap()),
            format!(r#"{{"file_hash":{{"path":"a","sha256":"{sha256}"}}}}"#),
        ),
        (artifact(ArtifactKind::File), r#"{"artifact_exists":{"path":"a","kind":"file"}}"#.into()),
        (artifact(ArtifactKind::Directory), r#"{"artifact_exists":{"path":"a","kind":"directory"}}"#.into()),
        (artifact(ArtifactKind::Any), r#"{"artifact_exists":{"path":"a","kind":"any"}}"#.into()),
        (
            Piece::CommandExit(CommandExit::new(operation, -1, blake3)),
            format!(
                r#"{{"command_exit":{{"operation":"tool-ledger:tests","exit_code":-1,"output":"{blake3}"}}}}"#
            ),
        ),
        (
            row(ExpectedRow::Exists),
            r#"{"database_row":{"query":"q","parameters":["7"],"expected":"exists"}}"#.into(),
        ),
        (
            row(ExpectedRow::Content(blake3)),
            format!(
                r#"{{"database_row":{{"query":"q","parameters":["7"],"expected":{{"content":"{blake3}"}}}}}}"#
            ),
        ),
        (
            Piece::Custom(Custom::new("v", r#"{"n":7}"#).unwrap()),
            r#"{"custom":{"verifier":"v","subject":"{\"n\":7}"}}"#.into(),
        ),
    ] {
        let stored = EvidencePack::new(Rule::All, vec![piece]).unwrap().to_payload().unwrap();
        let expected = format!(r#"{{"version":2,"rule":"all","pieces":[{expected}]}}"#);
        assert_eq!(String::from_utf8_lossy(stored.bytes()), expected);
        // Said to be of version 1 it is none: no program has ever written that.
        let error = read(&expected.replace("\"version\":2", "\"version\":1")).unwrap_err();
        assert!(matches!(error, UnreadableEvidence::Malformed { .. }), "{error}");
    }
}

#[test]
fn version_2_is_read_as_strictly_as_version_1() {
    let digest = Digest::ZERO;
    for piece in [
        r#"{"file_hash":{"path":"a"}}"#.to_owned(),
        format!(r#"{{"file_hash":{{"path":"a","blake3":"{digest}","sha256":"{digest}"}}}}"#),
        r#"{"file_hash":{"path":"a","sha256":"00"}}"#.to_owned(),
        r#"{"artifact_exists":{"path":"../a","kind":"any"}}"#.to_owned(),
        r#"{"artifact_exists":{"path":"a","kind":"socket"}}"#.to_owned(),
        r#"{"artifact_exists":{"path":"a","kind":"any","unless":"b"}}"#.to_owned(),
        format!(r#"{{"command_exit":{{"operation":"","exit_code":0,"output":"{digest}"}}}}"#),
        r#"{"command_exit":{"operation":"o","exit_code":0}}"#.to_owned(),
        r#"{"command_exit":{"operation":"o","exit_code":0,"output":""}}"#.to_owned(),
        r#"{"database_row":{"query":"","parameters":[],"expected":"exists"}}"#.to_owned(),
        r#"{"database_row":{"query":"q","parameters":[7],"expected":"exists"}}"#.to_owned(),
        r#"{"database_row":{"query":"q","parameters":[],"expected":{"content":"0"}}}"#.to_owned(),
        r#"{"custom":{"verifier":"v","subject":"no json"}}"#.to_owned(),
        r#"{"moon_phase":{}}"#.to_owned(),
    ] {
        let error = read(&format!(r#"{{"version":2,"rule":"all","pieces":[{piece}]}}"#)).unwrap_err();
        assert!(matches!(error, UnreadableEvidence::Malformed { .. }), "{piece}: {error}");
    }
    // Nobody writes what version 1 can say in version 2; it says the same all the same.
    assert_eq!(
        read(&pack_with_path("a").replace("\"version\":1", "\"version\":2")),
        read(&pack_with_path("a"))
    );
}

/// Draws packs of every kind of piece, odd texts included.
struct Drawn(SeededRng);

impl Drawn {
    fn below(&self, bound: usize) -> usize {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        usize::try_from(u64::from_le_bytes(bytes) % bound as u64).unwrap()
    }

    /// Never empty, and without what paths and labels may not have.
    fn text(&self) -> String {
        let odd = ["a", "ä", "\u{1f980}", "\"", "\\", "\n", "\u{7f}", "\u{2028}", " ", "{", "."];
        (0..=self.below(12)).map(|_| odd[self.below(odd.len())]).chain(["z"]).collect()
    }

    fn digest(&self) -> Digest {
        Digest::of(self.text().as_bytes())
    }

    fn piece(&self) -> Piece {
        match self.below(6) {
            0 => Piece::FileHash(FileHash::new(self.text(), self.digest()).unwrap()),
            1 => {
                let digest = Sha256Digest::of(self.text().as_bytes());
                Piece::FileHash(FileHash::new(self.text(), digest).unwrap())
            }
            2 => {
                let kinds = [ArtifactKind::File, ArtifactKind::Directory, ArtifactKind::Any];
                Piece::ArtifactExists(ArtifactExists::new(self.text(), kinds[self.below(3)]).unwrap())
            }
            3 => {
                let exit_code = [0, 1, -1, i32::MIN, i32::MAX][self.below(5)];
                let operation = OperationKey::new(self.text()).unwrap();
                Piece::CommandExit(CommandExit::new(operation, exit_code, self.digest()))
            }
            4 => {
                let parameters = (0..self.below(5)).map(|_| self.text() + "\0").collect();
                let expected = match self.below(2) {
                    0 => ExpectedRow::Exists,
                    _ => ExpectedRow::Content(self.digest()),
                };
                Piece::DatabaseRow(DatabaseRow::new(self.text(), parameters, expected).unwrap())
            }
            _ => {
                let subject = serde_json::json!({ self.text(): [self.text(), self.below(9)] });
                Piece::Custom(Custom::new(self.text(), subject.to_string()).unwrap())
            }
        }
    }
}

#[test]
fn any_pack_reads_back_as_it_was_written_and_in_the_oldest_version_that_can_say_it() {
    for seed in 0..2_000 {
        let drawn = Drawn(SeededRng::new(seed));
        let pieces: Vec<Piece> = (0..=drawn.below(5)).map(|_| drawn.piece()).collect();
        let is_old = pieces.iter().all(
            |piece| matches!(piece, Piece::FileHash(file) if matches!(file.digest(), FileDigest::Blake3(_))),
        );
        let rule = match drawn.below(2) {
            0 => Rule::All,
            _ => Rule::AtLeast(u32::try_from(1 + drawn.below(pieces.len())).unwrap()),
        };
        let pack = EvidencePack::new(rule, pieces).unwrap();
        let payload = pack.to_payload().unwrap();
        let version = if is_old { r#"{"version":1,"# } else { r#"{"version":2,"# };
        assert!(payload.bytes().starts_with(version.as_bytes()), "seed {seed}: {payload:?}");
        let read = EvidencePack::from_payload(&payload);
        assert_eq!(read.as_ref(), Ok(&pack), "seed {seed}");
        assert_eq!(read.unwrap().to_payload().unwrap(), payload, "seed {seed}");
    }
}

fn pack_with_path(path: &str) -> String {
    let blake3 = Digest::ZERO;
    format!(
        r#"{{"version":1,"rule":"all","pieces":[{{"file_hash":{{"path":"{path}","blake3":"{blake3}"}}}}]}}"#
    )
}
