//! The look at a pack: files off the threads that poll futures, operations in the store, and what the program
//! has registered, whose panics and delays end here.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use steadfast_store::{Digest, Store, within};

use crate::evidence::beside::Beside;
use crate::evidence::{
    Custom, DatabaseRow, EvidencePack, EvidenceReport, Failure, Finding, Obstacle, Piece, PieceReport,
    Verifiers,
};
use crate::sync::off_thread;

/// All that a look needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Looker<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) base: &'a Path,
    pub(crate) verifiers: &'a Verifiers,
}

impl Looker<'_> {
    /// Looks at every piece now, one after the other: their order is the report's. Of an operation it goes by what is
    /// to be committed `beside` the evidence, if that is about it.
    pub(crate) async fn look(&self, pack: EvidencePack, beside: &Beside) -> EvidenceReport {
        let mut files = self.files(&pack).await.into_iter();
        let EvidencePack { rule, pieces } = pack;
        let mut reports = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let finding = match &piece {
                Piece::FileHash(_) | Piece::ArtifactExists(_) => {
                    files.next().unwrap_or(Finding::Pending(Obstacle::BrokenOff))
                }
                Piece::CommandExit(exit) => exit.look(self.store, beside).await,
                Piece::DatabaseRow(row) => match self.fetch(row).await {
                    Ok(found) => row.judge(found),
                    Err(finding) => finding,
                },
                Piece::Custom(custom) => self.custom(custom).await,
            };
            reports.push(PieceReport { piece, finding });
        }
        EvidenceReport::new(rule, reports)
    }

    /// What is found of the pieces about files, in their order, all in one trip to another thread; nothing
    /// when that broke off.
    async fn files(&self, pack: &EvidencePack) -> Vec<Finding> {
        let files: Vec<_> = pack.pieces.iter().filter(|piece| piece.is_about_a_file()).cloned().collect();
        if files.is_empty() {
            return Vec::new();
        }
        let base = self.base.to_owned();
        let look = move || files.iter().filter_map(|piece| piece.look_at_file(&base)).collect();
        off_thread(self.store.env(), look).await.unwrap_or_default()
    }

    /// The digest of the row that the registered query finds.
    pub(crate) async fn fetch(&self, row: &DatabaseRow) -> Result<Option<Digest>, Finding> {
        let Some(query) = self.verifiers.query_named(row.query()) else {
            return Err(Finding::Failed(Failure::UnknownQuery));
        };
        let parameters = row.parameters().to_vec();
        // The digest and the words of an error are made over there too: a row may be large, and a panic is
        // caught.
        let fetch = move || match query.fetch(&parameters) {
            Ok(found) => Ok(found.map(|bytes| Digest::of(&bytes))),
            Err(error) => Err(Finding::Pending(Obstacle::Query { why: error.to_string() })),
        };
        let fetched = self.patiently(off_thread(self.store.env(), fetch)).await?;
        fetched.unwrap_or(Err(Finding::Pending(Obstacle::BrokenOff)))
    }

    async fn custom(&self, custom: &Custom) -> Finding {
        let Some(verifier) = self.verifiers.verifier_named(custom.verifier()) else {
            return Finding::Failed(Failure::UnknownVerifier);
        };
        // Called inside the future, so that a panic before it returns one is caught as well.
        let look = Caught::new(async { verifier.verify(custom.subject()).await });
        match self.patiently(look).await {
            Ok(finding) => finding.unwrap_or(Finding::Pending(Obstacle::BrokenOff)),
            Err(finding) => finding,
        }
    }

    /// What `future` answers, or that it took too long.
    async fn patiently<F: Future>(&self, future: F) -> Result<F::Output, Finding> {
        let patience = self.verifiers.patience();
        let answer = within(self.store.env(), patience, future).await;
        answer.ok_or(Finding::Pending(Obstacle::TooSlow { patience }))
    }
}

/// A future of somebody else's: answers `None` when it panics, and is dropped without a panic.
struct Caught<'a, T>(Option<Pin<Box<dyn Future<Output = T> + Send + 'a>>>);

impl<'a, T> Caught<'a, T> {
    fn new(future: impl Future<Output = T> + Send + 'a) -> Self {
        Self(Some(Box::pin(future)))
    }
}

impl<T> Future for Caught<'_, T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let Some(future) = &mut self.0 else { return Poll::Ready(None) };
        // After a panic it is not polled again, so nobody meets what it left half done.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(answer) => answer.map(Some),
            Err(_) => Poll::Ready(None),
        }
    }
}

impl<T> Drop for Caught<'_, T> {
    fn drop(&mut self) {
        // What the future holds is somebody else's too, and a panic in a drop could end the process.
        let future = self.0.take();
        drop(catch_unwind(AssertUnwindSafe(|| drop(future))));
    }
}
