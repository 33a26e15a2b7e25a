//! Evidence: verified means verified now, on the file that was opened; everything else says why not.

use std::fs::{self, File};
use std::os::unix::fs::symlink;

use steadfast_checkpoints::{
    CheckpointError, CheckpointManager, CheckpointOptions, EvidencePack, FILE_BYTES_MAX, Failure, Fault,
    FileHash, Finding, Judgement, Obstacle, Piece, Rule, UnreadableEvidence,
};
use steadfast_store::own_files::OwnFile;
use steadfast_store::{
    AppendCheckpoint, CheckpointId, Digest, Payload, SealedPayload, Store, StoreExt, Verdict,
};

use crate::stage::{Stage, label};

/// What a look at the file of this name finds, when its content should be `content`.
async fn look(stage: &Stage, path: &str, content: &str) -> Finding {
    let piece = Piece::FileHash(FileHash::new(path, Digest::of(content.as_bytes())).unwrap());
    let pack = EvidencePack::new(Rule::All, vec![piece]).unwrap();
    stage.manager.check(pack).await.pieces.remove(0).finding
}

#[tokio::test]
async fn a_file_with_the_content_it_had_verifies() {
    let stage = Stage::new().await;
    stage.write("a", "content");
    fs::create_dir(stage.path("folder")).unwrap();
    stage.write("folder/täglich", "");
    assert_eq!(look(&stage, "a", "content").await, Finding::Verified);
    assert_eq!(look(&stage, "./folder/täglich", "").await, Finding::Verified);
}

#[tokio::test]
async fn a_file_that_is_not_the_one_it_was_fails_and_says_so() {
    let stage = Stage::new().await;
    stage.write("a", "other");
    let (expected, found) = (Digest::of(b"content").into(), Digest::of(b"other").into());
    assert_eq!(look(&stage, "a", "content").await, Finding::Failed(Failure::Mismatch { expected, found }));
    for path in ["none", "none/a", "a/b"] {
        assert_eq!(look(&stage, path, "").await, Finding::Failed(Failure::Missing), "{path}");
    }
}

#[tokio::test]
async fn a_path_that_passes_a_symbolic_link_fails_wherever_it_leads() {
    let stage = Stage::new().await;
    stage.write("a", "content");
    fs::create_dir(stage.path("folder")).unwrap();
    stage.write("folder/a", "content");
    symlink("a", stage.path("link")).unwrap();
    symlink("folder", stage.path("linked-folder")).unwrap();
    symlink("/etc", stage.path("outside")).unwrap();
    symlink("/proc/self/fd", stage.path("magic")).unwrap();
    for path in ["link", "linked-folder/a", "outside/passwd", "magic/0"] {
        assert_eq!(look(&stage, path, "content").await, Finding::Failed(Failure::Symlink), "{path}");
    }
}

