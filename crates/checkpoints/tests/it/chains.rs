//! Chains: what a walk over all links proves, and that nothing changed, lost or reordered passes it.

use steadfast_checkpoints::{ChainBreak, ChainReport, CheckpointError, Fault, NewCheckpoint};
use steadfast_store::{
    AppendCheckpoint, Checkpoint, CheckpointId, DamagedPayload, Digest, Payload, SealedPayload,
    SequenceNumber, Store, StoreExt, TaskId,
};

use crate::stage::{Stage, label};

/// Five steps, then every read of checkpoints passes through `alter`.
async fn altered(alter: impl FnMut(&mut Vec<Checkpoint>) + Send + 'static) -> ChainReport {
    let stage = Stage::new().await;
    stage.steps(1, 5).await;
    assert!(stage.manager.verify_chain(&stage.task).await.unwrap().holds());
    stage.store.alter_checkpoints(alter).await;
    stage.manager.verify_chain(&stage.task).await.unwrap()
}

#[track_caller]
fn assert_broken(report: &ChainReport, place: u64, expected: impl Fn(&ChainBreak) -> bool) {
    let ChainReport::Broken { at, why } = report else { panic!("{report:?}") };
    assert!(at.0 == place && expected(why), "broken at {at}: {why}");
}

/// The numbered checkpoint of the page, if it is in it.
fn pick(page: &mut [Checkpoint], sequence: u64) -> &mut Checkpoint {
    page.iter_mut().find(|checkpoint| checkpoint.header.sequence.0 == sequence).unwrap()
}

/// Gives the header the link that its fields give, as a forger would.
fn forge_link(checkpoint: &mut Checkpoint) {
    let header = &mut checkpoint.header;
    header.link = header.computed_link();
}

fn resealed(bytes: &'static str, salt: [u8; 16]) -> SealedPayload {
    // The digest is over salt and bytes; a wrong one tells the right one.
    let wrong = SealedPayload::open(bytes.into(), salt, Digest::ZERO).unwrap_err();
    SealedPayload::open(bytes.into(), salt, wrong.found).unwrap()
}

#[tokio::test]
async fn a_chain_as_it_was_written_is_intact() {
    let stage = Stage::new().await;
    let report = stage.manager.verify_chain(&stage.task).await.unwrap();
    assert_eq!(report, ChainReport::Intact { length: 0, head: Digest::ZERO });
    // More than a page.
    stage.steps(1, 300).await;
    let head = stage.store.task(&stage.task).await.unwrap().unwrap().head_link;
    let report = stage.manager.verify_chain(&stage.task).await.unwrap();
    assert_eq!(report, ChainReport::Intact { length: 300, head });
    let error = stage.manager.verify_chain(&TaskId::new("other").unwrap()).await.unwrap_err();
    assert!(matches!(error, CheckpointError::NoSuchTask { .. }), "{error}");
}

#[tokio::test]
async fn a_changed_payload_is_found_even_when_its_own_digest_was_changed_too() {
    let report = altered(|page| {
        let checkpoint = pick(page, 3);
        let salt = *checkpoint.payload.as_ref().unwrap().salt();
        checkpoint.payload = Ok(resealed("forged", salt));
    });
    assert_broken(&report.await, 3, |why| matches!(why, ChainBreak::Fault(Fault::Payload(_))));
    let report = altered(|page| {
        let checkpoint = pick(page, 3);
        let forged = resealed("forged", [0; 16]);
        checkpoint.header.payload = forged.digest();
        checkpoint.payload = Ok(forged);
    });
    assert_broken(&report.await, 3, |why| *why == ChainBreak::Fault(Fault::Link));
}

#[tokio::test]
async fn a_changed_field_is_found_even_when_the_link_was_computed_again() {
    let report = altered(|page| pick(page, 2).header.kind = label("other"));
    assert_broken(&report.await, 2, |why| *why == ChainBreak::Fault(Fault::Link));
    // The next one still names the true parent.
    let report = altered(|page| {
        pick(page, 2).header.kind = label("other");
        forge_link(pick(page, 2));
    });
    assert_broken(&report.await, 3, |why| *why == ChainBreak::OtherParent);
}

#[tokio::test]
async fn a_forged_newest_checkpoint_is_found_by_the_head_on_the_task() {
    let report = altered(|page| {
        pick(page, 5).header.kind = label("other");
        forge_link(pick(page, 5));
    });
    assert_broken(&report.await, 5, |why| matches!(why, ChainBreak::OtherHead { .. }));
}

#[tokio::test]
async fn changed_evidence_is_found() {
    let report = altered(|page| pick(page, 4).evidence = Ok(Payload::new("forged").unwrap()));
    assert_broken(&report.await, 4, |why| matches!(why, ChainBreak::Fault(Fault::Evidence(_))));
}

#[tokio::test]
async fn a_payload_that_the_store_found_damaged_is_reported() {
    let damaged = DamagedPayload { stored: Digest::ZERO, found: Digest::of(b"x") };
    let told = damaged.clone();
    let report = altered(move |page| pick(page, 4).payload = Err(told.clone().into())).await;
    assert_broken(&report, 4, |why| *why == ChainBreak::Fault(Fault::Payload(damaged.clone())));
}

