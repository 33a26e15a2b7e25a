//! The digest of a JSON value, the same for equal values and for no others: every value with its type before it, texts
//! with their length, the fields of an object in the order of their names.
//!
//! Not the digest of a canonical text (RFC 8785): there all numbers are those of IEEE 754, so that two seeds beyond 2^53
//! would be one request and the second caller would get the first one's answer.

use serde_json::Value;
use steadfast_store::Fields;

pub(super) fn value(fields: &mut Fields, value: &Value) {
    match value {
        Value::Null => _ = fields.push(b"null"),
        Value::Bool(value) => _ = fields.push(if *value { b"true" } else { b"false" }),
        Value::Number(number) => _ = fields.push(b"number").push(number.to_string().as_bytes()),
        Value::String(text) => _ = fields.push(b"text").push(text.as_bytes()),
        Value::Array(elements) => {
            fields.push(b"list").push(&(elements.len() as u64).to_le_bytes());
            for element in elements {
                self::value(fields, element);
            }
        }
        Value::Object(members) => object(fields, members.iter()),
    }
}

pub(super) fn object<'a>(fields: &mut Fields, members: impl Iterator<Item = (&'a String, &'a Value)>) {
    // A map may keep the order in which it was filled.
    let mut members: Vec<_> = members.collect();
    members.sort_unstable_by_key(|(name, _)| *name);
    fields.push(b"object").push(&(members.len() as u64).to_le_bytes());
    for (name, member) in members {
        fields.push(name.as_bytes());
        value(fields, member);
    }
}
