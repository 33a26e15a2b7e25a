//! The bytes of a database's files. A write beyond the end leaves zeros in between, as on any file system.

/// One of a database's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// The database file itself.
    Database,
    /// The write-ahead log (`-wal`).
    Log,
    /// The rollback journal (`-journal`).
    Journal,
}

impl Name {
    /// Every name, in the order of the enum.
    pub const ALL: [Self; 3] = [Self::Database, Self::Log, Self::Journal];

    /// What it is called in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Log => "log",
            Self::Journal => "journal",
        }
    }

    /// By its suffix.
    pub(super) fn of_path(path: &[u8]) -> Self {
        if path.ends_with(b"-wal") {
            Self::Log
        } else if path.ends_with(b"-journal") {
            Self::Journal
        } else {
            Self::Database
        }
    }
}

/// What stands in each file; nothing for one that is not there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Files {
    contents: [Option<Vec<u8>>; 3],
}

impl Files {
    /// The content of a file that is there.
    pub fn get(&self, name: Name) -> Option<&[u8]> {
        self.contents[name as usize].as_deref()
    }

    /// How long a file is, in bytes; 0 for one that is not there.
    pub fn length(&self, name: Name) -> usize {
        self.get(name).map_or(0, <[u8]>::len)
    }

    /// Puts a file there, or takes it away.
    pub fn set(&mut self, name: Name, content: Option<Vec<u8>>) {
        self.contents[name as usize] = content;
    }

    /// The content of a file to be changed; the file is made when it is not there.
    pub(super) fn content(&mut self, name: Name) -> &mut Vec<u8> {
        self.contents[name as usize].get_or_insert_default()
    }
}

/// Writes at a place, filling up with zeros to there.
pub(crate) fn write_at(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}
