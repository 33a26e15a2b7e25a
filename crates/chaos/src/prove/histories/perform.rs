//! Makes a call at the public interface of the store or of the cache, and understands its answer.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use steadfast_idempotency::{LedgerError, LlmAnswer, LlmCache, LlmCacheError, LlmRequest};
use steadfast_store::env::SeededRng;
use steadfast_store::{
    Abandonment, AppendCheckpoint, Batch, BeginOperation, CancelItem, CheckpointPage, Claim, CommandError,
    Committed, Delay, Durability, FinishOperation, InvalidateOperation, Label, OperationEnd, Payload, Renew,
    Requeue, SealedPayload, SequenceNumber, Settle, SettleItem, Store, StoreError, SweepExpired, Term,
    TypedCommand, commit_one,
};

use super::call::{Answer, Asked, End, Lease, Settlement, Why};
use super::names::{self, Names};

/// Checkpoints that a read of a chain takes; no history has so many.
const CHAIN_MAX: u32 = 1_000;
/// The settlement's reason, for people.
const DETAIL: &str = "a call of a history";

/// What a call could not even be made for: a mistake of this campaign.
pub(super) type Mistake = Box<dyn std::error::Error + Send + Sync>;

/// Where calls are made.
#[derive(Debug, Clone)]
pub(super) struct Counter {
    pub(super) store: Arc<dyn Store>,
    pub(super) cache: LlmCache,
    pub(super) names: Names,
}

/// What is not in the answer that it came for.
fn strange(what: impl Display) -> Answer {
    Answer::Rejected(Why::Other(what.to_string()))
}

fn understood(answer: Option<Answer>, what: &str) -> Answer {
    answer.unwrap_or_else(|| strange(format!("{what} that is none of this history's")))
}

impl Counter {
    /// Asks, and waits for the answer; none when the store does not know what came of it. `thinking` is how long the
    /// model takes to answer.
    pub(super) async fn perform(
        &self,
        asked: &Asked,
        durability: Durability,
        thinking: Duration,
    ) -> Result<Option<Answer>, Mistake> {
        let names = self.names;
        let millis = |millis: i64| Duration::from_millis(millis.unsigned_abs());
        Ok(match asked {
            Asked::Claim { id, term, limit } => {
                let (claim, holder) = (names::transition(*id), names::holder(*id)?);
                let (term, kinds) = (Term::new(millis(*term))?, vec![names.kind()?]);
                let claim = Claim { claim, holder, term, limit: *limit, kinds, task: None };
                self.commit(durability, claim, |claimed| {
                    let rows: Option<Vec<_>> =
                        claimed.items.iter().map(|item| names.item_row(item)).collect();
                    understood(rows.map(Answer::Claimed), "an item")
                })
                .await
            }
            Asked::Sweep { id, limit } => {
                let sweep = SweepExpired { sweep: names::transition(*id), limit: *limit };
                self.commit(durability, sweep, |swept| {
                    let reclaimed: Option<Vec<_>> =
                        swept.reclaimed.iter().map(|one| names.reclaimed(one)).collect();
                    understood(reclaimed.map(Answer::Swept), "an item")
                })
                .await
            }
            Asked::Renew { lease, term } => {
                let renew = Renew { guard: names.guard(*lease)?, term: Term::new(millis(*term))? };
                self.commit(durability, renew, |renewed| Answer::Renewed {
                    expires: renewed.expires_at.as_millis(),
                })
                .await
            }
            Asked::Settle { lease, how, delay } => {
                let settle = settle(names, *lease, *how, millis(*delay))?;
                self.commit(durability, settle, |settled| {
                    let status = names::item_status(settled.status);
                    let available = settled.available_at.as_millis();
                    understood(status.map(|status| Answer::Settled { status, available }), "a status")
                })
                .await
            }
            Asked::Cancel { item } => {
                let cancel = CancelItem { item: names.item(*item)? };
                self.commit(durability, cancel, |_| Answer::Cancelled).await
            }
            Asked::Requeue { id, item, delay } => {
                let (requeue, item) = (names::transition(*id), names.item(*item)?);
                let requeue = Requeue { requeue, item, delay: Delay::new(millis(*delay))? };
                self.commit(durability, requeue, |requeued| Answer::Requeued {
                    available: requeued.available_at.as_millis(),
                })
                .await
            }
            Asked::Append { task, id, expected, lease } => {
                let append = self.append(*task, *id, *expected)?;
                self.append_under(durability, append, *lease).await?
            }
            Asked::Step { task, id, lease, how, delay } => {
                let append = self.append(*task, *id, None)?;
                let settle = settle(names, *lease, *how, millis(*delay))?;
                self.end_step(durability, append, settle).await
            }
            Asked::Begin { .. } | Asked::Finish { .. } | Asked::Invalidate { .. } | Asked::Ask { .. } => {
                self.operate(asked, durability, thinking).await?
            }
            Asked::ReadItem { .. }
            | Asked::ReadHead { .. }
            | Asked::ReadChain { .. }
            | Asked::ReadOperation { .. }
            | Asked::Look => Some(self.read(asked).await?),
        })
    }

