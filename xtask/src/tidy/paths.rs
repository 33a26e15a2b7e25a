//! The paths that a file mentions (`std::sync::Mutex`, `thread::sleep`), each traced through the
//! file's own `use` declarations: neither `use std::sync::{Arc, Mutex}` nor a new name hides one.

use std::collections::HashMap;

use super::source::is_word;

/// How many renamings of a renamed import are followed.
const ALIAS_DEPTH_MAX: usize = 4;

/// One path in one place.
#[derive(Debug)]
pub(crate) struct Mention {
    /// As far as the file's imports tell; a glob import ends in `*`.
    segments: Vec<String>,
    /// From 1.
    pub(crate) line: usize,
    is_import: bool,
    /// The import that its first segment was traced through.
    via: Option<Vec<String>>,
}

impl Mention {
    /// The path as text.
    pub(crate) fn path(&self) -> String {
        self.segments.join("::")
    }

    /// Whether the path names `needle`, or something below it. A needle that ends in `::` (a
    /// crate or module as a whole) must stand at the path's beginning, any other may stand
    /// anywhere in it. What came through an import that already matches is not counted again.
    pub(crate) fn names(&self, needle: &str) -> bool {
        let through_known = self.via.as_ref().is_some_and(|via| matches(via, true, needle));
        !through_known && matches(&self.segments, self.is_import, needle)
    }
}

fn matches(path: &[String], is_import: bool, needle: &str) -> bool {
    let whole_module = needle.strip_suffix("::");
    let wanted: Vec<&str> = whole_module.unwrap_or(needle).split("::").collect();
    if whole_module.is_some() {
        return begins_with(path, &wanted) && (is_import || path.len() > wanted.len());
    }
    (0..path.len()).any(|start| begins_with(&path[start..], &wanted))
}

/// A `*` after at least one true segment stands for all that follows.
fn begins_with(path: &[String], wanted: &[&str]) -> bool {
    for (index, segment) in wanted.iter().enumerate() {
        match path.get(index).map(String::as_str) {
            Some("*") if index > 0 => return true,
            Some(found) if found == *segment => {}
            _ => return false,
        }
    }
    true
}

