//! Digests as texts: 64 hexadecimal digits and nothing else, in evidence too.

use steadfast_checkpoints::{EvidencePack, FileDigest, Piece, Sha256Digest};
use steadfast_store::Payload;

use super::Met;

/// Any text as a digest: of SHA-256, and as both algorithms of a file in evidence.
pub fn digests(data: &[u8]) -> Met {
    let Ok(text) = std::str::from_utf8(data) else { return Met::Refused };
    let is_one = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let read = Sha256Digest::from_hex(text);
    assert_eq!(read.is_some(), is_one, "{text:?} is read as {read:?}");
    if let Some(digest) = read {
        assert_eq!(digest.to_string(), text.to_ascii_lowercase());
        assert_eq!(Sha256Digest::from_bytes(*digest.as_bytes()), digest);
    }
    for (version, algorithm) in [(1, "blake3"), (2, "blake3"), (2, "sha256")] {
        let quoted = serde_json::Value::from(text);
        let piece = format!(r#"{{"file_hash":{{"path":"a","{algorithm}":{quoted}}}}}"#);
        let pack = format!(r#"{{"version":{version},"rule":"all","pieces":[{piece}]}}"#);
        let Ok(payload) = Payload::new(pack) else { return Met::Refused };
        let found = EvidencePack::from_payload(&payload);
        assert_eq!(found.is_ok(), is_one, "as {algorithm} {text:?} is read as {found:?}");
        let Ok(found) = found else { continue };
        let [Piece::FileHash(file)] = found.pieces() else { panic!("another piece: {found:?}") };
        let shown = match file.digest() {
            FileDigest::Blake3(digest) => digest.to_string(),
            FileDigest::Sha256(digest) => digest.to_string(),
            other => panic!("an algorithm that nobody named: {other:?}"),
        };
        assert_eq!(shown, text.to_ascii_lowercase());
    }
    Met::taken(is_one)
}
