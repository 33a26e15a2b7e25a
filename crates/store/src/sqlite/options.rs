//! How an SQLite store is opened: its file and what may be chosen about it.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::error::OpenError;

/// Links from one to the next, as many as Linux itself follows.
const LINKS_FOLLOWED_MAX: u32 = 40;
const KNOWN: &str = "create, wal_pages, readers, psow, vfs";
const WAL_PAGES_ALLOWED: &str = "a number of 100 to 1000000 pages";
const SWITCH_ALLOWED: &str = "0 or 1";
const READERS_ALLOWED: &str = "a number of 1 to 64 connections";

/// Where the file is, and what may be chosen about it.
///
/// ```
/// # use steadfast_store::SqliteOptions;
/// let options = SqliteOptions::new("agent.db");
/// assert_eq!(options.wal_pages, 4_000);
/// let same = SqliteOptions::from_url("sqlite:agent.db?wal_pages=4000")?;
/// assert_eq!(same, options);
/// # Ok::<(), steadfast_store::OpenError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqliteOptions {
    /// The database file. Its folder is never made.
    pub path: PathBuf,
    /// Whether the file is made when it is not there, and brought to this program's schema when it is older: on unless
    /// switched off. Without it such a file is refused and left as it is.
    pub create: bool,
    /// Pages of 4 KiB in the write-ahead log at which the writer folds it into the file. Fewer: shorter stalls; more:
    /// fewer of them and more throughput. At least 100.
    pub wal_pages: u32,
    /// Read connections at most, 1 to 64.
    pub readers: u32,
    /// Whether the device keeps neighbouring bytes whole when a write is torn (SQLite's "powersafe overwrite").
    /// Turn it off for devices that garble whole sectors; it costs space and a little time.
    pub powersafe_overwrite: bool,
    /// The name of a registered SQLite VFS, for fault injection; the default one otherwise.
    pub vfs: Option<String>,
}