/// All paths that `code` mentions, in order. Methods behind a `.` and the names of functions
/// being defined are not paths.
pub(crate) fn mentions(code: &str) -> Vec<Mention> {
    let tokens = tokens(code);
    let mut mentions = Vec::new();
    let mut aliases = HashMap::new();
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at].kind {
            Kind::Word(word) if word == "use" && tokens.get(at + 1).is_some_and(Token::opens_use_tree) => {
                let mut tree =
                    UseTree { tokens: &tokens, at: at + 1, mentions: Vec::new(), aliases: &mut aliases };
                tree.parse(&[]);
                at = tree.at;
                mentions.append(&mut tree.mentions);
            }
            Kind::Word(_) => {
                let behind_dot = follows_dot(&tokens, at);
                let is_definition = at > 0 && tokens[at - 1].is_word("fn");
                let (segments, end) = path_at(&tokens, at);
                if !behind_dot && !is_definition {
                    mentions.push(Mention { segments, line: tokens[at].line, is_import: false, via: None });
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    for mention in &mut mentions {
        let alias = mention.segments.first().filter(|_| !mention.is_import);
        mention.via = alias.and_then(|alias| aliases.get(alias)).map(|path| traced(path, &aliases));
        mention.segments = traced(&mention.segments, &aliases);
    }
    mentions
}

/// The path in full, as far as the file's imports tell.
fn traced(path: &[String], aliases: &HashMap<String, Vec<String>>) -> Vec<String> {
    let mut path = path.to_vec();
    for _ in 0..ALIAS_DEPTH_MAX {
        match path.first().and_then(|first| aliases.get(first)) {
            // `use fastrand;` is its own alias.
            Some(target) if target.first() != path.first() => path.splice(..1, target.iter().cloned()),
            _ => break,
        };
    }
    path
}

/// A method or field, but not the end of a range.
fn follows_dot(tokens: &[Token], at: usize) -> bool {
    let is_dot = |back: usize| at >= back && tokens[at - back].kind == Kind::Mark('.');
    is_dot(1) && !is_dot(2)
}

fn path_at(tokens: &[Token], mut at: usize) -> (Vec<String>, usize) {
    let mut segments = Vec::new();
    while let Some(Token { kind: Kind::Word(word), .. }) = tokens.get(at) {
        segments.push(word.clone());
        at += 1;
        let goes_on = matches!(tokens.get(at + 1), Some(Token { kind: Kind::Word(_), .. }));
        if !(goes_on && tokens[at].kind == Kind::PathSeparator) {
            break;
        }
        at += 1;
    }
    (segments, at)
}

struct UseTree<'a> {
    tokens: &'a [Token],
    at: usize,
    mentions: Vec<Mention>,
    aliases: &'a mut HashMap<String, Vec<String>>,
}

impl UseTree<'_> {
    /// One tree, up to the `,`, `}` or `;` behind it.
    fn parse(&mut self, prefix: &[String]) {
        let mut path = prefix.to_vec();
        let mut name = None;
        let mut line = 0;
        while let Some(token) = self.tokens.get(self.at) {
            match &token.kind {
                Kind::Mark('{') => return self.group(&path),
                Kind::Mark(',' | '}' | ';') => break,
                Kind::Mark('*') => {
                    path.push("*".to_owned());
                    line = token.line;
                }
                Kind::Word(word) if word == "as" => {
                    if let Some(Token { kind: Kind::Word(alias), .. }) = self.tokens.get(self.at + 1) {
                        name = Some(alias.clone());
                        self.at += 1;
                    }
                }
                // `a::{self}` is `a`.
                Kind::Word(word) if word == "self" && !prefix.is_empty() => line = token.line,
                Kind::Word(word) => {
                    path.push(word.clone());
                    line = token.line;
                }
                _ => {}
            }
            self.at += 1;
        }
        if line > 0 {
            let name = name.or_else(|| path.last().cloned()).unwrap_or_default();
            self.aliases.insert(name, path.clone());
            self.mentions.push(Mention { segments: path, line, is_import: true, via: None });
        }
    }

    fn group(&mut self, prefix: &[String]) {
        loop {
            self.at += 1;
            self.parse(prefix);
            if self.tokens.get(self.at).is_none_or(|token| token.kind != Kind::Mark(',')) {
                break;
            }
        }
        // The closing brace; what stands behind it belongs to the caller.
        self.at += 1;
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Word(String),
    PathSeparator,
    Mark(char),
}

struct Token {
    kind: Kind,
    line: usize,
}

impl Token {
    fn is_word(&self, wanted: &str) -> bool {
        matches!(&self.kind, Kind::Word(word) if word == wanted)
    }

    /// `use` also stands in bounds, `impl Trait + use<'a>`.
    fn opens_use_tree(&self) -> bool {
        self.kind != Kind::Mark('<')
    }
}

fn tokens(code: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (index, text) in code.lines().enumerate() {
        let line = index + 1;
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let length = if is_word(first) {
                let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                tokens.push(Token { kind: Kind::Word(rest[..length].to_owned()), line });
                length
            } else if rest.starts_with("::") {
                tokens.push(Token { kind: Kind::PathSeparator, line });
                2
            } else {
                if !first.is_whitespace() {
                    tokens.push(Token { kind: Kind::Mark(first), line });
                }
                first.len_utf8()
            };
            rest = &rest[length..];
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_naming(code: &str, needle: &str) -> Vec<usize> {
        mentions(code).iter().filter(|mention| mention.names(needle)).map(|mention| mention.line).collect()
    }

    #[test]
    fn every_form_of_import_is_seen_once() {
        for code in [
            "use std::sync::Mutex;\nlet a: Mutex<u8> = Mutex::new(1);",
            "use std::sync::{Arc, Mutex};\nlet a = Mutex::new(1);",
            "use std::{fmt, sync::{self as s, Mutex as Lock, Arc}};\nlet a = Lock::new(1);",
            "pub use ::std::sync::Mutex;",
            "use std::sync::*;\nlet a = Mutex::new(1);",
            "type A = std::sync::Mutex<u8>;",
        ] {
            assert_eq!(lines_naming(code, "std::sync::Mutex"), [1], "{code}");
        }
    }

    #[test]
    fn a_module_that_was_imported_or_renamed_is_traced() {
        assert_eq!(lines_naming("use tokio::time;\ntime::sleep(x).await;", "tokio::time::sleep"), [2]);
        assert_eq!(lines_naming("use tokio::time as t;\nt::sleep(x).await;", "tokio::time::sleep"), [2]);
        assert_eq!(lines_naming("use tokio::time;\nuse time::sleep;\nsleep(x);", "tokio::time::sleep"), [2]);
        assert_eq!(lines_naming("use std::time::{Instant as Now};\nNow::now();", "Instant::now"), [2]);
        assert_eq!(lines_naming("use std::sync::{self};\nsync::Mutex::new(1);", "std::sync::Mutex"), [2]);
    }

    #[test]
    fn a_whole_module_matches_at_the_beginning_of_a_path_only() {
        assert_eq!(lines_naming("fastrand::u64(..)", "fastrand::"), [1]);
        assert_eq!(lines_naming("use fastrand;\nfastrand::u64(..)", "fastrand::"), [1]);
        assert_eq!(lines_naming("let rand = a; crate::rand::b(rand)", "rand::"), [0; 0]);
        assert_eq!(lines_naming("use crate::sync::Mutex;\nMutex::new(1)", "tokio::sync::"), [0; 0]);
    }

    #[test]
    fn methods_definitions_and_other_names_do_not_count() {
        let code = "use super::*;\nfn getrandom() { a.getrandom(); b.clock_gettime; MyMutex::new() }";
        assert_eq!(lines_naming(code, "getrandom"), [0; 0]);
        assert_eq!(lines_naming(code, "clock_gettime"), [0; 0]);
        assert_eq!(lines_naming("use std::sync::MutexGuard;", "std::sync::Mutex"), [0; 0]);
        assert_eq!(lines_naming("0..Instant::now()", "Instant::now"), [1]);
    }

    #[test]
    fn broken_or_odd_use_declarations_come_to_an_end() {
        for code in
            ["use", "use a::{", "use a::{b, c", "use {}", "use a as", "fn f() -> impl A + use<'a> { b::c() }"]
        {
            mentions(code);
        }
        assert_eq!(lines_naming("fn f() -> impl A + use<'a> { b::c() }", "b::c"), [1]);
        assert_eq!(lines_naming("use a::{b::{c, d}, e::f};\nlet x = y;", "a::e::f"), [1]);
    }
}
