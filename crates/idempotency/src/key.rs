//! From tool and caller's key to the text of an operation's key: readable where it can be, a digest where it must.

use steadfast_store::limits::KEY_BYTES_MAX;
use steadfast_store::{Digest, OperationKey};

use crate::call::ToolCall;
use crate::error::LedgerError;

/// What every key of this ledger begins with.
const PREFIX: &str = "tool-ledger:";
/// What stands in place of a caller's key that cannot stand there itself.
const DIGESTED: &str = "#blake3:";

impl ToolCall {
    /// The key under which the store keeps the call, `tool-ledger:TOOL:KEY`: for evidence that cites it, and for people
    /// who look. No two pairs of tool and key give the same text: the marks of this form are escaped in
    /// the tool, and a caller's key that is too long, holds a NUL, or looks like a digest is replaced by one.
    ///
    /// # Errors
    /// [`LedgerError::EmptyKey`].
    pub fn operation_key(&self) -> Result<OperationKey, LedgerError> {
        if self.key.is_empty() {
            return Err(LedgerError::EmptyKey { tool: self.tool.clone() });
        }
        let tool = escaped(self.tool.as_str());
        if !self.key.starts_with(DIGESTED)
            && let Ok(key) = OperationKey::new(format!("{PREFIX}{tool}:{}", self.key))
        {
            return Ok(key);
        }
        let digest = Digest::fields("steadfast tool key 1")
            .push(self.tool.as_str().as_bytes())
            .push(self.key.as_bytes())
            .finish();
        let named = format!("{PREFIX}{tool}:{DIGESTED}{digest}");
        let text = if named.len() <= KEY_BYTES_MAX { named } else { format!("{PREFIX}{DIGESTED}{digest}") };
        // Only the tool's own characters are left that could be refused, and its label has none of them.
        OperationKey::new(text).map_err(LedgerError::InvalidKey)
    }
}

/// Without the characters that have a meaning in a key.
pub(crate) fn escaped(tool: &str) -> String {
    let mut escaped = String::with_capacity(tool.len());
    for character in tool.chars() {
        match character {
            '%' => escaped.push_str("%25"),
            ':' => escaped.push_str("%3A"),
            '#' => escaped.push_str("%23"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use steadfast_store::Label;
    use steadfast_store::limits::ID_BYTES_MAX;

    use super::*;
    use crate::call::Effect;

    fn key(tool: &str, key: &str) -> String {
        let call = ToolCall::new(Label::new(tool).unwrap(), key, "", Effect::Idempotent);
        call.operation_key().unwrap().as_str().to_owned()
    }

    #[test]
    fn a_short_key_reads_as_it_was_given() {
        assert_eq!(key("send-mail", "report/1:a"), "tool-ledger:send-mail:report/1:a");
    }

    #[test]
    fn a_key_of_any_length_and_content_fits() {
        let longest = "x".repeat(KEY_BYTES_MAX - "tool-ledger:t:".len());
        assert_eq!(key("t", &longest), format!("tool-ledger:t:{longest}"));
        for odd in [format!("{longest}x"), "nul\0".to_owned(), "#blake3:".to_owned(), "y".repeat(1_000_000)] {
            let key = key("t", &odd);
            assert!(key.starts_with("tool-ledger:t:#blake3:") && key.len() < 120, "{key}");
        }
        let widest = ":".repeat(ID_BYTES_MAX);
        assert!(key(&widest, &longest).starts_with("tool-ledger:#blake3:"));
    }

    #[test]
    fn no_two_calls_share_a_key() {
        let digest_of_long = key("t", &"x".repeat(1_000));
        let lookalike = digest_of_long.strip_prefix("tool-ledger:t:").unwrap();
        let widest = (":".repeat(ID_BYTES_MAX), "k".repeat(400));
        let digest_of_wide = key(&widest.0, &widest.1);
        let wide_lookalike = digest_of_wide.strip_prefix("tool-ledger:#blake3:").unwrap();
        let pairs = [
            ("a", "b:c"),
            ("a:b", "c"),
            ("a%3Ab", "c"),
            ("a", "b%3Ac"),
            ("t", &"x".repeat(1_000)),
            ("t", lookalike),
            ("u", &"x".repeat(1_000)),
            (&widest.0, &widest.1),
            ("#blake3", wide_lookalike),
        ];
        for (index, (tool, text)) in pairs.iter().enumerate() {
            for (other_tool, other) in &pairs[..index] {
                assert_ne!(key(tool, text), key(other_tool, other), "{tool} {text} / {other_tool} {other}");
            }
        }
    }

    #[test]
    fn an_empty_key_names_no_call() {
        let call = ToolCall::new(Label::new("t").unwrap(), "", "", Effect::Idempotent);
        assert!(matches!(call.operation_key(), Err(LedgerError::EmptyKey { .. })));
    }
}
