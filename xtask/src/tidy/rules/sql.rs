//! SQL stands together, where it can be read and reviewed as SQL.

use crate::tidy::place;
use crate::tidy::source::is_word;
use crate::tidy::tree::File;
use crate::tidy::{Findings, Rule};

/// In capitals, as this workspace writes SQL, so that English sentences do not count.
const KEYWORDS: &[&str] = &[
    "SELECT ",
    "INSERT ",
    "REPLACE INTO ",
    "UPDATE ",
    "DELETE FROM ",
    "CREATE TABLE ",
    "CREATE INDEX ",
    "CREATE UNIQUE INDEX ",
    "CREATE TRIGGER ",
    "CREATE VIEW ",
    "ALTER TABLE ",
    "DROP TABLE ",
    "DROP INDEX ",
    "BEGIN IMMEDIATE ",
    "BEGIN EXCLUSIVE ",
    "SAVEPOINT ",
    "PRAGMA ",
];

const ADVICE: &str = "move it into a file sql.rs, or below a folder sql or migrations";

/// The row in the table.
pub(crate) const RULE: Rule = Rule {
    name: "sql",
    forbids: "SQL keywords in string literals, and .sql files",
    allowed: "files named sql.rs, folders named sql or migrations, test code",
    check,
};

fn check(file: &File, findings: &mut Findings) {
    let path = &file.path;
    let is_home = place::name(path) == "sql.rs"
        || place::has_folder(path, "sql")
        || place::has_folder(path, "migrations")
        || place::is_test(path);
    if is_home {
        return;
    }
    if place::extension(path) == "sql" {
        findings.add(1, format!("a file of SQL stands apart from the others; {ADVICE}"));
    }
    let Some(rust) = &file.rust else { return };
    for (index, line) in rust.live_literals.lines().enumerate() {
        // A keyword may end its line, or its literal.
        let line = format!("{line} ");
        if let Some(keyword) = KEYWORDS.iter().find(|keyword| has_keyword(&line, keyword)) {
            findings.add(index + 1, format!("`{}` is SQL; {ADVICE}", keyword.trim_end()));
        }
    }
}

fn has_keyword(line: &str, keyword: &str) -> bool {
    line.match_indices(keyword).any(|(at, _)| !line[..at].ends_with(is_word))
}

#[cfg(test)]
mod tests {
    use super::KEYWORDS;
    use crate::tidy::testing::{broken, broken_body};

    #[test]
    fn every_keyword_outside_its_place_is_found() {
        for keyword in KEYWORDS {
            let body = format!("const A: &str = \"{keyword}x\";");
            assert_eq!(broken_body("crates/store/src/reads.rs", &body), [("sql", 2)], "{keyword}");
            for path in [
                "crates/store/src/sqlite/sql.rs",
                "crates/store/src/sqlite/sql/leases.rs",
                "crates/store/src/sqlite/migrations/list.rs",
                "crates/store/tests/it/main.rs",
            ] {
                assert_eq!(broken_body(path, &body), [], "{path}");
            }
        }
    }

    #[test]
    fn a_statement_over_several_lines_is_found_at_its_first() {
        let body = "const A: &str = r#\"\n  SELECT\n    id\n  \"#;";
        assert_eq!(broken_body("crates/store/src/reads.rs", body), [("sql", 3)]);
    }

    #[test]
    fn comments_prose_and_test_modules_are_free() {
        let body = "/// Runs SELECT id.\n// PRAGMA x\nfn a() { b(\"select a task\", \"Update it\", \"RESELECT x\"); }\n\
                    #[cfg(test)]\nmod tests { const C: &str = \"SELECT 1\"; }";
        assert_eq!(broken_body("crates/store/src/reads.rs", body), []);
    }

    #[test]
    fn a_file_of_sql_has_its_place_too() {
        assert_eq!(broken("crates/store/src/schema.sql", "-- x\n"), [("sql", 1)]);
        assert_eq!(broken("crates/store/migrations/0001.sql", "-- x\n"), []);
    }
}
