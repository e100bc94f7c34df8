//! Names and amounts in JSON.

use serde_json::Value;

use super::{Pointer, Uncountable};

/// Parses a document. Of fields that are there twice, the last one counts.
pub(super) fn parse(value: &[u8]) -> Result<Value, Uncountable> {
    serde_json::from_slice(value).map_err(|error| Uncountable::InvalidJson(error.to_string().into()))
}

/// Returns a name: a string as it is, an integer in decimal, or a boolean as `true` or `false`. A fraction is none,
/// because the same number can be written in several ways.
pub(super) fn name(document: Option<&Value>, pointer: &Pointer) -> Result<Vec<u8>, Uncountable> {
    let text = match field(document, pointer)? {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_i64() || number.is_u64() => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            return Err(Uncountable::NotAName(pointer.clone()));
        }
    };
    Ok(text.into_bytes())
}

/// Returns an amount: an integer, not a string that looks like one.
pub(super) fn amount(document: Option<&Value>, pointer: &Pointer) -> Result<i64, Uncountable> {
    field(document, pointer)?.as_i64().ok_or(Uncountable::NotAnAmount)
}

fn field<'a>(document: Option<&'a Value>, pointer: &Pointer) -> Result<&'a Value, Uncountable> {
    let field = document.and_then(|document| document.pointer(&pointer.0));
    field.ok_or_else(|| Uncountable::NoField(pointer.clone()))
}
