//! Unsafe code stands only in files that say why they need it.

use crate::tidy::Rule;
use crate::tidy::source::is_word;

/// In characters, of the header line that names the word: a mention alone gives no reason.
const REASON_MIN: usize = 30;

/// The row in the table.
pub(crate) const RULE: Rule = Rule {
    name: "unsafe",
    forbids: "the keyword `unsafe`, and allowing or expecting the lint `unsafe_code`",
    allowed: "files with a header line that names unsafe and says why (at least 30 characters)",
    check: |file, findings| {
        let Some(rust) = &file.rust else { return };
        if rust.header.iter().any(|line| gives_reason(line)) {
            return;
        }
        for (index, line) in rust.code.lines().enumerate() {
            let lint = line.contains("unsafe_code") && (line.contains("allow(") || line.contains("expect("));
            if lint || has_unsafe(line) {
                findings.add(
                    index + 1,
                    "do without unsafe code, or say in the file's header what is unsafe and why",
                );
            }
        }
    },
};

fn gives_reason(header: &str) -> bool {
    header.chars().count() >= REASON_MIN && has_unsafe(&header.to_lowercase())
}

fn has_unsafe(line: &str) -> bool {
    line.split(|c| !is_word(c)).any(|word| word == "unsafe")
}

#[cfg(test)]
mod tests {
    use crate::tidy::testing::{broken, broken_body};

    #[test]
    fn unsafe_code_without_a_reason_is_found_in_tests_too() {
        for body in [
            "fn a() { unsafe { b() } }",
            "unsafe impl A for B {}",
            "#![allow(unsafe_code)]",
            "#[allow(clippy::x, unsafe_code)]",
            "#[expect(unsafe_code)]",
            "#[cfg(test)] mod tests { fn a() { unsafe { b() } } }",
        ] {
            for path in ["crates/store/src/a.rs", "crates/store/tests/it/main.rs", "crates/chaos/src/main.rs"]
            {
                assert_eq!(broken_body(path, body), [("unsafe", 2)], "{body}");
            }
        }
        let unexplained = "//! A file with a good header.\n//! No unsafe here.\nunsafe fn a() {}";
        assert_eq!(broken("crates/store/src/a.rs", unexplained), [("unsafe", 3)]);
    }

    #[test]
    fn a_header_that_says_why_a_denial_and_a_comment_are_free() {
        let reason = "//! Unsafe: stopping a child needs a call that only libc has.\nunsafe fn a() {}";
        assert_eq!(broken("crates/store/src/a.rs", reason), []);
        assert_eq!(
            broken_body("crates/store/src/a.rs", "#![deny(unsafe_code)]\n// unsafe\nfn unsafe_a() {}"),
            []
        );
    }
}
