//! The bodies of the fuzz targets: ordinary functions of any bytes, so that stable Rust, the mutator here and libFuzzer
//! run the very same checks. Each reaches its decoder by public paths only, and panics when a promise is broken.

mod answer;
mod begun;
mod database;
mod digests;
mod evidence;
mod fingerprint;
mod ids;
mod image;
mod input;
mod outcome;
mod paths;
mod scratch;
mod sql;
mod text_time;
mod url;
mod witness;

pub use answer::answer;
pub use begun::begun;
pub use database::{database, log};
pub use digests::digests;
pub use evidence::evidence;
pub use fingerprint::fingerprint;
pub use ids::ids;
pub use outcome::outcome;
pub use paths::paths;
pub use text_time::text_time;
pub use url::url;

/// What the code under test made of an input. A campaign that met only one of the two has hardly looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Met {
    /// It was taken, in whole or in part.
    Taken,
    /// It was refused, by a typed error.
    Refused,
}

impl Met {
    /// Taken if that is so.
    const fn taken(is_taken: bool) -> Self {
        if is_taken { Self::Taken } else { Self::Refused }
    }
}

/// One target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name: of its corpus, and of its cargo-fuzz target.
    pub name: &'static str,
    /// What it must hold against any bytes.
    pub shows: &'static str,
    /// Its share of the executions: more for what is fast and decodes much.
    pub share: u32,
    /// Its body. Panics when a promise is broken.
    pub run: fn(&[u8]) -> Met,
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "evidence", shows: "evidence is read strictly and back alike", share: 16, run: evidence },
    Target { name: "outcome", shows: "a command's outcome is read strictly", share: 12, run: outcome },
    Target { name: "answer", shows: "a model's answer comes back byte for byte", share: 12, run: answer },
    Target {
        name: "begun",
        shows: "a begun step names the checkpoint it was closed with",
        share: 6,
        run: begun,
    },
    Target { name: "digests", shows: "a text of a digest names one digest", share: 12, run: digests },
    Target { name: "ids", shows: "an id is its text, and no two calls share a key", share: 12, run: ids },
    Target {
        name: "fingerprint",
        shows: "equal requests share a key, others do not",
        share: 10,
        run: fingerprint,
    },
    Target { name: "paths", shows: "no path of evidence leaves the base folder", share: 8, run: paths },
    Target { name: "text_time", shows: "a stored time is read as SQLite reads it", share: 6, run: text_time },
    Target { name: "url", shows: "a URL opens the file that it names", share: 2, run: url },
    Target { name: "database", shows: "a damaged file hands out nothing wrong", share: 2, run: database },
    Target { name: "log", shows: "a damaged log hands out nothing wrong", share: 2, run: log },
];
