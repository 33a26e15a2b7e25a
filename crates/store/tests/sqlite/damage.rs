//! A damaged file: whatever meets the damage says so by a typed error, nothing panics, and no bytes are handed out that
//! do not match their digest. SQLite sees broken pages; broken values and payloads only the store sees.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use steadfast_store::env::Env;
use steadfast_store::{CheckpointPage, NoPayload, OpenError, SequenceNumber, SqliteStore, Store, StoreError};

use crate::furnished::{Furnished, furnish, try_everything};
use crate::kit::{Kept, Place, assert_is, says, task};

const PAGE: usize = 4_096;

/// Opens a damaged file and tries everything; answers with how often damage was told.
async fn tell(place: &Place, furnished: &Furnished, about: &str) -> usize {
    let store = match SqliteStore::open(place.options(), Env::system()).await {
        Ok(store) => store,
        Err(error) => {
            assert_is!(error, OpenError::Corrupt { .. } | OpenError::NotADatabase { .. });
            return 1;
        }
    };
    let mut told = 0;
    for (what, answer) in try_everything(&store, furnished).await {
        match answer {
            Ok(()) => {}
            Err(error @ StoreError::Corrupt { .. }) => {
                says(&error, "restore from a backup");
                told += 1;
            }
            Err(other) => panic!("{about}: {what} met damage and answered {other:?}"),
        }
    }
    store.close().await;
    told
}

fn overwrite(path: &Path, at: usize, bytes: &[u8]) {
    let mut content = fs::read(path).unwrap();
    content[at..at + bytes.len()].copy_from_slice(bytes);
    fs::write(path, content).unwrap();
}

