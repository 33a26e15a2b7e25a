//! Nothing in the tree is left for later: the words that say so stand in no file, whatever its kind.

use crate::tidy::source::is_word;
use crate::tidy::tree::File;
use crate::tidy::{Findings, Rule};

/// This file has to name the words.
const OWN_PATH: &str = "xtask/src/tidy/rules/words.rs";

/// Found anywhere in a line.
const PHRASES: &[&str] = &["todo!(", "unimplemented!("];

/// Found where they stand as a word of their own: a template of X's for temporary names is none.
const WORDS: &[&str] = &["FIXME", "XXX"];

/// Found in any mix of capitals.
const EXCUSE: &str = "in production one would";

/// The row in the table.
pub(crate) const RULE: Rule = Rule {
    name: "words",
    forbids: "todo!(, unimplemented!(, FIXME, XXX, \"in production one would\", in text files of every kind",
    allowed: OWN_PATH,
    check,
};

fn check(file: &File, findings: &mut Findings) {
    if file.path == OWN_PATH {
        return;
    }
    for (index, line) in file.text.lines().enumerate() {
        let found = PHRASES
            .iter()
            .find(|phrase| line.contains(**phrase))
            .or_else(|| WORDS.iter().find(|word| line.split(|c| !is_word(c)).any(|part| part == **word)))
            .copied()
            .or_else(|| line.to_lowercase().contains(EXCUSE).then_some(EXCUSE));
        if let Some(word) = found {
            findings.add(
                index + 1,
                format!("`{word}` leaves work for later; do it, or file it where work is planned"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{EXCUSE, PHRASES, WORDS};
    use crate::tidy::testing::broken;

    #[test]
    fn every_word_is_found_in_every_kind_of_file() {
        for word in PHRASES.iter().chain(WORDS).chain([&EXCUSE]) {
            for path in
                ["README.md", ".ci/run", "crates/store/migrations/0001.sql", "crates/store/Cargo.lock"]
            {
                assert_eq!(broken(path, &format!("one\n# {word} two)\n")), [("words", 2)], "{word}");
            }
            let rust = format!("//! A file that the tests of tidy made up.\n// {word}\n");
            assert_eq!(broken("crates/store/tests/it/main.rs", &rust), [("words", 2)], "{word}");
        }
        assert_eq!(broken("README.md", "In production one would.\n"), [("words", 1)]);
    }

    #[test]
    fn a_template_for_temporary_names_is_free() {
        assert_eq!(broken(".ci/run", "mktemp -d /tmp/a.XXXXXX\n"), []);
    }
}
