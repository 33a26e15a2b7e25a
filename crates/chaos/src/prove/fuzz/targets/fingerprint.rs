//! The key of a model request: equal requests share it, and any difference that is not declared ignorable gives another.

use serde_json::{Map, Value};
use steadfast_idempotency::{LlmCacheOptions, LlmRequest};

use super::Met;
use super::answer::key_of;
use super::input::Input;

/// Two requests, each of three lines: tenant, model, body as JSON; the body of the second is all that is left. Where
/// that is no JSON, the second is the first with one leaf changed.
pub fn fingerprint(data: &[u8]) -> Met {
    let mut input = Input::new(data);
    let switches = input.byte();
    let mut head = || {
        let (tenant, model) = (input.line(), input.line());
        (String::from_utf8_lossy(tenant).into_owned(), String::from_utf8_lossy(model).into_owned())
    };
    let (tenant, model) = head();
    let (other_tenant, other_model) = head();
    let Ok(body) = serde_json::from_slice::<Value>(input.line()) else { return Met::Refused };
    let place = usize::from(switches >> 4);
    let other_body = serde_json::from_slice::<Value>(input.rest()).unwrap_or_else(|_| changed(&body, place));
    let tenant_of = |tenant: &str, has_one: bool| has_one.then(|| tenant.to_owned());
    let one = LlmRequest { tenant: tenant_of(&tenant, switches & 1 != 0), ..LlmRequest::new(model, body) };
    let other = LlmRequest {
        tenant: tenant_of(&other_tenant, switches & 2 != 0),
        ..LlmRequest::new(other_model, other_body)
    };
    let ignored_fields =
        if switches & 4 == 0 { Vec::new() } else { vec!["user".to_owned(), "id".to_owned()] };
    let options = LlmCacheOptions { ignored_fields, ..LlmCacheOptions::default() };

    let key = key_of(&one, options.clone());
    let turned = LlmRequest { body: turned(&one.body), ..one.clone() };
    assert_eq!(key_of(&turned, options.clone()), key, "the order of fields counts: {one:?}");
    let is_same = canonical(&one, &options) == canonical(&other, &options);
    let other_key = key_of(&other, options);
    assert_eq!(key == other_key, is_same, "{one:?} has {key}, {other:?} has {other_key}");
    Met::Taken
}

/// The request as one text, by serde alone: fields sorted, ignored ones left out, numbers in their own form.
fn canonical(request: &LlmRequest, options: &LlmCacheOptions) -> String {
    let mut body = request.body.clone();
    if let Value::Object(fields) = &mut body {
        fields.retain(|name, _| !options.ignored_fields.contains(name));
    }
    body.sort_all_objects();
    // Whether fields are ignored at all counts where there can be fields.
    serde_json::json!([request.tenant, request.model, body]).to_string()
}

/// The same value, with the fields of every object put in from the last to the first.
fn turned(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().rev().map(|(name, value)| (name.clone(), turned(value)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Value::Array(values) => values.iter().map(turned).collect(),
        other => other.clone(),
    }
}

/// Another value: one leaf, chosen by `place`, is of another kind or says something else.
fn changed(value: &Value, place: usize) -> Value {
    match value {
        Value::Null => Value::from("null"),
        Value::Bool(value) => Value::from(!value),
        Value::Number(number) => Value::from(number.to_string()),
        Value::String(text) => Value::from(format!("{text} ")),
        Value::Array(values) if values.is_empty() => Value::Object(Map::new()),
        Value::Array(values) => {
            let at = place % values.len();
            let change = |(index, value)| if index == at { changed(value, place / 2) } else { value.clone() };
            values.iter().enumerate().map(change).collect()
        }
        Value::Object(fields) if fields.is_empty() => Value::Null,
        Value::Object(fields) => {
            let at = place % fields.len();
            let change = |(index, (name, value)): (usize, (&String, &Value))| {
                (name.clone(), if index == at { changed(value, place / 2) } else { value.clone() })
            };
            Value::Object(fields.iter().enumerate().map(change).collect())
        }
    }
}
