//! What a model said, as it is kept: a short header, then the bytes as they came.

use bytes::{BufMut, Bytes, BytesMut};

/// Version, flags, three counts.
const HEADER_BYTES: usize = 2 + 3 * 8;
const VERSION: u8 = 1;
const IS_COMPLETE: u8 = 1;

/// What a model said.
///
/// ```
/// use steadfast_idempotency::LlmAnswer;
///
/// let answer = LlmAnswer { input_tokens: 12, output_tokens: 40, cost_micros: 150, ..LlmAnswer::new("Because.") };
/// assert!(answer.is_complete);
/// // One that was cut at a limit is handed to its caller, and not kept for others.
/// let cut = LlmAnswer { is_complete: false, ..answer };
/// assert_eq!(cut.body, "Because.");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LlmAnswer {
    /// The bytes, as the model gave them.
    pub body: Bytes,
    /// Tokens that it read.
    pub input_tokens: u64,
    /// Tokens that it wrote.
    pub output_tokens: u64,
    /// What it cost, in millionths of the caller's currency.
    pub cost_micros: u64,
    /// Whether it said all that it had to say: neither cut at a limit nor broken off. One that is not is not kept,
    /// unless the options say so.
    pub is_complete: bool,
}

impl LlmAnswer {
    /// A complete answer, without counts.
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), input_tokens: 0, output_tokens: 0, cost_micros: 0, is_complete: true }
    }

    pub(super) fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(HEADER_BYTES + self.body.len());
        bytes.put_u8(VERSION);
        bytes.put_u8(if self.is_complete { IS_COMPLETE } else { 0 });
        for count in [self.input_tokens, self.output_tokens, self.cost_micros] {
            bytes.put_u64_le(count);
        }
        bytes.put_slice(&self.body);
        bytes.freeze()
    }

    pub(super) fn decode(bytes: &Bytes) -> Option<Self> {
        let (header, _) = bytes.split_at_checked(HEADER_BYTES)?;
        let [VERSION, flags @ (0 | IS_COMPLETE), counts @ ..] = header else { return None };
        let (counts, []) = counts.as_chunks::<8>() else { return None };
        let [input_tokens, output_tokens, cost_micros] = counts else { return None };
        Some(Self {
            body: bytes.slice(HEADER_BYTES..),
            input_tokens: u64::from_le_bytes(*input_tokens),
            output_tokens: u64::from_le_bytes(*output_tokens),
            cost_micros: u64::from_le_bytes(*cost_micros),
            is_complete: *flags == IS_COMPLETE,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_back_as_it_was_and_nothing_else_is_one() {
        let answer = LlmAnswer {
            body: Bytes::from_static(b"nul \0 and \xff"),
            input_tokens: 1,
            output_tokens: u64::MAX,
            cost_micros: 3,
            is_complete: false,
        };
        let bytes = answer.encode();
        assert_eq!(LlmAnswer::decode(&bytes), Some(answer));
        assert_eq!(LlmAnswer::decode(&bytes.slice(..HEADER_BYTES - 1)), None);
        for (at, byte) in [(0, 2), (1, 2)] {
            let mut other = bytes.to_vec();
            other[at] = byte;
            assert_eq!(LlmAnswer::decode(&other.into()), None);
        }
    }
}
