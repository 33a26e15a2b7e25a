//! The URL of a store: every option in its bounds, and opening it makes the file of that name and no other.

use std::collections::BTreeSet;
use std::fs;

use steadfast_store::env::Env;
use steadfast_store::{OpenError, SqliteOptions, open};

use super::input::Input;
use super::{Met, scratch};

/// Longest name of a file that is tried, so that its log's name fits as well.
const NAME_BYTES_MAX: usize = 200;

/// A line that is read as a URL; then, if there is more, the name of a file and, on the last line, the query of a URL
/// that is opened.
pub fn url(data: &[u8]) -> Met {
    let mut input = Input::new(data);
    let text = String::from_utf8_lossy(input.line()).into_owned();
    let is_read = read(&text);
    if !input.is_empty() {
        let (name, query) = (input.line(), input.rest());
        opened(&String::from_utf8_lossy(name), &String::from_utf8_lossy(query));
    }
    Met::taken(is_read)
}

/// Reads the text as a URL, and whether it is one: path and options are those that it names, in their bounds.
fn read(text: &str) -> bool {
    let options = match SqliteOptions::from_url(text) {
        Ok(options) => options,
        Err(OpenError::UnknownScheme { .. }) => {
            let (path, _) = parts(text);
            assert!(path.is_none_or(str::is_empty), "{text:?} is a URL of this scheme");
            return false;
        }
        Err(OpenError::UnknownOption { .. } | OpenError::InvalidOption { .. }) => {
            assert!(parts(text).0.is_some(), "{text:?} is no URL of this scheme");
            return false;
        }
        Err(other) => panic!("{text:?} was refused by {other:?}"),
    };
    let (path, query) = parts(text);
    assert_eq!(options.path.to_str(), path, "{text:?} names another file");
    assert!(
        (100..=1_000_000).contains(&options.wal_pages) && (1..=64).contains(&options.readers),
        "{text:?}"
    );
    let last = |option: &str| {
        query.split('&').rfind(|pair| pair.starts_with(option)).map(|pair| &pair[option.len()..])
    };
    for (option, set) in [("create=", options.create), ("psow=", options.powersafe_overwrite)] {
        assert_eq!(last(option).unwrap_or("1"), if set { "1" } else { "0" }, "{option} of {text:?}");
    }
    let numbers = [("wal_pages=", options.wal_pages, 4_000), ("readers=", options.readers, 8)];
    for (option, set, default) in numbers {
        let named = last(option).map_or(Some(default), |value| value.parse().ok());
        assert_eq!(named, Some(set), "{option} of {text:?}");
    }
    assert_eq!(options.vfs.as_deref(), last("vfs="), "the VFS of {text:?}");
    true
}

/// Path and query of a URL of this scheme.
fn parts(text: &str) -> (Option<&str>, &str) {
    let Some(rest) = text.strip_prefix("sqlite:") else { return (None, "") };
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    (Some(path), query)
}

/// Opens a file of that name in a folder of its own: afterwards that folder has it, or nothing at all.
#[allow(clippy::expect_used, reason = "without a folder there is nothing to try")]
fn opened(name: &str, query: &str) {
    let name: String =
        name.chars().map(|letter| if matches!(letter, '/' | '\0' | '?') { '_' } else { letter }).collect();
    let is_a_file = !matches!(name.as_str(), "" | "." | "..") && name.len() <= NAME_BYTES_MAX;
    // Another VFS keeps its files elsewhere.
    if !is_a_file || query.contains("vfs") {
        return;
    }
    let folder = scratch::folder();
    let url = format!("sqlite:{}/{name}?{query}", folder.path().display());
    let store = scratch::run(open(&url, Env::system()));
    let found: BTreeSet<String> = fs::read_dir(folder.path())
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    let own = ["", "-wal", "-shm"].map(|suffix| format!("{name}{suffix}"));
    match &store {
        Ok(_) => assert!(found.contains(&name), "{url:?} was opened and made {found:?}"),
        Err(_) => assert!(found.is_empty(), "{url:?} was refused and made {found:?}"),
    }
    assert!(found.iter().all(|file| own.contains(file)), "{url:?} made {found:?}");
    if let Ok(store) = store {
        scratch::run(async { drop(store.health().await.expect("it is whole")) });
    }
}
