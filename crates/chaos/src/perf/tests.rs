//! The yardstick is what it says it is.

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::time::Duration;

use rusqlite::Connection;
use steadfast_store::SqliteOptions;

use super::file::{self, FileOptions};
use super::table::{self, Table};
use super::variant::{LAYOUTS, LayoutFile};
use super::{Floor, FloorOptions, LayoutOptions, PerfError, Samples, TASKS, layouts, paired, sql};

fn floor_in(folder: &tempfile::TempDir, change: impl FnOnce(&mut FloorOptions)) -> Floor {
    let mut options = FloorOptions::new(folder.path().join("floor.db"), 5);
    options.wal_pages = 100;
    change(&mut options);
    Floor::create(&options).unwrap()
}

fn count(connection: &Connection, statement: &str) -> usize {
    connection.query_row(statement, [], |row| row.get::<_, i64>(0)).unwrap().try_into().unwrap()
}

#[test]
#[allow(clippy::float_cmp, reason = "the nearest rank is a sample, untouched")]
fn quantiles_are_samples_and_no_samples_give_nan() {
    let samples: Samples = (1..=200).rev().map(f64::from).collect();
    let summary = samples.summary();
    assert_eq!((summary.min, summary.p50, summary.max), (1.0, 100.5, 200.0));
    assert_eq!((summary.p25, summary.p75, summary.interquartile_range()), (50.0, 150.0, 100.0));
    assert_eq!((summary.p95, summary.p99, samples.quantile(0.0)), (190.0, 198.0, 1.0));
    assert_eq!(Samples::of_durations_ms(&[Duration::from_micros(1_500)]).median(), 1.5);
    assert!(Samples::default().median().is_nan() && Samples::default().summary().p99.is_nan());
    assert_eq!(format!("{summary:.0}"), "100 (50 to 150; 1 to 200)");
}

#[test]
fn pairs_take_turns_and_each_side_starts_equally_often() {
    let order = std::cell::RefCell::new(String::new());
    let run = |name: char, figure: f64| {
        order.borrow_mut().push(name);
        Ok::<_, Infallible>(figure)
    };
    let Ok(outcome) = paired(NonZeroUsize::new(4).unwrap(), || run('s', 1.0), || run('b', 2.0));
    assert_eq!(*order.borrow(), "sbbssbbs");
    assert_eq!(outcome.ratio.values(), [0.5; 4]);
    assert_eq!((outcome.subject.len(), outcome.base.len()), (4, 4));
}

#[test]
fn an_error_of_either_side_ends_the_pairs() {
    let pairs = NonZeroUsize::new(4).unwrap();
    assert_eq!(paired(pairs, || Ok(1.0), || Err("broken")), Err("broken"));
}

#[test]
fn the_floor_inserts_what_it_says_and_folds_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let mut floor = floor_in(&folder, |options| options.preload_rows = 2_500);
    assert_eq!(count(floor.connection(), sql::tests::COUNT_ROWS), 2_501, "one more makes the file durable");
    let run = floor.group_loop(8, 100).unwrap();
    assert_eq!((run.rows, run.transactions_ms.len()), (104, 13));
    assert!(run.rows_per_second() > 0.0);
    assert!(floor.create_one().unwrap() > Duration::ZERO);
    assert_eq!(count(floor.connection(), sql::tests::COUNT_ROWS), 2_501 + 104 + 1);
    floor.warm().unwrap();
    assert!(file::logged_pages(floor.connection()).unwrap() < 1_000, "a log of 100 pages starts over");
}

#[test]
fn a_value_comes_back_only_when_its_digest_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let floor = floor_in(&folder, |options| options.values = 3);
    let values: Vec<_> = (0..3).map(|key| floor.point_select(key).unwrap().value).collect();
    assert!(values[0] != values[1] && values.iter().all(|value| value.len() == 2_048));
    assert!(matches!(floor.point_select(3), Err(PerfError::Sqlite(rusqlite::Error::QueryReturnedNoRows))));
    floor.connection().execute(sql::tests::DAMAGE, []).unwrap();
    assert!(matches!(floor.point_select(0), Err(PerfError::Damaged(0))));
}

#[test]
fn no_file_is_measured_twice() {
    let folder = tempfile::tempdir().unwrap();
    drop(floor_in(&folder, |_| ()));
    let again = Floor::create(&FloorOptions::new(folder.path().join("floor.db"), 5));
    assert!(matches!(again, Err(PerfError::Io(_))));
}

#[test]
fn every_layout_takes_rows_and_moves_its_heads() {
    for layout in LAYOUTS {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("layout.db");
        let options = FileOptions { path, page_size: layout.page_size, vfs: None, wal_pages: 100 };
        let mut file = LayoutFile::create(*layout, &options, 1).unwrap();
        table::fill(&mut file, 1_000).unwrap();
        table::group_loop(&mut file, 8, 64).unwrap();
        assert_eq!(count(file.connection(), sql::tests::COUNT_CHECKPOINTS), 1_065, "{}", layout.name);
        if layout.name != "text_key" {
            assert_eq!(count(file.connection(), sql::tests::HEADS_THAT_LAG), 0, "{}", layout.name);
        }
    }
}

#[test]
fn a_short_trial_gives_a_figure_for_every_case() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = LayoutOptions::new(folder.path(), 1);
    options.rounds = 1;
    options.pairs_per_round = NonZeroUsize::MIN;
    options.preloads = vec![0];
    options.groups = vec![1, TASKS];
    options.rows_per_run = 20;
    options.wal_pages = 100;
    let mut seen = 0;
    let report = layouts(&options, |_| seen += 1).unwrap();
    assert_eq!((report.figures.len(), seen), (LAYOUTS.len() * 2, LAYOUTS.len() * 2));
    assert!(report.figures.iter().all(|figure| figure.ratio.p50 > 0.0 && figure.stall_ms.max > 0.0));
    assert_eq!(report.to_string().matches("\n- `").count(), LAYOUTS.len());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "files stay behind");
}

#[test]
fn the_layout_named_store_is_the_stores_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let core =
        steadfast_store::SqliteCore::open(&SqliteOptions::new(&path), steadfast_store::env::Env::system());
    drop(core.unwrap());
    let store = Connection::open(&path).unwrap();
    let path = folder.path().join("layout.db");
    let options = FileOptions { path, page_size: LAYOUTS[0].page_size, vfs: None, wal_pages: 100 };
    let ours = LayoutFile::create(LAYOUTS[0], &options, 1).unwrap();
    for table in ["tasks", "checkpoints"] {
        let ask = |connection: &Connection| {
            let columns: String =
                connection.query_row(sql::tests::COLUMNS, [table], |row| row.get(0)).unwrap();
            let indexes: String =
                connection.query_row(sql::tests::INDEXES, [table], |row| row.get(0)).unwrap();
            (columns, indexes)
        };
        assert_eq!(ask(&store), ask(ours.connection()), "table {table}");
    }
}
