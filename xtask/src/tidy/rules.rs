//! The table of all rules. A rule that is not in it is not checked.

mod clocks;
mod headers;
mod layers;
mod length;
mod locks;
mod randomness;
mod sleeping;
mod spawning;
mod sql;
mod unsafety;
mod words;

use super::paths::mentions;
use super::place;
use super::tree::File;
use super::{Findings, Rule};

/// Every rule, in the order in which `--list` prints them.
pub(crate) const RULES: &[Rule] = &[
    layers::RULE,
    headers::RULE,
    length::RULE,
    sql::RULE,
    clocks::RULE,
    randomness::RULE,
    sleeping::RULE,
    spawning::RULE,
    locks::RULE,
    unsafety::RULE,
    words::RULE,
];

/// A set of paths that may be mentioned in some places only; test code is free.
struct Banned {
    /// See [`super::paths::Mention::names`].
    paths: &'static [&'static str],
    /// Exact files, or folders that end in `/`.
    places: &'static [&'static str],
    /// A file of this name may, wherever it stands.
    file_name: Option<&'static str>,
    /// Follows "`path` …": what is wrong and what to do.
    advice: &'static str,
}

impl Banned {
    fn allows(&self, path: &str) -> bool {
        place::is_test(path)
            || place::is_in(path, self.places)
            || self.file_name.is_some_and(|name| place::name(path) == name)
    }

    fn check(&self, file: &File, findings: &mut Findings) {
        let Some(rust) = &file.rust else { return };
        if self.allows(&file.path) {
            return;
        }
        for mention in mentions(&rust.live_code) {
            if self.paths.iter().any(|needle| mention.names(needle)) {
                findings.add(mention.line, format!("`{}` {}", mention.path(), self.advice));
            }
        }
    }
}
