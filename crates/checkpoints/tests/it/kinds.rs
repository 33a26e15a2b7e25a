//! The kinds of evidence side by side: artifacts, SHA-256, and packs that mix them all.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use steadfast_checkpoints::{
    ArtifactExists, ArtifactKind, CheckpointError, Custom, DatabaseRow, EvidencePack, ExpectedRow, Failure,
    FileDigest, FileHash, Finding, FoundKind, HashAlgorithm, Judgement, Piece, Rule, Sha256Digest, Verifiers,
};
use steadfast_store::own_files::OwnFile;
use steadfast_store::{InvalidateOperation, StoreExt, Verdict};

use crate::commands;
use crate::registered::Says;
use crate::stage::{Stage, label};

const KINDS: [ArtifactKind; 3] = [ArtifactKind::File, ArtifactKind::Directory, ArtifactKind::Any];

async fn look(stage: &Stage, piece: Piece) -> Finding {
    let pack = EvidencePack::new(Rule::All, vec![piece]).unwrap();
    stage.manager.check(pack).await.pieces.remove(0).finding
}

/// What looks for a file, a directory and anything at the path find.
async fn artifacts(stage: &Stage, path: &str) -> [Finding; 3] {
    let piece = |kind| Piece::ArtifactExists(ArtifactExists::new(path, kind).unwrap());
    let [file, directory, any] = KINDS.map(piece);
    [look(stage, file).await, look(stage, directory).await, look(stage, any).await]
}

fn other(found: FoundKind) -> Finding {
    Finding::Failed(Failure::OtherKind { found })
}

