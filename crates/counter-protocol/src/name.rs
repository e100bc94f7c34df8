use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// The name of a counter: bytes of any kind, cheap to clone, ordered bytewise.
///
/// `Display` shows it on one line of a terminal, whatever it holds: control characters and bytes that are not
/// UTF-8 are escaped. In readable formats such as JSON it is a string where it is UTF-8, else a list of bytes; in
/// binary formats it is bytes.
///
/// ```
/// use counter_protocol::CounterName;
///
/// assert_eq!(CounterName::from("página").to_string(), "página");
/// assert_eq!(CounterName::from(&b"a\x1b[2J\xff"[..]).to_string(), r"a\u{1b}[2J\xff");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CounterName(Arc<[u8]>);

impl CounterName {
    /// The name as it was given.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for CounterName {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl From<&str> for CounterName {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().into())
    }
}

impl From<String> for CounterName {
    fn from(text: String) -> Self {
        Self(text.into_bytes().into())
    }
}

/// Lets a map keyed by name be searched with bytes.
impl Borrow<[u8]> for CounterName {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for CounterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c.is_control() { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
            }
            write!(f, "{}", chunk.invalid().escape_ascii())?;
        }
        Ok(())
    }
}

impl fmt::Debug for CounterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl Serialize for CounterName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match str::from_utf8(&self.0) {
            Ok(text) if serializer.is_human_readable() => serializer.serialize_str(text),
            _ => serializer.serialize_bytes(&self.0),
        }
    }
}

impl<'de> Deserialize<'de> for CounterName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(NameVisitor)
        } else {
            deserializer.deserialize_bytes(NameVisitor)
        }
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = CounterName;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a counter's name: a string or bytes")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<CounterName, E> {
        Ok(text.into())
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<CounterName, E> {
        Ok(bytes.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<CounterName, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = seq.next_element()? {
            bytes.push(byte);
        }
        Ok(CounterName(bytes.into()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_name_survives_json(bytes: Vec<u8>) {
            let name = CounterName::from(&bytes[..]);
            let json = serde_json::to_string(&name).unwrap();
            prop_assert_eq!(serde_json::from_str::<CounterName>(&json).unwrap(), name);
        }

        #[test]
        fn what_is_displayed_holds_no_control_characters(bytes: Vec<u8>) {
            prop_assert!(!CounterName::from(&bytes[..]).to_string().contains(char::is_control));
        }
    }

    #[test]
    fn a_text_name_is_a_json_string_and_other_bytes_are_a_list() {
        assert_eq!(serde_json::to_string(&CounterName::from("a\tb")).unwrap(), r#""a\tb""#);
        assert_eq!(serde_json::to_string(&CounterName::from(&[0xff, 1][..])).unwrap(), "[255,1]");
    }
}
