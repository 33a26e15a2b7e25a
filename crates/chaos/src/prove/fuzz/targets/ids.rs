//! Ids, labels and keys: an id is its text, whatever that is, and no two calls of tools share a key.

use std::str::FromStr;

use steadfast_idempotency::{Effect, ToolCall};
use steadfast_store::limits::{ID_BYTES_MAX, KEY_BYTES_MAX};
use steadfast_store::{HolderId, InvalidId, Label, OperationKey, TaskId, WorkItemId};

use super::Met;
use super::input::Input;

/// Four lines: the tool and the key of a call, and those of another one. The first is an id of every kind as well.
pub fn ids(data: &[u8]) -> Met {
    let mut input = Input::new(data);
    let lines = [input.line(), input.line(), input.line(), input.rest()].map(String::from_utf8_lossy);
    let [tool, key, other_tool, other_key] = &lines;
    let is_id = check::<TaskId>(tool, ID_BYTES_MAX, TaskId::as_str);
    check::<WorkItemId>(tool, ID_BYTES_MAX, WorkItemId::as_str);
    check::<HolderId>(tool, ID_BYTES_MAX, HolderId::as_str);
    check::<Label>(tool, ID_BYTES_MAX, Label::as_str);
    check::<OperationKey>(tool, KEY_BYTES_MAX, OperationKey::as_str);
    check::<OperationKey>(key, KEY_BYTES_MAX, OperationKey::as_str);
    let keys = [call(tool, key), call(other_tool, other_key)];
    if let [Some(one), Some(other)] = &keys {
        assert_eq!(one == other, (tool, key) == (other_tool, other_key), "{lines:?} have {keys:?}");
    }
    Met::taken(is_id)
}

/// Whether the text is an id; it is one just when the rule says so, and then it is its text again.
fn check<T>(text: &str, limit: usize, shown: fn(&T) -> &str) -> bool
where
    T: FromStr<Err = InvalidId>,
{
    let is_one = !text.is_empty() && text.len() <= limit && !text.as_bytes().contains(&0);
    match text.parse::<T>() {
        Ok(id) => assert!(is_one && shown(&id) == text, "{text:?} was taken as {:?}", shown(&id)),
        Err(error) => assert!(!is_one, "{text:?} was refused: {error}"),
    }
    is_one
}

/// The key of a call. A key that is given to a tool always has a text in the store, unless it is empty.
fn call(tool: &str, key: &str) -> Option<OperationKey> {
    let call = ToolCall::new(Label::new(tool).ok()?, key, "", Effect::AtMostOnce);
    let made = call.operation_key();
    assert_eq!(made.is_ok(), !key.is_empty(), "{tool:?} and {key:?}: {made:?}");
    made.ok()
}
