//! The VFS itself: that SQLite works on it as on a disk, and that what it notes is what was done.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::{Connection, OpenFlags, ffi};

use super::*;

fn registered() -> MemoryVfs {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    MemoryVfs::register(&format!("memory-test-{}", NEXT.fetch_add(1, Ordering::Relaxed))).unwrap()
}

fn open(vfs: &MemoryVfs) -> Connection {
    Connection::open_with_flags_and_vfs("a.db", OpenFlags::default(), vfs.name()).unwrap()
}

fn furnished(vfs: &MemoryVfs) -> Connection {
    let database = open(vfs);
    let settings = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (x BLOB);";
    database.execute_batch(settings).unwrap();
    database
}

fn insert(database: &Connection) -> rusqlite::Result<usize> {
    database.execute("INSERT INTO t VALUES (randomblob(100))", [])
}

fn count(database: &Connection) -> i64 {
    database.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
}

fn code<T: std::fmt::Debug>(answer: rusqlite::Result<T>) -> i32 {
    match answer {
        Err(rusqlite::Error::SqliteFailure(error, _)) => error.extended_code,
        other => panic!("expected a failure of SQLite, got {other:?}"),
    }
}

#[test]
fn a_name_is_registered_once_and_must_be_usable() {
    let vfs = registered();
    assert!(matches!(MemoryVfs::register(vfs.name()), Err(RegisterError::NameTaken(_))));
    assert!(matches!(MemoryVfs::register(""), Err(RegisterError::BadName(None))));
    assert!(matches!(MemoryVfs::register("a\0b"), Err(RegisterError::BadName(Some(_)))));
}

#[test]
fn connections_share_one_database_and_its_locks() {
    let vfs = registered();
    let (one, other) = (furnished(&vfs), open(&vfs));
    other.busy_timeout(std::time::Duration::ZERO).unwrap();
    insert(&one).unwrap();
    insert(&other).unwrap();
    assert_eq!((count(&one), count(&other)), (2, 2));
    one.execute_batch("BEGIN IMMEDIATE").unwrap();
    insert(&one).unwrap();
    assert_eq!(code(other.execute_batch("BEGIN IMMEDIATE")), ffi::SQLITE_BUSY);
    assert_eq!(count(&other), 2, "a reader sees what was committed");
    one.execute_batch("COMMIT").unwrap();
    drop(one);
    assert!(vfs.device().length(Name::Log) > 0, "the log stays for as long as anybody is left");
    insert(&other).unwrap();
    drop(other);
    assert_eq!(vfs.device().length(Name::Log), 0);
    assert_eq!(count(&open(&vfs)), 4);
}

#[test]
fn every_journal_mode_works_and_the_database_is_whole() {
    let vfs = registered();
    let database = furnished(&vfs);
    for mode in ["DELETE", "TRUNCATE", "PERSIST", "MEMORY", "WAL"] {
        let answer: String =
            database.query_row(&format!("PRAGMA journal_mode = {mode}"), [], |row| row.get(0)).unwrap();
        assert_eq!(answer, mode.to_lowercase());
        insert(&database).unwrap();
        database.execute_batch("BEGIN; INSERT INTO t VALUES (zeroblob(90000)); ROLLBACK").unwrap();
    }
    database
        .execute_batch("PRAGMA temp_store = FILE; VACUUM; CREATE TEMP TABLE s AS SELECT * FROM t")
        .unwrap();
    let whole: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!((whole.as_str(), count(&database)), ("ok", 5));
}

#[test]
fn a_recording_played_to_the_files_it_began_with_gives_those_it_ended_with() {
    let vfs = registered();
    vfs.device().record();
    let database = furnished(&vfs);
    for _ in 0..20 {
        insert(&database).unwrap();
    }
    database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    insert(&database).unwrap();
    let end = vfs.device().files();
    let (ops, failed) = vfs.device().take_recording();
    assert!(failed.is_empty());
    let mut played = Files::default();
    for op in &ops {
        match op {
            Op::Create(name) => played.set(*name, Some(Vec::new())),
            Op::Write { name, offset, bytes } => write_at(played.content(*name), *offset, bytes),
            Op::Truncate { name, length } => played.content(*name).resize(*length, 0),
            Op::Delete { name, .. } => played.set(*name, None),
            Op::Sync { .. } => {}
        }
    }
    assert_eq!(played, end);
    let folders: Vec<bool> = ops
        .iter()
        .filter_map(|op| match op {
            Op::Sync { name: Name::Log, folder, .. } => Some(*folder),
            _ => None,
        })
        .collect();
    assert!(folders[0] && folders[1..].iter().all(|folder| !folder), "the first sync takes the folder along");
    assert!(ops.contains(&Op::Delete { name: Name::Journal, folder: false }));
}

#[test]
fn a_sync_fails_as_often_as_it_is_asked_to_and_is_left_out_by_a_rule() {
    let vfs = registered();
    let database = furnished(&vfs);
    vfs.device().record();
    vfs.device().fail_syncs(Name::Log, 1);
    assert_eq!(code(insert(&database)), ffi::SQLITE_IOERR_FSYNC);
    insert(&database).unwrap();
    vfs.device().set_rule(SyncRule::NoLog);
    insert(&database).unwrap();
    let (ops, failed) = vfs.device().take_recording();
    let took = |op: &Op| match op {
        Op::Sync { took, .. } => Some(*took),
        _ => None,
    };
    assert_eq!(ops.iter().filter_map(took).collect::<Vec<_>>(), [Took::Failed, Took::Done, Took::LeftOut]);
    assert_eq!((failed.len(), took(&ops[failed[0].at - 1])), (1, Some(Took::Failed)));
}

#[test]
fn powersafe_overwrite_declared_off_pads_the_log_to_the_sector() {
    let length = |uri: &str| {
        let vfs = registered();
        vfs.device().set_sector_bytes(4096);
        let flags = OpenFlags::default() | OpenFlags::SQLITE_OPEN_URI;
        let database = Connection::open_with_flags_and_vfs(uri, flags, vfs.name()).unwrap();
        database.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x)").unwrap();
        vfs.device().length(Name::Log)
    };
    assert!(length("file:a.db?psow=0") > length("file:a.db?psow=1"));
}

#[test]
#[should_panic(expected = "while a connection to it is open")]
fn a_device_in_use_is_not_loaded() {
    let vfs = registered();
    let _database = furnished(&vfs);
    vfs.device().load(Files::default());
}
