//! What the targets share: a runtime of the thread's own, and folders on a file system in memory where there is one.

use std::cell::OnceCell;
use std::future::Future;
use std::path::Path;

use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

thread_local! {
    static RUNTIME: OnceCell<Runtime> = const { OnceCell::new() };
}

/// Runs a future to its end on this thread.
#[allow(clippy::expect_used, reason = "without a runtime there is nothing to try")]
pub(super) fn run<F: Future>(future: F) -> F::Output {
    RUNTIME.with(|runtime| {
        let start = || Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.get_or_init(start).block_on(future)
    })
}

/// A folder of its own: in memory, since nothing here is about what a device keeps.
#[allow(clippy::expect_used, reason = "without a folder there is nothing to try")]
pub(super) fn folder() -> TempDir {
    let builder = || {
        let mut builder = tempfile::Builder::new();
        builder.prefix("steadfast-fuzz-");
        builder
    };
    let in_memory = Path::new("/dev/shm");
    builder().tempdir_in(in_memory).or_else(|_| builder().tempdir()).expect("a folder for files")
}
