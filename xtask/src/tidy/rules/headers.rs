//! Every Rust file starts by saying what lives in it and why.

use crate::tidy::Rule;

/// In characters, of the first line without its marker.
const FIRST_LINE_MIN: usize = 20;

/// The row in the table.
pub(crate) const RULE: Rule = Rule {
    name: "headers",
    forbids: "a Rust file whose first line is not `//!` and a sentence (at least 20 characters)",
    allowed: "",
    check: |file, findings| {
        let Some(rust) = &file.rust else { return };
        match rust.header.first() {
            None => findings.add(1, "start the file with a line `//!` that says what lives here and why"),
            Some(first) if first.chars().count() < FIRST_LINE_MIN => {
                findings.add(1, "say more in the first line of the header: what lives here, and why");
            }
            Some(_) => {}
        }
    },
};

#[cfg(test)]
mod tests {
    use crate::tidy::testing::broken;

    #[test]
    fn a_file_must_start_with_a_header_that_says_something() {
        for path in ["crates/leases/src/lib.rs", "crates/leases/tests/it/main.rs", "crates/store/build.rs"] {
            for text in [
                "",
                "fn a() {}\n",
                "\n//! A line too late to be the header.\n",
                "//! Short.\n",
                "//!\n//! So late.\n",
            ] {
                assert_eq!(broken(path, text), [("headers", 1)], "{text:?}");
            }
            assert_eq!(broken(path, "//! What lives in this file.\n"), []);
        }
    }
}
