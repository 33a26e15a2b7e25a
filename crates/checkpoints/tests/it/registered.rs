//! Evidence that the program itself judges: registered queries and verifiers, and what becomes of their
//! errors, their panics and their delays.

use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use steadfast_checkpoints::{
    CheckpointError, Custom, DatabaseRow, EvidencePack, ExpectedRow, Failure, Finding, Judgement, Obstacle,
    Piece, Rule, Verifier, Verifiers,
};
use steadfast_store::{Digest, Source};

use crate::stage::{Stage, label};

/// Says the same of every subject.
#[derive(Debug)]
pub(crate) struct Says(pub(crate) Finding);

#[async_trait]
impl Verifier for Says {
    async fn verify(&self, _subject: &str) -> Finding {
        self.0.clone()
    }
}

/// Agrees to one subject, byte for byte.
#[derive(Debug)]
struct Only(&'static str);

#[async_trait]
impl Verifier for Only {
    async fn verify(&self, subject: &str) -> Finding {
        tokio::task::yield_now().await;
        if subject == self.0 { Finding::Verified } else { Finding::failed(format!("it is {subject}")) }
    }
}

/// Panics somewhere.
#[derive(Debug)]
enum Panics {
    BeforeItsFuture,
    InItsFuture,
    /// Never answers, and panics when it is given up.
    WhenDropped,
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a verifier's future was dropped");
    }
}

impl Verifier for Panics {
    // Written out: an async fn cannot panic before it has made its future.
    fn verify<'s, 't, 'f>(&'s self, _subject: &'t str) -> Pin<Box<dyn Future<Output = Finding> + Send + 'f>>
    where
        's: 'f,
        't: 'f,
        Self: 'f,
    {
        match self {
            Self::BeforeItsFuture => panic!("a verifier panicked at once"),
            Self::InItsFuture => Box::pin(async {
                tokio::task::yield_now().await;
                panic!("a verifier panicked")
            }),
            Self::WhenDropped => Box::pin(async {
                let _bomb = Bomb;
                std::future::pending().await
            }),
        }
    }
}

fn row(query: &str, expected: ExpectedRow) -> Piece {
    Piece::DatabaseRow(DatabaseRow::new(query, vec!["7".into()], expected).unwrap())
}

