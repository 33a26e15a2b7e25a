//! A Rust file taken apart: its code, its string literals, and which of both is not test code.
//! Comments are in neither. Not a parser: it knows as much of Rust as the rules need.

use std::ops::Range;

/// The views of one file. Each has the lines of the file; what does not belong is blanked.
pub(crate) struct Source {
    /// The `//!` lines at the top, without the marker.
    pub(crate) header: Vec<String>,
    /// Code without comments and without what stands inside literals.
    pub(crate) code: String,
    /// As `code`, without items under `#[cfg(test)]`.
    pub(crate) live_code: String,
    /// What stands inside string literals, without items under `#[cfg(test)]`.
    pub(crate) live_literals: String,
}

impl Source {
    /// Takes `text` apart.
    pub(crate) fn new(text: &str) -> Self {
        let header =
            text.lines().map_while(|line| line.strip_prefix("//!")).map(|line| line.trim().to_owned());
        let chars: Vec<char> = text.chars().collect();
        let mut views = Views::of(&chars);
        let code = views.code.iter().collect();
        for range in test_items(&views.code) {
            blank(&mut views.code[range.clone()]);
            blank(&mut views.literals[range]);
        }
        Self {
            header: header.collect(),
            code,
            live_code: views.code.into_iter().collect(),
            live_literals: views.literals.into_iter().collect(),
        }
    }
}

fn blank(chars: &mut [char]) {
    chars.iter_mut().filter(|c| **c != '\n').for_each(|c| *c = ' ');
}

/// Whether `c` can stand in an identifier.
pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

struct Views {
    code: Vec<char>,
    literals: Vec<char>,
}

impl Views {
    fn of(chars: &[char]) -> Self {
        let mut empty = chars.to_vec();
        blank(&mut empty);
        let mut views = Self { code: empty.clone(), literals: empty };
        let mut at = 0;
        while at < chars.len() {
            at = views.step(chars, at);
        }
        views
    }

    /// Files the token at `at` under its view; returns where the next one starts.
    fn step(&mut self, chars: &[char], at: usize) -> usize {
        let next = chars.get(at + 1).copied();
        match (chars[at], next) {
            ('/', Some('/')) => end_of_line(chars, at),
            ('/', Some('*')) => end_of_block_comment(chars, at),
            ('"', _) => self.literal(chars, at, 0, true),
            ('\'', Some('\\')) => {
                // The escaped character itself may be a quote.
                let close = (at + 3..chars.len()).find(|&i| chars[i] == '\'');
                close.map_or(chars.len(), |close| close + 1)
            }
            ('\'', Some(_)) if chars.get(at + 2) == Some(&'\'') => at + 3,
            (c, _) if is_word(c) => self.word(chars, at),
            (c, _) => {
                self.code[at] = c;
                at + 1
            }
        }
    }

    /// An identifier, a number, or the prefix of a literal.
    fn word(&mut self, chars: &[char], at: usize) -> usize {
        let end = (at..chars.len()).find(|&i| !is_word(chars[i])).unwrap_or(chars.len());
        let hashes = chars[end..].iter().take_while(|c| **c == '#').count();
        let quoted = chars.get(end + hashes) == Some(&'"');
        match chars[at..end] {
            ['r'] | ['b' | 'c', 'r'] if quoted => self.literal(chars, end + hashes, hashes, false),
            ['b' | 'c'] if quoted && hashes == 0 => self.literal(chars, end, 0, true),
            _ => {
                self.code[at..end].copy_from_slice(&chars[at..end]);
                end
            }
        }
    }

    /// A string literal whose opening quote stands at `open`. The quotes stay in the code.
    fn literal(&mut self, chars: &[char], open: usize, hashes: usize, escapes: bool) -> usize {
        let mut at = open + 1;
        while at < chars.len() {
            if escapes && chars[at] == '\\' {
                at += 2;
                continue;
            }
            let tail = &chars[at + 1..];
            if chars[at] == '"' && tail.iter().take_while(|c| **c == '#').take(hashes).count() == hashes {
                break;
            }
            at += 1;
        }
        let close = at.min(chars.len());
        self.literals[open + 1..close].copy_from_slice(&chars[open + 1..close]);
        for quote in [open, close] {
            if let Some(slot) = self.code.get_mut(quote) {
                *slot = '"';
            }
        }
        (close + 1 + hashes).min(chars.len())
    }
}

fn end_of_line(chars: &[char], at: usize) -> usize {
    (at..chars.len()).find(|&i| chars[i] == '\n').unwrap_or(chars.len())
}