    /// What has to do with operations and caches.
    async fn operate(
        &self,
        asked: &Asked,
        durability: Durability,
        thinking: Duration,
    ) -> Result<Option<Answer>, Mistake> {
        let names = self.names;
        Ok(match asked {
            Asked::Begin { operation, fingerprint, token, term, lease, is_retaken } => {
                let lease = match lease {
                    Some(lease) => Some(names.guard(*lease)?),
                    None => None,
                };
                let begin = BeginOperation {
                    key: names.operation(*operation)?,
                    fingerprint: names::fingerprint(*fingerprint),
                    token: names::token(*token),
                    task: None,
                    lease,
                    term: Term::new(Duration::from_millis(term.unsigned_abs()))?,
                    abandonment: if *is_retaken { Abandonment::Retake } else { Abandonment::Doubt },
                    fresh_for: None,
                };
                self.commit(durability, begin, |begun| Answer::Begun {
                    expires: begun.expires_at.as_millis(),
                    attempt: begun.attempt,
                })
                .await
            }
            Asked::Finish { operation, token, end } => {
                let end = match end {
                    End::Succeeded(output) => OperationEnd::Succeeded(names::value(*output)?),
                    End::Failed(output) => OperationEnd::Failed(names::value(*output)?),
                    End::InDoubt => OperationEnd::InDoubt,
                    End::DidNotHappen => OperationEnd::DidNotHappen,
                };
                let key = names.operation(*operation)?;
                let finish = FinishOperation { key, token: names::token(*token), end };
                self.commit(durability, finish, |finished| {
                    let status = names::operation_status(finished.status.as_str());
                    understood(status.map(|status| Answer::Finished { status }), "a status")
                })
                .await
            }
            Asked::Invalidate { operation } => {
                let invalidate = InvalidateOperation { key: names.operation(*operation)? };
                self.commit(durability, invalidate, |gone| Answer::Invalidated { was_there: gone.was_there })
                    .await
            }
            Asked::Ask { cache, value } => self.ask(*cache, *value, thinking).await,
            other => Some(strange(format!("{other:?} is of no operation"))),
        })
    }

    async fn read(&self, asked: &Asked) -> Result<Answer, Mistake> {
        let (store, names) = (&self.store, self.names);
        let told = match asked {
            Asked::ReadItem { item } => store.work_item(&names.item(*item)?).await.map(|item| {
                let row = item.and_then(|item| names.item_row(&item));
                understood(row.map(Answer::Item), "an item")
            }),
            Asked::ReadHead { task } => store
                .task(&names.task(*task)?)
                .await
                .map(|task| understood(task.map(|task| Answer::Head(task.head.0)), "a task")),
            Asked::ReadChain { task } => {
                let page = CheckpointPage::OldestFirst { after: SequenceNumber(0), limit: CHAIN_MAX };
                store.checkpoints(&names.task(*task)?, page).await.map(|checkpoints| {
                    let is_dense =
                        checkpoints.iter().zip(1..).all(|(one, place)| one.header.sequence.0 == place);
                    let links: Option<Vec<_>> = checkpoints.iter().map(|one| names.link(one)).collect();
                    if is_dense {
                        understood(links.map(Answer::Chain), "a checkpoint")
                    } else {
                        strange("a gap")
                    }
                })
            }
            Asked::ReadOperation { operation } => {
                store.operation(&names.operation(*operation)?).await.map(|record| match record {
                    None => Answer::Operation(None),
                    Some(record) => {
                        let row = names.operation_row(&record);
                        understood(row.map(|row| Answer::Operation(Some(row))), "an operation")
                    }
                })
            }
            other => Ok(strange(format!("{other:?} is no read"))),
        };
        Ok(told.unwrap_or_else(|error| trouble(&error).unwrap_or_else(|| strange(error))))
    }

    async fn commit<C: TypedCommand>(
        &self,
        durability: Durability,
        command: C,
        understand: impl FnOnce(C::Outcome) -> Answer,
    ) -> Option<Answer>
    where
        C::Outcome: Clone,
    {
        match commit_one(&*self.store, durability, command).await {
            Ok(outcome) => Some(understand(outcome)),
            Err(CommandError::Rejected(rejection)) => Some(Answer::Rejected(names::why(&rejection.reason))),
            Err(CommandError::Superseded(_)) => Some(Answer::Superseded),
            Err(CommandError::Store(error)) => trouble(&error),
            Err(error) => Some(strange(error)),
        }
    }