fn custom(verifier: &str) -> Piece {
    Piece::Custom(Custom::new(verifier, r#"{ "ticket":7 }"#).unwrap())
}

/// A stage whose manager knows these queries and verifiers.
async fn stage(verifiers: Verifiers) -> Stage {
    let mut stage = Stage::new().await;
    stage.manager = stage.manager.with_verifiers(verifiers);
    stage
}

async fn look(stage: &Stage, piece: Piece) -> Finding {
    let pack = EvidencePack::new(Rule::All, vec![piece]).unwrap();
    stage.manager.check(pack).await.pieces.remove(0).finding
}

/// What a look finds when the row has to be so, and this query looks for it.
async fn look_at_row(
    expected: ExpectedRow,
    query: impl Fn(&[String]) -> Result<Option<Vec<u8>>, Source> + Send + Sync + 'static,
) -> Finding {
    look(&stage(Verifiers::new().query(label("x"), query)).await, row("x", expected)).await
}

#[tokio::test]
async fn a_row_that_is_there_verifies_and_its_content_is_compared_when_that_is_asked_for() {
    let paid = ExpectedRow::Content(Digest::of(b"paid"));
    let finds = |row: Option<&'static str>| move |_: &[String]| Ok(row.map(|row| row.as_bytes().to_vec()));
    let no_row = Finding::Failed(Failure::NoRow);
    let other = |found: &str| {
        let (expected, found) = (Digest::of(b"paid"), Digest::of(found.as_bytes()));
        Finding::Failed(Failure::OtherRow { expected, found })
    };
    for (found, exists, is_paid) in [
        (Some("paid"), Finding::Verified, Finding::Verified),
        (Some("unpaid"), Finding::Verified, other("unpaid")),
        (Some(""), Finding::Verified, other("")),
        (None, no_row.clone(), no_row),
    ] {
        assert_eq!(look_at_row(ExpectedRow::Exists, finds(found)).await, exists, "{found:?}");
        assert_eq!(look_at_row(paid, finds(found)).await, is_paid, "{found:?}");
    }
}

#[tokio::test]
async fn a_query_gets_its_parameters_as_they_were_given_and_is_compared_with_the_row_that_was_there() {
    let odd = ["'; --", "", "ä\0\n"].map(String::from).to_vec();
    let echo = |parameters: &[String]| Ok(Some(parameters.join("|").into_bytes()));
    let stage = stage(Verifiers::new().query(label("x"), echo)).await;
    let piece = stage.manager.observe_row("x", odd.clone()).await.unwrap();
    let content = ExpectedRow::Content(Digest::of(odd.join("|").as_bytes()));
    assert_eq!(piece, Piece::DatabaseRow(DatabaseRow::new("x", odd, content).unwrap()));
    assert_eq!(look(&stage, piece).await, Finding::Verified);
}

#[tokio::test]
async fn only_a_row_that_a_registered_query_finds_can_become_evidence() {
    let stage = stage(Verifiers::new().query(label("x"), |_: &[String]| Ok(None))).await;
    for (query, expected) in [("x", Failure::NoRow), ("y", Failure::UnknownQuery)] {
        let error = stage.manager.observe_row(query, Vec::new()).await.unwrap_err();
        let CheckpointError::NotObserved { finding, .. } = error else { panic!("{error}") };
        assert_eq!(finding, Finding::Failed(expected));
    }
    let error = stage.manager.observe_row("", Vec::new()).await.unwrap_err();
    assert!(matches!(error, CheckpointError::InvalidEvidence(_)), "{error}");
}

#[tokio::test]
async fn a_name_that_is_not_registered_fails_and_says_so() {
    let stage = stage(
        Verifiers::new()
            .query(label("only-a-query"), |_: &[String]| Ok(Some(Vec::new())))
            .verifier(label("only-a-verifier"), Says(Finding::Verified)),
    )
    .await;
    for name in ["none", "only-a-verifier"] {
        let finding = look(&stage, row(name, ExpectedRow::Exists)).await;
        assert_eq!(finding, Finding::Failed(Failure::UnknownQuery), "{name}");
        assert!(finding.to_string().contains("Verifiers::query"), "{finding}");
    }
    for name in ["none", "only-a-query"] {
        let finding = look(&stage, custom(name)).await;
        assert_eq!(finding, Finding::Failed(Failure::UnknownVerifier), "{name}");
        assert!(finding.to_string().contains("Verifiers::verifier"), "{finding}");
    }
}

#[tokio::test]
async fn a_query_that_errs_or_panics_or_takes_too_long_leaves_the_row_pending() {
    let erring = look_at_row(ExpectedRow::Exists, |_| Err("no connection".into())).await;
    assert_eq!(erring, Finding::Pending(Obstacle::Query { why: "no connection".into() }));
    let panicking = look_at_row(ExpectedRow::Exists, |_| panic!("a query panicked")).await;
    assert_eq!(panicking, Finding::Pending(Obstacle::BrokenOff));

    let patience = Duration::from_millis(20);
    let slow = |_: &[String]| {
        std::thread::sleep(Duration::from_millis(300));
        Ok(None)
    };
    let stage = stage(Verifiers::new().query(label("x"), slow).with_patience(patience)).await;
    let finding = look(&stage, row("x", ExpectedRow::Exists)).await;
    assert_eq!(finding, Finding::Pending(Obstacle::TooSlow { patience }));
}

#[tokio::test]
async fn a_verifier_gets_its_subject_byte_for_byte_and_has_the_last_word() {
    let verifiers = Verifiers::new().verifier(label("x"), Only(r#"{ "ticket":7 }"#));
    let stage = stage(verifiers).await;
    assert_eq!(look(&stage, custom("x")).await, Finding::Verified);
    let other = Piece::Custom(Custom::new("x", r#"{"ticket":7}"#).unwrap());
    assert_eq!(look(&stage, other).await, Finding::failed(r#"it is {"ticket":7}"#));
}

#[tokio::test]
async fn a_verifier_that_cannot_tell_leaves_no_verdict() {
    let mut stage = stage(Verifiers::new().verifier(label("x"), Says(Finding::Verified))).await;
    let (id, _) = stage.commit("state", EvidencePack::new(Rule::All, vec![custom("x")]).unwrap()).await;
    let before = stage.manager.get(id).await.unwrap().unwrap().verification;
    let pending = Says(Finding::pending("the ticket system is down"));
    stage.manager = stage.manager.with_verifiers(Verifiers::new().verifier(label("x"), pending));
    let report = stage.manager.verify(id).await.unwrap();
    assert_eq!(report.judgement(), Judgement::Pending);
    assert!(report.detail().ends_with("pending: the ticket system is down"), "{report}");
    assert_eq!(stage.manager.get(id).await.unwrap().unwrap().verification, before);
}

#[tokio::test]
async fn a_verifier_that_panics_leaves_its_piece_pending_and_the_others_judged() {
    for panics in [Panics::BeforeItsFuture, Panics::InItsFuture] {
        let verifiers = Verifiers::new().verifier(label("x"), panics);
        let stage = stage(verifiers.verifier(label("y"), Says(Finding::Verified))).await;
        let pieces = vec![custom("x"), custom("y")];
        let report = stage.manager.check(EvidencePack::new(Rule::AtLeast(1), pieces).unwrap()).await;
        assert_eq!(report.judgement, Judgement::Verified);
        assert_eq!(report.pieces[0].finding, Finding::Pending(Obstacle::BrokenOff));
        assert_eq!(report.pieces[1].finding, Finding::Verified);
    }
}

#[tokio::test]
async fn a_verifier_that_never_answers_is_given_up_even_when_it_panics_at_that() {
    let patience = Duration::from_millis(20);
    let verifiers = Verifiers::new().verifier(label("x"), Panics::WhenDropped).with_patience(patience);
    let stage = stage(verifiers).await;
    assert_eq!(look(&stage, custom("x")).await, Finding::Pending(Obstacle::TooSlow { patience }));
}