/// Every table and index, and the page where it begins.
fn roots(connection: &Connection) -> Vec<(String, usize)> {
    let mut statement =
        connection.prepare("SELECT name, rootpage FROM sqlite_schema WHERE rootpage > 0").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

#[tokio::test]
async fn a_broken_page_is_told_by_whatever_meets_it() {
    let place = Place::new();
    let furnished = furnish(&place).await;
    let mut pages = roots(&place.raw());
    pages.push(("the schema".into(), 1));
    assert!(pages.len() > 15, "{pages:?}");
    let whole = fs::read(place.database()).unwrap();
    for (name, page) in pages {
        // The header of the page's tree; on page 1 that of the file comes before it.
        let at = (page - 1) * PAGE + if page == 1 { 100 } else { 0 };
        fs::write(place.database(), &whole).unwrap();
        overwrite(&place.database(), at, &[0xa5; 64]);
        let told = tell(&place, &furnished, &format!("the page of {name}")).await;
        assert!(told > 0, "nothing told of the broken page of {name}");
    }
}

#[tokio::test]
async fn a_broken_page_takes_nothing_else_with_it() {
    let place = Place::new();
    let furnished = furnish(&place).await;
    let store = place.open().await;
    let mut kept = Kept::begin(&store).await;
    store.close().await;
    let query = "SELECT rootpage FROM sqlite_schema WHERE name = 'idempotency_keys'";
    let page: usize = place.raw().query_row(query, [], |row| row.get(0)).unwrap();
    overwrite(&place.database(), (page - 1) * PAGE, &[0xa5; 64]);
    let store = place.open().await;
    let error = store.operation(&furnished.operation).await.unwrap_err();
    assert_is!(error, StoreError::Corrupt { .. });
    says(&error, "the database file is damaged: stop writing, keep a copy, restore from a backup");
    kept.goes_on(&store).await;
    store.close().await;
}

#[tokio::test]
async fn a_file_that_was_cut_is_told_as_damage_and_not_as_a_failing_device() {
    let place = Place::new();
    let furnished = furnish(&place).await;
    let whole = fs::read(place.database()).unwrap();
    // Inside of a page, where SQLite meets the end while it reads: the last page, and each one before it.
    for page in (2..whole.len() / PAGE).rev() {
        fs::write(place.database(), &whole[..page * PAGE + 100]).unwrap();
        let told = tell(&place, &furnished, &format!("the file cut in page {page}")).await;
        assert!(told > 0 || page + 1 == whole.len() / PAGE, "nothing told of the file cut in page {page}");
        for left in ["-wal", "-shm"] {
            drop(fs::remove_file(place.beside(left)));
        }
    }
}

/// Single bits all over the file, each from its seed; `STEADFAST_FLIPS` says how many.
#[tokio::test]
async fn no_flipped_bit_panics_or_changes_what_is_handed_out() {
    const SEED: u64 = 0x5eed_0001;
    let rounds: u64 = std::env::var("STEADFAST_FLIPS").map_or(150, |rounds| rounds.parse().unwrap());
    let place = Place::new();
    let furnished = furnish(&place).await;
    let whole = fs::read(place.database()).unwrap();
    let mut told = 0;
    for round in 0..rounds {
        let seed = SEED + round;
        let digest = steadfast_store::Digest::of(&seed.to_le_bytes());
        let draw = u64::from_le_bytes(digest.as_bytes()[..8].try_into().unwrap());
        let bit = usize::try_from(draw % (whole.len() as u64 * 8)).unwrap();
        // Shown when the test fails.
        println!("seed {seed:#x}: bit {bit}");
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(place.database(), flipped).unwrap();
        told += usize::from(tell_of_flip(&place, &furnished, seed, bit).await);
        for left in ["-wal", "-shm"] {
            drop(fs::remove_file(place.beside(left)));
        }
    }
    println!("{told} of {rounds} flipped bits were met and told of");
}

async fn tell_of_flip(place: &Place, furnished: &Furnished, seed: u64, bit: usize) -> bool {
    match SqliteStore::open(place.options(), Env::system()).await {
        Ok(store) => {
            let tried = try_everything(&store, furnished).await;
            let told = tried.iter().any(|(_, answer)| answer.is_err());
            for (what, answer) in tried {
                let unknown = answer.as_ref().is_err_and(StoreError::may_have_been_applied);
                assert!(!unknown, "seed {seed:#x}, bit {bit}: {what} answered {answer:?}");
            }
            store.close().await;
            told
        }
        Err(_) => true,
    }
}

/// Changes the closed file by SQL, as no program of ours would.
fn tamper(place: &Place, sql: &str) {
    let raw: Connection = place.raw();
    raw.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    assert_eq!(raw.execute(sql, []).unwrap(), 1, "{sql}");
}

/// Replaces the byte of a column in the one row that the condition finds.
fn damage(place: &Place, table: &str, column: &str, condition: &str) {
    let changed = format!("CAST(x'21' || substr({column}, 2) AS BLOB)");
    tamper(place, &format!("UPDATE {table} SET {column} = {changed} WHERE {condition}"));
}

#[tokio::test]
async fn a_damaged_payload_of_a_checkpoint_is_told_in_it() {
    let place = Place::new();
    let furnished = furnish(&place).await;
    damage(&place, "checkpoints", "payload", "sequence_number = 1");
    let store = place.open().await;
    let found = store.checkpoint(furnished.checkpoint).await.unwrap().unwrap();
    let error = found.payload.unwrap_err();
    assert!(matches!(&error, NoPayload::Damaged(damage) if damage.stored == found.header.payload));
    says(&error, "restore them from a backup or go on from an earlier checkpoint");
    found.evidence.unwrap();
    let page = CheckpointPage::NewestFirst { before: None, limit: 10 };
    let found = store.checkpoints(&task("t"), page).await.unwrap();
    let whole: Vec<_> = found.iter().map(|found| (found.header.sequence, found.payload.is_ok())).collect();
    assert_eq!(whole, [(SequenceNumber(3), true), (SequenceNumber(2), true), (SequenceNumber(1), false)]);
    // The chain goes on: its links cover digests, not bytes.
    Kept::begin(&store).await.goes_on(&store).await;
    store.close().await;
}

#[tokio::test]
async fn a_damaged_salt_or_evidence_of_a_checkpoint_is_told_in_it() {
    let place = Place::new();
    let furnished = furnish(&place).await;
    damage(&place, "checkpoints", "evidence", "sequence_number = 1");
    damage(&place, "checkpoints", "salt", "sequence_number = 3");
    let store = place.open().await;
    let found = store.checkpoint(furnished.checkpoint).await.unwrap().unwrap();
    assert!(found.payload.is_ok());
    assert_eq!(found.evidence.unwrap_err().stored, found.header.evidence);
    let page = CheckpointPage::NewestFirst { before: None, limit: 1 };
    let found = store.checkpoints(&task("t"), page).await.unwrap();
    assert!(found[0].payload.is_err() && found[0].evidence.is_ok());
    Kept::begin(&store).await.goes_on(&store).await;
}

#[tokio::test]
async fn a_damaged_output_of_an_operation_is_not_handed_out() {
    let place = Place::new();
    let furnished = furnish(&place).await;
    damage(&place, "idempotency_keys", "output", "true");
    let store = place.open().await;
    let error = store.operation(&furnished.operation).await.unwrap_err();
    assert_is!(error, StoreError::Corrupt { what, source: Some(_) } if what == "the output of operation tool-ledger:1");
    says(&error, "restore from a backup");
    Kept::begin(&store).await.goes_on(&store).await;
}

#[tokio::test]
async fn a_damaged_input_or_result_of_a_task_is_not_handed_out() {
    let place = Place::new();
    furnish(&place).await;
    let of = |name: &str| format!("task_id = (SELECT task_id FROM tasks WHERE task_key = '{name}')");
    damage(&place, "task_payloads", "input", &of("t"));
    damage(&place, "task_payloads", "result", &of("done"));
    let store = place.open().await;
    for (name, what) in [("t", "the input of task t"), ("done", "the result of task done")] {
        let error = store.task_record(&task(name)).await.unwrap_err();
        assert_is!(error, StoreError::Corrupt { what: told, source: Some(_) } if told == what);
        says(&error, "restore from a backup");
        assert!(store.task(&task(name)).await.unwrap().is_some(), "the task itself is whole");
    }
    Kept::begin(&store).await.goes_on(&store).await;
}

#[tokio::test]
async fn a_value_that_nobody_wrote_is_told_as_damage() {
    for (sql, column) in [
        ("UPDATE tasks SET status = 'paused' WHERE task_key = 't'", "status"),
        ("UPDATE tasks SET input_digest = x'00' WHERE task_key = 't'", "input_digest"),
        ("UPDATE tasks SET pruned_through = -1 WHERE task_key = 't'", "pruned_through"),
        ("UPDATE tasks SET created_at = 'yesterday' WHERE task_key = 't'", "created_at"),
        ("UPDATE work_items SET status = 'in progress' WHERE work_item_id = 'held'", "status"),
        ("UPDATE work_items SET lease_holder = '' WHERE work_item_id = 'held'", "lease_holder"),
        ("UPDATE work_items SET lease_expires_at = NULL WHERE work_item_id = 'held'", "lease_expires_at"),
        (
            "UPDATE work_items SET available_at = '2026-02-31 00:00:00.000' WHERE work_item_id = 'held'",
            "available_at",
        ),
        ("UPDATE work_items SET status = CAST(x'ff' AS TEXT) WHERE work_item_id = 'held'", "status"),
        ("UPDATE work_items SET detail = CAST(x'ff' AS TEXT) WHERE work_item_id = 'dead'", "detail"),
        ("UPDATE checkpoint_verifications SET detail = CAST(x'ff' AS TEXT)", "detail"),
        ("UPDATE work_items SET priority = 1 << 40 WHERE work_item_id = 'queued'", "priority"),
        ("UPDATE checkpoints SET link = x'00' WHERE sequence_number = 1", "link"),
        ("UPDATE checkpoint_verifications SET verdict = 'maybe'", "verdict"),
        ("UPDATE idempotency_keys SET status = 'done'", "status"),
        ("UPDATE idempotency_keys SET abandonment = ''", "abandonment"),
        ("UPDATE idempotency_keys SET token = x'0102'", "token"),
    ] {
        let place = Place::new();
        let furnished = furnish(&place).await;
        tamper(&place, sql);
        let store = place.open().await;
        let (mut named, mut told) = (0, Vec::new());
        for (what, answer) in try_everything(&store, &furnished).await {
            match answer {
                Ok(()) => {}
                Err(error @ StoreError::Corrupt { .. }) => {
                    says(&error, "restore from a backup");
                    named += usize::from(error.to_string().contains(&format!("column {column} ")));
                    told.push((what, error.to_string()));
                }
                Err(other) => panic!("{sql}: {what} answered {other:?}"),
            }
        }
        assert!(named > 0, "{sql}: nothing named the column: {told:?}");
        Kept::begin(&store).await.goes_on(&store).await;
        store.close().await;
    }
}

#[tokio::test]
async fn tables_that_are_not_those_of_their_version_are_told_as_damage() {
    let changes = [
        "ALTER TABLE checkpoints RENAME COLUMN payload_digest TO payload_digesu",
        "ALTER TABLE checkpoints RENAME TO checkpoints_of_old",
        "ALTER TABLE work_items RENAME COLUMN fence TO fench",
        "DROP TABLE checkpoint_verifications",
    ];
    for change in changes {
        let place = Place::new();
        let furnished = furnish(&place).await;
        place.raw().execute_batch(change).unwrap();
        assert!(tell(&place, &furnished, change).await > 0, "{change}");
    }
}
