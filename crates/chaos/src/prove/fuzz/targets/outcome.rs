//! The recorded outcome of a command: what is read is what was written, and nothing else is an outcome.

use steadfast_checkpoints::CommandOutcome;
use steadfast_store::Payload;

use super::Met;

/// Any bytes as the output of an operation that ran a command.
pub fn outcome(data: &[u8]) -> Met {
    let Ok(payload) = Payload::new(data.to_vec()) else { return Met::Refused };
    let read = CommandOutcome::from_payload(&payload);
    let by_serde = serde_json::from_slice::<CommandOutcome>(data);
    if let Ok(outcome) = &read {
        assert_eq!(by_serde.ok().as_ref(), Some(outcome), "serde reads another outcome");
        let written = match outcome.to_payload() {
            Ok(written) => written,
            Err(error) => panic!("an outcome that was read cannot be written: {error}"),
        };
        assert_eq!(CommandOutcome::from_payload(&written).as_ref(), Ok(outcome), "it changed on its way");
    } else {
        // Serde takes the fields of a struct as a list, too; the reader looks for a version by its name.
        let is_list = data.trim_ascii_start().first() == Some(&b'[');
        assert!(is_list || by_serde.is_err(), "serde takes what the reader refuses: {read:?}");
    }
    Met::taken(read.is_ok())
}