#[tokio::test]
async fn what_is_no_regular_file_is_not_even_opened() {
    let stage = Stage::new().await;
    fs::create_dir(stage.path("folder")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        stage.path("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    // Opening a pipe for reading would wait for a writer.
    for path in ["folder", "pipe", "."] {
        assert_eq!(look(&stage, path, "").await, Finding::Failed(Failure::NotAFile), "{path}");
    }
}

#[tokio::test]
async fn a_stores_own_file_is_not_opened_under_any_name() {
    let stage = Stage::new().await;
    stage.write("work.db", "content");
    fs::hard_link(stage.path("work.db"), stage.path("innocent.txt")).unwrap();
    let own = OwnFile::register(&stage.path("work.db")).unwrap();
    for path in ["work.db", "innocent.txt"] {
        assert_eq!(look(&stage, path, "content").await, Finding::Failed(Failure::OwnFile), "{path}");
    }
    drop(own);
    assert_eq!(look(&stage, "work.db", "content").await, Finding::Verified);
}

#[tokio::test]
async fn a_file_over_the_limit_fails_unread() {
    let stage = Stage::new().await;
    let actual = FILE_BYTES_MAX + 1;
    File::create(stage.path("huge")).unwrap().set_len(actual).unwrap();
    let began = std::time::Instant::now();
    let finding = look(&stage, "huge", "").await;
    assert_eq!(finding, Finding::Failed(Failure::TooLarge { actual, limit: FILE_BYTES_MAX }));
    assert!(began.elapsed().as_millis() < 100);
}

#[tokio::test]
async fn a_base_that_is_gone_leaves_the_evidence_pending_and_no_verdict() {
    let stage = Stage::new().await;
    let (id, _) = stage.commit("state", stage.files(Rule::All, &["a"]).await).await;
    let manager = CheckpointManager::new(stage.store.clone(), CheckpointOptions::new(stage.path("gone")));
    let before = manager.get(id).await.unwrap().unwrap().verification;
    let report = manager.verify(id).await.unwrap();
    assert_eq!(report.judgement(), Judgement::Pending);
    assert!(matches!(report.evidence.pieces[0].finding, Finding::Pending(Obstacle::Base { .. })));
    assert_eq!(manager.get(id).await.unwrap().unwrap().verification, before);
    assert!(manager.last_verified(&stage.task).await.unwrap().checkpoint.is_none());
}

#[tokio::test]
async fn only_what_can_be_read_here_can_become_evidence() {
    let stage = Stage::new().await;
    let error = stage.manager.observe_file("../a").await.unwrap_err();
    assert!(matches!(error, CheckpointError::InvalidEvidence(_)), "{error}");
    let error = stage.manager.observe_file("none").await.unwrap_err();
    let CheckpointError::NotObserved { finding, .. } = error else { panic!("{error}") };
    assert_eq!(finding, Finding::Failed(Failure::Missing));
}

#[tokio::test]
async fn verify_looks_now_and_records_what_it_found() {
    let stage = Stage::new().await;
    let (id, _) = stage.commit("state", stage.files(Rule::All, &["a", "b"]).await).await;
    let recorded = async || stage.manager.get(id).await.unwrap().unwrap().verification.unwrap();
    assert!(stage.manager.verify(id).await.unwrap().is_verified());
    assert_eq!(recorded().await.verdict, Verdict::Verified);

    stage.write("b", "other");
    let report = stage.manager.verify(id).await.unwrap();
    assert_eq!(report.judgement(), Judgement::Failed);
    assert_eq!(report.evidence.open_pieces().count(), 1);
    assert_eq!((recorded().await.verdict, recorded().await.detail), (Verdict::Failed, report.detail()));
    assert!(report.detail().contains("\"b\""), "{}", report.detail());

    stage.write("b", "content of b");
    assert!(stage.manager.verify(id).await.unwrap().is_verified());
    assert_eq!((recorded().await.verdict, recorded().await.detail), (Verdict::Verified, String::new()));
}

#[tokio::test]
async fn at_least_some_pieces_are_enough_when_the_rule_says_so() {
    let stage = Stage::new().await;
    let (id, _) = stage.commit("state", stage.files(Rule::AtLeast(1), &["a", "b"]).await).await;
    fs::remove_file(stage.path("a")).unwrap();
    assert!(stage.manager.verify(id).await.unwrap().is_verified());
    fs::remove_file(stage.path("b")).unwrap();
    assert!(!stage.manager.verify(id).await.unwrap().is_verified());
}

#[tokio::test]
async fn evidence_that_this_program_cannot_read_is_never_verified() {
    let stage = Stage::new().await;
    for (evidence, expected) in [
        (r#"{"version":3}"#, Some(UnreadableEvidence::TooNew { found: 3 })),
        (r#"{"version":1,"rule":"none"}"#, None),
    ] {
        let checkpoint = CheckpointId::generate(stage.store.env());
        let append = AppendCheckpoint {
            checkpoint,
            task: stage.task.clone(),
            kind: label("step"),
            work_item: None,
            expected_head: None,
            payload: SealedPayload::seal("state", stage.store.env()).unwrap(),
            evidence: Payload::new(evidence).unwrap(),
            copy_of: None,
        };
        stage.store.append_checkpoint(append).await.unwrap();
        let report = stage.manager.verify(checkpoint).await.unwrap();
        let Some(Fault::Unreadable(why)) = &report.fault else { panic!("{report}") };
        assert!(expected.is_none_or(|expected| expected == *why), "{why}");
        assert!(!report.is_verified());
    }
    let unknown = CheckpointId::generate(stage.store.env());
    let error = stage.manager.verify(unknown).await.unwrap_err();
    assert!(matches!(error, CheckpointError::NoSuchCheckpoint { .. }), "{error}");
}
