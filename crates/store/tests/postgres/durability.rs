//! What is flushed when a commit is acknowledged, on a server of its own that flushes nothing by itself: its background
//! writer sleeps, and its default is not to wait.

use steadfast_store::env::Env;
use steadfast_store::{Batch, PostgresOptions, PostgresStore, Store};
use tokio_postgres::Client;

use crate::kit::{connect, create};
use crate::server::Server;

/// Attempts at seeing a commit that is not flushed: the server may have had a reason of its own.
const ATTEMPTS_MAX: u32 = 20;

/// Where the log of the server ends.
async fn end_of_log(admin: &Client) -> String {
    admin.query_one("SELECT pg_current_wal_insert_lsn()::text", &[]).await.unwrap().get(0)
}

async fn is_flushed(admin: &Client, to: &str) -> bool {
    let sql = format!("SELECT pg_current_wal_flush_lsn() >= '{to}'::pg_lsn");
    admin.query_one(&sql, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_durable_answer_is_flushed_and_so_is_what_it_rests_on() {
    if crate::server::url().is_none() || std::env::var_os(crate::server::URL_VARIABLE).is_some() {
        return;
    }
    let settings = ["wal_writer_delay=10s", "synchronous_commit=off", "autovacuum=off"];
    let server = tokio::task::spawn_blocking(move || Server::start(&settings)).await.unwrap().unwrap();
    let admin = connect(server.url()).await.unwrap();
    let options = PostgresOptions::from_url(server.url()).unwrap();
    let store = PostgresStore::open(options, Env::system()).await.unwrap();

    let mut seen = 0;
    for attempt in 0..ATTEMPTS_MAX {
        let mut relaxed = Batch::relaxed();
        relaxed.add(create(&format!("t{attempt}")));
        store.commit(relaxed).await.unwrap().into_applied().unwrap();
        let end = end_of_log(&admin).await;
        if is_flushed(&admin, &end).await {
            continue;
        }
        seen += 1;
        // Nothing is to be changed any more, and all the same it must be there after a power loss.
        let mut durable = Batch::durable();
        durable.add(create(&format!("t{attempt}")));
        let applied = store.commit(durable).await.unwrap().into_applied().unwrap();
        assert!(applied.is_replayed());
        assert!(is_flushed(&admin, &end).await, "what a durable answer rests on was not flushed");
    }
    assert!(seen > 0, "every relaxed commit was flushed at once: nothing was shown");

    for attempt in 0..ATTEMPTS_MAX {
        let mut durable = Batch::durable();
        durable.add(create(&format!("d{attempt}")));
        let before = end_of_log(&admin).await;
        store.commit(durable).await.unwrap().into_applied().unwrap();
        assert!(is_flushed(&admin, &before).await, "a durable commit was not flushed");
    }
    drop((store, admin));
    tokio::task::spawn_blocking(move || drop(server)).await.unwrap();
}
