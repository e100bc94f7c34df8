//! Integers in JSON. Pure.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// Magnitude from which on floats no longer represent every integer.
const EXACT_FLOATS: f64 = 9_007_199_254_740_992.0;

/// Integer of 64 bits. In JSON, `5.0` is the same number as `5`, and some clients write it so; it is accepted where
/// nothing has been rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Integer(pub(super) i64);

/// Deserializes a field that may be absent, but not `null`.
pub(super) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Integer>, D::Error> {
    Integer::deserialize(deserializer).map(Some)
}

impl<'de> Deserialize<'de> for Integer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_i64(IntegerVisitor)
    }
}

struct IntegerVisitor;

impl Visitor<'_> for IntegerVisitor {
    type Value = Integer;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer of 64 bits")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Integer, E> {
        Ok(Integer(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Integer, E> {
        value.try_into().map(Integer).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(value), &self))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Integer, E> {
        if value.fract() == 0.0 && value.abs() < EXACT_FLOATS {
            #[expect(clippy::cast_possible_truncation, reason = "it has just been checked")]
            return Ok(Integer(value as i64));
        }
        Err(E::invalid_value(de::Unexpected::Float(value), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_integers_however_they_are_written() {
        let parse = |text| serde_json::from_str::<Integer>(text).ok().map(|Integer(value)| value);
        for (text, value) in [("5", 5), ("-5.0", -5), ("1e3", 1000), ("-9223372036854775808", i64::MIN)] {
            assert_eq!(parse(text), Some(value), "{text}");
        }
        for text in ["0.5", "9007199254740993.0", "9223372036854775808", "1e300", "null", "\"5\"", "true"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
