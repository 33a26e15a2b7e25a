//! Reads from a Cargo.toml what the layers need: the package's name and what it depends on. A line
//! parser for the TOML that manifests are written in, so that this program needs no crate.

/// What a manifest says.
#[derive(Debug, Default)]
pub(crate) struct Manifest {
    /// The name and its line; nothing for a workspace without a package of its own.
    pub(crate) package: Option<(String, usize)>,
    /// What is linked into the product or runs at build time. Development dependencies are not
    /// here.
    pub(crate) dependencies: Vec<Dependency>,
    /// The shared versions of a workspace.
    pub(crate) shared: Vec<Dependency>,
}

/// One dependency.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Dependency {
    /// What it is called in this manifest.
    pub(crate) key: String,
    /// The package behind it, when it is renamed.
    pub(crate) package: Option<String>,
    /// From 1.
    pub(crate) line: usize,
}

impl Dependency {
    /// The package's true name.
    pub(crate) fn name(&self) -> &str {
        self.package.as_deref().unwrap_or(&self.key)
    }
}

impl Manifest {
    /// Reads `text`; what it does not understand it passes over.
    pub(crate) fn parse(text: &str) -> Self {
        let mut manifest = Self::default();
        let mut section = Vec::new();
        // How many brackets of a value that goes over several lines are open.
        let mut open = 0_isize;
        for (index, line) in text.lines().enumerate() {
            let line = outside_quotes(line, '#').map_or(line, |at| &line[..at]).trim();
            if open > 0 {
                open += brackets(line);
            } else if let Some(header) = line.strip_prefix('[') {
                section = key_parts(header.trim_matches(['[', ']']));
                manifest.entry(&section, "", index + 1);
            } else if let Some(equals) = outside_quotes(line, '=') {
                let mut key = section.clone();
                key.extend(key_parts(&line[..equals]));
                let value = line[equals + 1..].trim();
                manifest.entry(&key, value, index + 1);
                open = brackets(value);
            }
        }
        manifest
    }

    /// Files one key, given in full, under what it says.
    fn entry(&mut self, key: &[String], value: &str, line: usize) {
        let key: Vec<&str> = key.iter().map(String::as_str).collect();
        let (list, name, rest) = match key.as_slice() {
            ["package", "name"] => {
                self.package = Some((unquoted(value), line));
                return;
            }
            ["dependencies" | "build-dependencies", name, rest @ ..]
            | ["target", _, "dependencies" | "build-dependencies", name, rest @ ..] => {
                (&mut self.dependencies, *name, rest)
            }
            ["workspace", "dependencies", name, rest @ ..] => (&mut self.shared, *name, rest),
            _ => return,
        };
        let package = match rest {
            ["package"] => Some(unquoted(value)),
            _ => inline_package(value),
        };
        match list.iter_mut().find(|known| known.key == name) {
            Some(known) => known.package = package.or(known.package.take()),
            None => list.push(Dependency { key: name.to_owned(), package, line }),
        }
    }
}

/// Where `wanted` first stands outside quotes.
fn outside_quotes(text: &str, wanted: char) -> Option<usize> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == wanted => return Some(at),
            None if c == '"' || c == '\'' => quote = Some(c),
            _ => {}
        }
    }
    None
}

/// Opened minus closed brackets outside quotes.
fn brackets(text: &str) -> isize {
    let mut rest = text;
    let mut open = 0;
    while let Some(at) = ['[', ']', '{', '}'].iter().filter_map(|c| outside_quotes(rest, *c)).min() {
        open += if matches!(rest.as_bytes()[at], b'[' | b'{') { 1 } else { -1 };
        rest = &rest[at + 1..];
    }
    open
}

/// The parts of a dotted key, quotes taken off.
fn key_parts(key: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = key;
    while let Some(dot) = outside_quotes(rest, '.') {
        parts.push(unquoted(&rest[..dot]));
        rest = &rest[dot + 1..];
    }
    parts.push(unquoted(rest));
    parts
}

fn unquoted(text: &str) -> String {
    text.trim().trim_matches(['"', '\'']).to_owned()
}

/// The `package = "…"` of `{ package = "…", … }`.
fn inline_package(value: &str) -> Option<String> {
    let inside = value.strip_prefix('{')?;
    let (_, after) = inside.split_once("package")?;
    let text = after.trim_start().strip_prefix('=')?.trim_start();
    text.split(['"', '\'']).nth(1).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        Manifest::parse(text).dependencies.iter().map(|d| format!("{}@{}", d.name(), d.line)).collect()
    }

    #[test]
    fn every_way_to_write_a_dependency_is_read() {
        let text = "[package]\nname = \"me\" # really\n\
            [dependencies]\na = \"1\"\nb.workspace = true\nb.features = [\"x\"]\n\"c\" = { version = \"1\" }\n\
            d = { version = \"1\", features = [\n  \"e = 1\",\n  'f',\n] }\n\
            [dependencies.g]\nversion = \"1\"\n\
            [target.'cfg(target_os = \"linux\")'.dependencies]\nh = \"1\"\n\
            [target.x86_64-unknown-linux-gnu.dependencies.i]\nversion = \"1\"\n\
            [build-dependencies]\nj = \"1\"\n\
            [features]\nk = []\n[lints]\nworkspace = true\n";
        assert_eq!(names(text), ["a@4", "b@5", "c@7", "d@8", "g@12", "h@15", "i@16", "j@19"]);
        assert_eq!(Manifest::parse(text).package, Some(("me".to_owned(), 2)));
    }

    #[test]
    fn development_dependencies_are_left_out() {
        let text = "[dev-dependencies]\na = \"1\"\n[dev-dependencies.b]\nversion = \"1\"\n\
            [target.'cfg(unix)'.dev-dependencies]\nc = \"1\"\n";
        assert_eq!(names(text), [""; 0]);
    }

    #[test]
    fn a_renamed_dependency_gives_its_true_name() {
        assert_eq!(names("[dependencies]\ns = { path = \"x\", package = \"store\" }\n"), ["store@2"]);
        assert_eq!(names("[dependencies.s]\npath = \"x\"\npackage = 'store'\n"), ["store@1"]);
        assert_eq!(names("[dependencies]\ns.package = \"store\"\n"), ["store@2"]);
    }

    #[test]
    fn shared_versions_are_kept_apart() {
        let manifest = Manifest::parse("[workspace.dependencies]\na = \"1\"\n");
        assert!(manifest.dependencies.is_empty() && manifest.package.is_none());
        assert_eq!(manifest.shared.len(), 1);
    }
}