fn pipe(stage: &Stage, name: &str) {
    let (fifo, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
    rustix::fs::mknodat(rustix::fs::CWD, stage.path(name), fifo, mode, 0).unwrap();
}

#[tokio::test]
async fn an_artifact_of_the_kind_asked_for_verifies_and_another_says_which_it_is() {
    let stage = Stage::new().await;
    stage.write("file", "");
    fs::create_dir(stage.path("folder")).unwrap();
    pipe(&stage, "pipe");
    let _socket = std::os::unix::net::UnixListener::bind(stage.path("socket")).unwrap();
    let verified = Finding::Verified;
    assert_eq!(artifacts(&stage, "file").await, [verified.clone(), other(FoundKind::File), verified.clone()]);
    for path in ["folder", "./folder/", "."] {
        let found = artifacts(&stage, path).await;
        assert_eq!(found, [other(FoundKind::Directory), verified.clone(), verified.clone()], "{path}");
    }
    for (path, kind) in [("pipe", FoundKind::Pipe), ("socket", FoundKind::Socket)] {
        assert_eq!(artifacts(&stage, path).await, [other(kind), other(kind), verified.clone()], "{path}");
    }
}

#[tokio::test]
async fn an_artifact_that_nobody_may_read_is_there_all_the_same() {
    let stage = Stage::new().await;
    stage.write("secret", "s");
    fs::set_permissions(stage.path("secret"), Permissions::from_mode(0o000)).unwrap();
    assert_eq!(artifacts(&stage, "secret").await[0], Finding::Verified);
}

#[tokio::test]
async fn an_artifact_that_is_missing_or_behind_a_link_fails_whatever_is_asked_for() {
    let stage = Stage::new().await;
    stage.write("a", "");
    symlink("a", stage.path("link")).unwrap();
    symlink("/etc", stage.path("outside")).unwrap();
    for (path, failure) in [
        ("none", Failure::Missing),
        ("a/below", Failure::Missing),
        ("link", Failure::Symlink),
        ("outside/passwd", Failure::Symlink),
    ] {
        for finding in artifacts(&stage, path).await {
            assert_eq!(finding, Finding::Failed(failure.clone()), "{path}");
        }
    }
}

#[tokio::test]
async fn a_stores_own_file_is_no_artifact_under_any_name() {
    let stage = Stage::new().await;
    stage.write("work.db", "content");
    fs::hard_link(stage.path("work.db"), stage.path("innocent.txt")).unwrap();
    let own = OwnFile::register(&stage.path("work.db")).unwrap();
    for path in ["work.db", "innocent.txt"] {
        for finding in artifacts(&stage, path).await {
            assert_eq!(finding, Finding::Failed(Failure::OwnFile), "{path}");
        }
    }
    drop(own);
    assert_eq!(artifacts(&stage, "work.db").await[0], Finding::Verified);
}

#[tokio::test]
async fn a_file_verifies_by_the_digest_that_was_published_elsewhere() {
    let stage = Stage::new().await;
    stage.write("a", "abc");
    // FIPS 180-4's own example.
    let published = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let published = Sha256Digest::from_hex(published).unwrap();
    let piece = Piece::FileHash(FileHash::new("a", published).unwrap());
    assert_eq!(stage.manager.observe_file_with("a", HashAlgorithm::Sha256).await.unwrap(), piece);
    assert_eq!(look(&stage, piece.clone()).await, Finding::Verified);

    stage.write("a", "abd");
    let Finding::Failed(Failure::Mismatch { expected, found }) = look(&stage, piece).await else {
        panic!("it holds")
    };
    assert_eq!(expected, FileDigest::Sha256(published));
    assert_eq!(found, FileDigest::Sha256(Sha256Digest::of(b"abd")));
    let error = stage.manager.observe_file_with("../a", HashAlgorithm::Sha256).await.unwrap_err();
    assert!(matches!(error, CheckpointError::InvalidEvidence(_)), "{error}");
    let error = stage.manager.observe_file_with("none", HashAlgorithm::Sha256).await.unwrap_err();
    assert_eq!(error.to_string().split(": ").next(), Some("file \"none\" cannot be evidence"));
}

/// A stage on which one piece of each kind holds, and these pieces.
async fn one_of_each() -> (Stage, Vec<Piece>) {
    let mut stage = Stage::new().await;
    let verifiers = Verifiers::new()
        .query(label("invoice"), |_: &[String]| Ok(Some(b"paid".to_vec())))
        .verifier(label("ticket-closed"), Says(Finding::Verified));
    stage.manager = stage.manager.with_verifiers(verifiers);
    for name in ["a", "b"] {
        stage.write(name, "content");
    }
    fs::create_dir(stage.path("charts")).unwrap();
    let command = commands::run(&stage, commands::succeeded(0, "48 passed")).await;
    let pieces = vec![
        stage.manager.observe_file("a").await.unwrap(),
        stage.manager.observe_command(&command, 0).await.unwrap(),
        Piece::ArtifactExists(ArtifactExists::new("charts", ArtifactKind::Directory).unwrap()),
        stage.manager.observe_row("invoice", vec!["7".into()]).await.unwrap(),
        Piece::Custom(Custom::new("ticket-closed", r#"{"ticket":7}"#).unwrap()),
        stage.manager.observe_file_with("b", HashAlgorithm::Sha256).await.unwrap(),
    ];
    (stage, pieces)
}

#[tokio::test]
async fn a_step_with_evidence_of_every_kind_is_committed_verified_and_gone_on_from() {
    let (stage, pieces) = one_of_each().await;
    let (id, _) = stage.commit("state", EvidencePack::new(Rule::All, pieces.clone()).unwrap()).await;
    let report = stage.manager.verify(id).await.unwrap();
    assert!(report.is_verified(), "{report}");
    let looked_at: Vec<Piece> = report.evidence.pieces.into_iter().map(|report| report.piece).collect();
    assert_eq!(looked_at, pieces, "in the order of the pack");
    let last = stage.manager.last_verified(&stage.task).await.unwrap();
    assert_eq!(last.checkpoint.unwrap().header.id, id);
}

#[tokio::test]
async fn at_least_some_pieces_of_any_kind_are_enough_when_the_rule_says_so() {
    let (mut stage, pieces) = one_of_each().await;
    let pack = |count| EvidencePack::new(Rule::AtLeast(count), pieces.clone()).unwrap();
    fs::remove_file(stage.path("a")).unwrap();
    fs::remove_dir(stage.path("charts")).unwrap();
    // The query can no longer look, the verifier is no longer registered: one is pending, three have failed.
    let verifiers = Verifiers::new().query(label("invoice"), |_: &[String]| Err("no connection".into()));
    stage.manager = stage.manager.with_verifiers(verifiers);
    for (count, judgement) in [(2, Judgement::Verified), (3, Judgement::Pending), (4, Judgement::Failed)] {
        let report = stage.manager.check(pack(count)).await;
        assert_eq!(report.judgement, judgement, "at least {count}: {report}");
    }
}

#[tokio::test]
async fn a_report_names_each_piece_and_why_it_does_not_hold() {
    let (mut stage, mut pieces) = one_of_each().await;
    pieces.push(Piece::DatabaseRow(DatabaseRow::new("none", Vec::new(), ExpectedRow::Exists).unwrap()));
    let (id, _) = stage.commit("state", EvidencePack::new(Rule::AtLeast(6), pieces).unwrap()).await;
    stage.write("a", "other");
    fs::remove_dir(stage.path("charts")).unwrap();
    stage.write("charts", "");
    stage.write("b", "other");
    stage.store.invalidate_operation(InvalidateOperation { key: commands::key() }).await.unwrap();
    let verifiers = Verifiers::new()
        .query(label("invoice"), |_: &[String]| Ok(Some(b"unpaid".to_vec())))
        .verifier(label("ticket-closed"), Says(Finding::failed("ticket 7 is open: close it")));
    stage.manager = stage.manager.with_verifiers(verifiers);

    let report = stage.manager.verify(id).await.unwrap();
    let said: Vec<String> = report.evidence.pieces.iter().map(ToString::to_string).collect();
    for (said, begins, holds) in [
        (&said[0], "file \"a\" failed: ", "it was changed since"),
        (&said[1], "exit code 0 of operation \"tool-ledger:cargo:report/tests\" failed: ", "no operation"),
        (&said[2], "directory \"charts\" failed: ", "it is a file"),
        (&said[3], "content of the row of query \"invoice\" with [\"7\"] failed: ", "it was changed since"),
        (&said[4], "verifier \"ticket-closed\" on {\"ticket\":7} failed: ", "ticket 7 is open"),
        (&said[5], "file \"b\" failed: ", "SHA-256"),
        (&said[6], "row of query \"none\" with [] failed: ", "no query is registered"),
    ] {
        assert!(said.starts_with(begins) && said.contains(holds), "{said}");
    }
    let recorded = stage.manager.get(id).await.unwrap().unwrap().verification.unwrap();
    assert_eq!((recorded.verdict, recorded.detail), (Verdict::Failed, report.detail()));
    assert_eq!(report.detail(), said.join("; "));
}