impl SqliteOptions {
    /// The defaults for this file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { path, create: true, wal_pages: 4_000, readers: 8, powersafe_overwrite: true, vfs: None }
    }

    /// Reads `sqlite:PATH?option=value&…`, with the options `create` (0 or 1), `wal_pages`, `readers`, `psow`
    /// (0 or 1), `vfs`.
    ///
    /// # Errors
    /// [`OpenError`] for another scheme, an unknown option, or a value that an option cannot take.
    pub fn from_url(url: &str) -> Result<Self, OpenError> {
        let unknown = || OpenError::UnknownScheme { url: url.to_owned() };
        let rest = url.strip_prefix("sqlite:").ok_or_else(unknown)?;
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        if path.is_empty() {
            return Err(unknown());
        }
        let mut options = Self::new(path);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (option, value) = pair.split_once('=').unwrap_or((pair, ""));
            options.set(option, value)?;
        }
        Ok(options)
    }

    fn set(&mut self, option: &str, value: &str) -> Result<(), OpenError> {
        let invalid = |option, allowed| OpenError::InvalidOption { option, value: value.to_owned(), allowed };
        match option {
            "wal_pages" => {
                self.wal_pages = value.parse().map_err(|_| invalid("wal_pages", WAL_PAGES_ALLOWED))?;
            }
            "readers" => self.readers = value.parse().map_err(|_| invalid("readers", READERS_ALLOWED))?,
            "create" => self.create = switch(value).ok_or_else(|| invalid("create", SWITCH_ALLOWED))?,
            "psow" => {
                self.powersafe_overwrite = switch(value).ok_or_else(|| invalid("psow", SWITCH_ALLOWED))?;
            }
            "vfs" => self.vfs = Some(value.to_owned()),
            _ => return Err(OpenError::UnknownOption { option: option.to_owned(), known: KNOWN }),
        }
        self.check()
    }

    /// The same under the absolute path, once every bound is checked: connections are made later too, and the
    /// current folder may have changed by then.
    pub(super) fn absolute(&self) -> Result<Self, OpenError> {
        self.check()?;
        let failed = |error| OpenError::Failed { path: self.path.clone(), source: Box::new(error) };
        let mut path = std::path::absolute(&self.path).map_err(failed)?;
        // SQLite keeps its log beside the file that a link leads to, there or not: so must we look for it there.
        for _ in 0..LINKS_FOLLOWED_MAX {
            let Ok(target) = std::fs::read_link(&path) else { break };
            path = path.parent().unwrap_or(Path::new("/")).join(target);
        }
        Ok(Self { path, ..self.clone() })
    }

    /// Checks every bound, however the fields were set.
    fn check(&self) -> Result<(), OpenError> {
        let invalid = |option, value: &dyn ToString, allowed| OpenError::InvalidOption {
            option,
            value: value.to_string(),
            allowed,
        };
        if !(100..=1_000_000).contains(&self.wal_pages) {
            return Err(invalid("wal_pages", &self.wal_pages, WAL_PAGES_ALLOWED));
        }
        if !(1..=64).contains(&self.readers) {
            return Err(invalid("readers", &self.readers, READERS_ALLOWED));
        }
        // A URI would end at a NUL, and so name another file; without a path it would name a temporary one.
        let path = self.path.as_os_str().as_bytes();
        if path.is_empty() || path.contains(&0) {
            let allowed = "the path of a file, without a NUL character";
            return Err(invalid("path", &self.path.display(), allowed));
        }
        match &self.vfs {
            Some(vfs) if vfs.is_empty() || vfs.contains('\0') => {
                Err(invalid("vfs", vfs, "the name of a registered VFS"))
            }
            _ => Ok(()),
        }
    }

    /// The file as an SQLite URI: <https://www.sqlite.org/uri.html>.
    pub(super) fn uri(&self) -> String {
        let mut uri = String::from("file:");
        encode(&mut uri, self.path.as_os_str());
        uri.push_str(if self.powersafe_overwrite { "?psow=1" } else { "?psow=0" });
        if let Some(vfs) = &self.vfs {
            uri.push_str("&vfs=");
            encode(&mut uri, OsStr::new(vfs));
        }
        uri
    }

    /// The file that SQLite keeps beside the database under this suffix.
    pub(super) fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(suffix);
        name.into()
    }

    /// The folder of the file.
    pub(super) fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        }
    }
}

fn switch(value: &str) -> Option<bool> {
    match value {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

fn encode(uri: &mut String, text: &OsStr) {
    for &byte in text.as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/.-_".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(uri, "%{byte:02x}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_any_bytes_becomes_a_uri() {
        let options = SqliteOptions::new("/tmp/a b?c#d%é.db");
        assert_eq!(options.uri(), "file:/tmp/a%20b%3fc%23d%25%c3%a9.db?psow=1");
    }

    #[test]
    fn options_are_read_from_a_url() {
        let options =
            SqliteOptions::from_url("sqlite:///var/a.db?psow=0&readers=2&vfs=faulty&wal_pages=500&create=0")
                .unwrap();
        assert!(!options.create);
        assert_eq!(options.path, Path::new("/var/a.db"));
        assert_eq!((options.readers, options.wal_pages, options.powersafe_overwrite), (2, 500, false));
        assert_eq!(options.uri(), "file:/var/a.db?psow=0&vfs=faulty");
    }

    #[test]
    fn what_no_option_can_take_is_refused() {
        for url in [
            "sqlite:a?readers=0",
            "sqlite:a?psow=2",
            "sqlite:a?create=no",
            "sqlite:a?wal_pages=x",
            "sqlite:a?vfs=",
        ] {
            assert!(matches!(SqliteOptions::from_url(url), Err(OpenError::InvalidOption { .. })), "{url}");
        }
        assert!(matches!(SqliteOptions::from_url("sqlite:a?cache=1"), Err(OpenError::UnknownOption { .. })));
        for url in ["sqlite:", "postgre:x", "a.db", ""] {
            assert!(matches!(SqliteOptions::from_url(url), Err(OpenError::UnknownScheme { .. })), "{url}");
        }
    }
}
