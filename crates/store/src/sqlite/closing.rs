//! The order in which a store closes its connections: the writer's last. Whoever closes the last connection to a file
//! folds the write-ahead log into it and removes the log; of two that close at the same moment each takes the other
//! for open, and the log stays. The writer also keeps the files registered as this process's own.

use std::sync::Arc;

use crate::sync::oneshot;

/// Held beside every connection but the writer's, and dropped after it.
#[derive(Debug, Clone)]
pub(super) struct StillOpen {
    _end: Arc<oneshot::Sender<()>>,
}

/// Tells when all of them are closed.
#[derive(Debug)]
pub(super) struct AllClosed(oneshot::Receiver<()>);

pub(super) fn order() -> (StillOpen, AllClosed) {
    let (end, ended) = oneshot::channel();
    (StillOpen { _end: Arc::new(end) }, AllClosed(ended))
}

impl AllClosed {
    /// Blocks the thread.
    pub(super) fn wait(self) {
        // An error is what the end looks like: nothing is ever sent.
        drop(self.0.blocking_recv());
    }
}