/// Block comments nest.
fn end_of_block_comment(chars: &[char], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                at += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    chars.len()
}

/// The items under `#[cfg(test)]`, attribute included; everything from `#![cfg(test)]` on.
fn test_items(code: &[char]) -> Vec<Range<usize>> {
    let mut items = Vec::new();
    let mut at = 0;
    while at < code.len() {
        let Some((attribute, inner, end)) = attribute_at(code, at) else {
            at += 1;
            continue;
        };
        if attribute == "cfg(test)" || attribute.starts_with("cfg(all(test,") {
            let close = if inner { code.len() } else { end_of_item(code, end) };
            items.push(at..close);
            at = close;
        } else {
            at = end;
        }
    }
    items
}

/// The attribute that starts at `at`: its text without blanks, whether it is an inner one, and
/// where it ends.
fn attribute_at(code: &[char], at: usize) -> Option<(String, bool, usize)> {
    if code[at] != '#' {
        return None;
    }
    let inner = code.get(at + 1) == Some(&'!');
    let open = at + 1 + usize::from(inner);
    if code.get(open) != Some(&'[') {
        return None;
    }
    let mut depth = 0_usize;
    for (offset, c) in code[open..].iter().enumerate() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            let inside = &code[open + 1..open + offset];
            let text = inside.iter().filter(|c| !c.is_whitespace()).collect();
            return Some((text, inner, open + offset + 1));
        }
    }
    None
}

/// An item ends with the brace that closes its body, with a `;` outside all brackets, or where the
/// block around it closes.
fn end_of_item(code: &[char], start: usize) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.iter().enumerate().skip(start) {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => return at,
            '}' if depth == 1 => return at + 1,
            ')' | ']' | '}' => depth -= 1,
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_in_no_view() {
        let source = Source::new("a // b\n/* c /* d */ e */ f \"g // h\" /* i");
        assert_eq!(source.code.split_whitespace().collect::<String>(), "af\"\"");
        assert_eq!(source.live_literals.trim(), "g // h");
    }

    #[test]
    fn literals_of_every_form_end_where_they_end() {
        for literal in [
            r#""in \" side""#,
            r#"r"in side""#,
            r##"r#"in " side"#"##,
            r##"br#"in side"#"##,
            r#"c"in side""#,
            r#"b"in side""#,
            r#""in side \\""#,
        ] {
            let source = Source::new(&format!("before({literal}, after)"));
            assert!(source.code.contains("after"), "{literal}");
            assert!(!source.code.contains("side"), "{literal}");
            assert!(source.live_literals.contains("side"), "{literal}");
            assert!(!source.live_literals.contains("after"), "{literal}");
        }
    }

    #[test]
    fn a_quote_character_opens_no_string_and_a_lifetime_no_character() {
        let source = Source::new(r#"f('"', '\'', '\u{41}', b'"'); g::<'a>("x", r#type); h"#);
        assert!(source.code.contains("g::<'a>"));
        assert!(source.code.ends_with("r#type); h"));
        assert_eq!(source.live_literals.trim(), "x");
    }

    #[test]
    fn items_under_cfg_test_are_test_code_and_what_follows_is_not() {
        let text = "a();\n#[cfg(test)]\n#[allow(x)]\nmod tests { fn b() { c(); } }\nd();\n\
                    #[cfg(test)]\nuse e;\nf();\n#[cfg(all(test, unix))] fn g() {}\n#[cfg(not(test))] fn h() {}";
        let live = Source::new(text).live_code;
        for kept in ["a()", "d()", "f()", "h()"] {
            assert!(live.contains(kept), "{kept}");
        }
        for gone in ["b()", "c()", "use e", "g()"] {
            assert!(!live.contains(gone), "{gone}");
        }
        assert_eq!(live.lines().count(), text.lines().count());
    }

    #[test]
    fn a_file_under_an_inner_cfg_test_is_test_code() {
        assert_eq!(Source::new("#![cfg(test)]\nfn a() {}\nfn b() {}").live_code.trim(), "");
    }

    #[test]
    fn a_file_that_breaks_off_anywhere_is_taken_apart_all_the_same() {
        let text = "#[cfg(test)] mod a { '\\'' r#\"b\"# } /* c */ \"d\\\"\" 'e'";
        for end in 0..=text.len() {
            assert_eq!(Source::new(&text[..end]).code.chars().count(), end);
        }
    }
}
