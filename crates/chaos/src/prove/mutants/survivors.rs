//! The list of mutants that no test can see, each with its reason, as it stands in the documents.

/// Survivors by name.
#[derive(Debug)]
pub(super) struct Listed(Vec<String>);

impl Listed {
    /// From a document: a line ``- `MUTANT`: reason`` each. One without a reason does not count.
    pub(super) fn read(text: &str) -> Self {
        let entry = |line: &str| {
            let (mutant, reason) = line.strip_prefix("- `")?.split_once("`: ")?;
            (!reason.trim().is_empty()).then(|| mutant.to_owned())
        };
        Self(text.lines().filter_map(entry).collect())
    }

    pub(super) fn has(&self, mutant: &str) -> bool {
        self.0.iter().any(|listed| listed == mutant)
    }

    /// Those that did not survive.
    pub(super) fn not_among(&self, survivors: &[String]) -> Vec<&str> {
        self.0.iter().filter(|listed| !survivors.contains(listed)).map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_survivor_with_a_reason_is_listed() {
        let text = "# Mutants\n\n- `a.rs: replace < with <= in f`: equal times never meet\n- `b.rs: delete !`: \n- c\n";
        let listed = Listed::read(text);
        assert!(listed.has("a.rs: replace < with <= in f"));
        assert!(!listed.has("b.rs: delete !") && !listed.has("c"));
        assert_eq!(listed.not_among(&["a.rs: replace < with <= in f".to_owned()]), [""; 0]);
        assert_eq!(listed.not_among(&[]), ["a.rs: replace < with <= in f"]);
    }
}