    fn append(&self, task: usize, id: u64, expected: Option<u64>) -> Result<AppendCheckpoint, Mistake> {
        // A salt of its own, and the same one when it is asked again.
        let salted = self.store.env().clone().with_rng(Arc::new(SeededRng::new(id)));
        Ok(AppendCheckpoint {
            checkpoint: names::checkpoint(id),
            task: self.names.task(task)?,
            kind: Label::new("step")?,
            work_item: None,
            expected_head: expected.map(SequenceNumber),
            copy_of: None,
            payload: SealedPayload::seal(id.to_le_bytes().to_vec(), &salted)?,
            evidence: Payload::empty(),
        })
    }

    async fn append_under(
        &self,
        durability: Durability,
        append: AppendCheckpoint,
        lease: Option<Lease>,
    ) -> Result<Option<Answer>, Mistake> {
        let mut batch = Batch::new(durability);
        let handle = match lease {
            Some(lease) => batch.add_guarded(self.names.guard(lease)?, append),
            None => batch.add(append),
        };
        Ok(match self.store.commit(batch).await {
            Ok(Committed::Applied(applied)) => {
                Some(applied.get(handle).map_or(Answer::Superseded, |appended| Answer::Appended {
                    sequence: appended.sequence.0,
                }))
            }
            Ok(Committed::Rejected(rejection)) => Some(Answer::Rejected(names::why(&rejection.reason))),
            Err(error) => trouble(&error),
        })
    }

    /// The last commit of a step: its checkpoint and the settlement of its item, both under the lease.
    async fn end_step(
        &self,
        durability: Durability,
        append: AppendCheckpoint,
        settle: SettleItem,
    ) -> Option<Answer> {
        let mut batch = Batch::new(durability);
        let appended = batch.add_guarded(settle.guard.clone(), append);
        let settled = batch.add_guarded(settle.guard.clone(), settle);
        match self.store.commit(batch).await {
            Ok(Committed::Applied(applied)) => Some(match (applied.get(appended), applied.get(settled)) {
                (Ok(appended), Ok(settled)) => {
                    let (sequence, available) = (appended.sequence.0, settled.available_at.as_millis());
                    let status = names::item_status(settled.status);
                    understood(
                        status.map(|status| Answer::Stepped { sequence, status, available }),
                        "a status",
                    )
                }
                _ => Answer::Superseded,
            }),
            Ok(Committed::Rejected(rejection)) => Some(Answer::Rejected(names::why(&rejection.reason))),
            Err(error) => trouble(&error),
        }
    }

    async fn ask(&self, cache: usize, value: u64, thinking: Duration) -> Option<Answer> {
        let request = LlmRequest::new(self.names.model(cache), json!({ "prompt": cache }));
        let think = async || {
            tokio::time::sleep(thinking).await;
            Ok::<_, std::convert::Infallible>(LlmAnswer::new(value.to_le_bytes().to_vec()))
        };
        match self.cache.get_or_ask(&request, think).await {
            Ok(cached) => {
                let (told, is_hit) = (names::value_of(&cached.answer.body), cached.is_hit);
                Some(understood(told.map(|value| Answer::Told { value, is_hit }), "an answer"))
            }
            // What it was told is nobody's answer: another attempt stands.
            Err(LlmCacheError::Cache(
                error @ (LedgerError::TakenOver { .. }
                | LedgerError::Ended { .. }
                | LedgerError::StillInFlight { .. }
                | LedgerError::Contended { .. }),
            )) => Some(Answer::Nothing(error.to_string())),
            Err(_) => None,
        }
    }
}

fn settle(names: Names, lease: Lease, how: Settlement, delay: Duration) -> Result<SettleItem, Mistake> {
    let settle = match how {
        Settlement::Succeeded => Settle::Succeeded,
        Settlement::Retried => Settle::Retry(Delay::new(delay)?),
        Settlement::Failed => Settle::Failed,
        Settlement::Released => Settle::Released,
    };
    Ok(SettleItem { guard: names.guard(lease)?, settle, detail: DETAIL.to_owned() })
}

/// Trouble with the storage. Nobody harmed it here: whatever says more than that it was busy is no answer that a model
/// allows.
fn trouble(error: &StoreError) -> Option<Answer> {
    match error {
        StoreError::Unknown { .. } => None,
        StoreError::Overloaded { .. } => Some(Answer::Nothing(error.to_string())),
        _ => Some(strange(error)),
    }
}