#[tokio::test]
async fn exchanged_places_are_found() {
    let report = altered(|page| page.swap(1, 2)).await;
    assert_broken(&report, 2, |why| *why == ChainBreak::Missing);
    let report = altered(|page| {
        page.swap(1, 2);
        (page[1].header.sequence, page[2].header.sequence) = (SequenceNumber(2), SequenceNumber(3));
    });
    assert_broken(&report.await, 2, |why| *why == ChainBreak::OtherParent);
    let report = altered(|page| page[1] = page[0].clone()).await;
    let found = SequenceNumber(1);
    assert_broken(&report, 2, |why| *why == ChainBreak::OutOfOrder { found });
}

#[tokio::test]
async fn a_lost_checkpoint_is_found_wherever_it_stood() {
    for place in [1, 3] {
        let report =
            altered(move |page| page.retain(|checkpoint| checkpoint.header.sequence.0 != place)).await;
        assert_broken(&report, place, |why| *why == ChainBreak::Missing);
    }
    let report = altered(|page| page.retain(|checkpoint| checkpoint.header.sequence.0 < 4)).await;
    assert_broken(&report, 4, |why| *why == ChainBreak::Missing);
}

#[tokio::test]
async fn a_checkpoint_of_another_task_is_not_taken_for_one_of_this() {
    let stage = Stage::new().await;
    stage.steps(1, 2).await;
    let other = stage.create_task("other").await;
    let foreign = NewCheckpoint::new(other.clone(), label("step"), "state");
    let foreign = stage.manager.prepare(foreign).unwrap();
    stage.manager.commit_step(&foreign, None, |_| {}).await.unwrap();
    let foreign = stage.manager.get(foreign.id()).await.unwrap().unwrap();
    stage.store.alter_checkpoints(move |page| page[0] = foreign.clone()).await;
    let report = stage.manager.verify_chain(&stage.task).await.unwrap();
    assert_broken(&report, 1, |why| *why == ChainBreak::OtherTask { task: other.clone() });
}

#[tokio::test]
async fn a_pruned_prefix_is_told_from_a_hole() {
    let stage = Stage::new().await;
    stage.steps(1, 5).await;
    let head = stage.store.task(&stage.task).await.unwrap().unwrap().head_link;
    let through = SequenceNumber(2);
    stage.store.alter_checkpoints(|page| page.retain(|kept| kept.header.sequence.0 > 2)).await;
    let report = stage.manager.verify_chain(&stage.task).await.unwrap();
    assert_broken(&report, 1, |why| *why == ChainBreak::Missing);
    stage.store.alter_task(move |task| task.pruned_through = through).await;
    let report = stage.manager.verify_chain(&stage.task).await.unwrap();
    assert_eq!(report, ChainReport::Pruned { through, length: 3, head });
    stage.store.alter_checkpoints(|page| page.retain(|kept| kept.header.sequence.0 > 3)).await;
    let report = stage.manager.verify_chain(&stage.task).await.unwrap();
    assert_broken(&report, 3, |why| *why == ChainBreak::Missing);
}

#[tokio::test]
async fn pruning_while_the_chain_is_walked_is_no_hole() {
    let stage = Stage::new().await;
    stage.steps(1, 5).await;
    stage.store.alter_checkpoints(|page| page.retain(|kept| kept.header.sequence.0 > 2)).await;
    let mut reads = 0;
    stage
        .store
        .alter_task(move |task| {
            reads += 1;
            task.pruned_through = SequenceNumber(if reads == 1 { 0 } else { 2 });
        })
        .await;
    let report = stage.manager.verify_chain(&stage.task).await.unwrap();
    assert!(
        matches!(report, ChainReport::Pruned { through: SequenceNumber(2), length: 3, .. }),
        "{report:?}"
    );
}

#[tokio::test]
async fn what_is_appended_while_the_chain_is_walked_is_left_out() {
    let stage = Stage::new().await;
    stage.steps(1, 3).await;
    let before = stage.store.task(&stage.task).await.unwrap().unwrap();
    stage.steps(4, 5).await;
    let head = before.head_link;
    stage.store.alter_task(move |task| *task = before.clone()).await;
    // Even what is wrong with it.
    stage.store.alter_checkpoints(|page| pick(page, 4).header.kind = label("other")).await;
    let report = stage.manager.verify_chain(&stage.task).await.unwrap();
    assert_eq!(report, ChainReport::Intact { length: 3, head });
}

#[tokio::test]
async fn a_checkpoint_appended_without_this_crate_is_part_of_the_chain() {
    let stage = Stage::new().await;
    let append = AppendCheckpoint {
        checkpoint: CheckpointId::generate(stage.store.env()),
        task: stage.task.clone(),
        kind: label("step"),
        work_item: None,
        expected_head: None,
        payload: SealedPayload::seal("state", stage.store.env()).unwrap(),
        evidence: Payload::new("not for this crate").unwrap(),
        copy_of: None,
    };
    stage.store.append_checkpoint(append).await.unwrap();
    assert!(stage.manager.verify_chain(&stage.task).await.unwrap().holds());
}
