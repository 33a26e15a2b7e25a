//! A file that no longer fits a head is divided, or says why not.

use crate::tidy::Rule;

const LINES_MAX: usize = 600;

/// What a header says that asks for more room.
const REASON: &str = "Long because";

/// The row in the table.
pub(crate) const RULE: Rule = Rule {
    name: "length",
    forbids: "a Rust file of more than 600 lines",
    allowed: "files with a header line that says \"Long because …\"",
    check: |file, findings| {
        let Some(rust) = &file.rust else { return };
        let lines = file.text.lines().count();
        if lines > LINES_MAX && !rust.header.iter().any(|line| line.contains(REASON)) {
            findings.add(
                LINES_MAX + 1,
                format!("divide the file ({lines} lines), or say \"{REASON} …\" in its header"),
            );
        }
    },
};

#[cfg(test)]
mod tests {
    use crate::tidy::testing::broken_body;

    #[test]
    fn a_long_file_is_found_unless_it_says_why() {
        let path = "crates/store/src/long.rs";
        assert_eq!(broken_body(path, &"\n".repeat(599)), []);
        assert_eq!(broken_body(path, &"\n".repeat(600)), [("length", 601)]);
        let excused = format!("//! Long because one table is read best in one place.\n{}", "\n".repeat(600));
        assert_eq!(broken_body(path, &excused), []);
    }
}
