use std::borrow::Borrow;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// Name of a counter: up to [`MAX_BYTES`](Self::MAX_BYTES) bytes of any kind, cheap to clone, ordered bytewise.
///
/// A longer name cannot be constructed or deserialized, so whatever takes a `CounterName` need not check it again.
///
/// `Display` shows it on one line of a terminal, whatever it holds: control characters and bytes that are not
/// UTF-8 are escaped. In readable formats such as JSON it is a string where it is UTF-8, else a list of bytes; in
/// binary formats it is bytes.
///
/// ```
/// use counter_protocol::CounterName;
///
/// assert_eq!(CounterName::from_static("página").to_string(), "página");
/// let name = CounterName::try_from(&b"a\x1b[2J\xff"[..])?;
/// assert_eq!(name.to_string(), r"a\u{1b}[2J\xff");
/// # Ok::<_, counter_protocol::NameTooLong>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CounterName(Arc<[u8]>);

/// Error of a name that is longer than [`CounterName::MAX_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("counter name of {len_bytes} bytes, above the limit of {}", CounterName::MAX_BYTES)]
pub struct NameTooLong {
    /// Length of the name.
    pub len_bytes: usize,
}

impl CounterName {
    /// Maximum length of a name, in bytes.
    pub const MAX_BYTES: usize = 64 * 1024;

    /// Creates a name from text or bytes. Functions that take a name as any of these can start with this call.
    ///
    /// # Errors
    /// [`NameTooLong`] above [`MAX_BYTES`](Self::MAX_BYTES).
    pub fn new(name: impl TryInto<Self, Error: Into<NameTooLong>>) -> Result<Self, NameTooLong> {
        name.try_into().map_err(Into::into)
    }

    /// Creates a name from a literal in the source code.
    ///
    /// # Panics
    /// If it is longer than [`MAX_BYTES`](Self::MAX_BYTES).
    #[must_use]
    pub fn from_static(text: &'static str) -> Self {
        Self::new(text).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Returns the bytes of the name.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Checks a length, for names that are not copied.
    ///
    /// # Errors
    /// [`NameTooLong`] above [`MAX_BYTES`](Self::MAX_BYTES).
    #[inline]
    pub const fn check_len(len_bytes: usize) -> Result<(), NameTooLong> {
        if len_bytes > Self::MAX_BYTES { Err(NameTooLong { len_bytes }) } else { Ok(()) }
    }
}

impl TryFrom<&[u8]> for CounterName {
    type Error = NameTooLong;

    fn try_from(bytes: &[u8]) -> Result<Self, NameTooLong> {
        Self::check_len(bytes.len())?;
        Ok(Self(bytes.into()))
    }
}

impl TryFrom<&str> for CounterName {
    type Error = NameTooLong;

    fn try_from(text: &str) -> Result<Self, NameTooLong> {
        text.as_bytes().try_into()
    }
}

impl TryFrom<Vec<u8>> for CounterName {
    type Error = NameTooLong;

    fn try_from(bytes: Vec<u8>) -> Result<Self, NameTooLong> {
        bytes.as_slice().try_into()
    }
}

impl TryFrom<String> for CounterName {
    type Error = NameTooLong;

    fn try_from(text: String) -> Result<Self, NameTooLong> {
        text.as_bytes().try_into()
    }
}

/// Lets `impl TryInto<CounterName, Error: Into<NameTooLong>>` take a [`CounterName`] as well.
impl From<Infallible> for NameTooLong {
    fn from(never: Infallible) -> Self {
        match never {}
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
        write!(f, "a counter's name: a string or at most {} bytes", CounterName::MAX_BYTES)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<CounterName, E> {
        text.try_into().map_err(E::custom)
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<CounterName, E> {
        bytes.try_into().map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<CounterName, A::Error> {
        let (mut bytes, mut len_bytes) = (Vec::new(), 0);
        while let Some(byte) = seq.next_element()? {
            len_bytes += 1;
            if len_bytes <= CounterName::MAX_BYTES {
                bytes.push(byte);
            }
        }
        CounterName::check_len(len_bytes).map_err(de::Error::custom)?;
        Ok(CounterName(bytes.into()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::value::{BytesDeserializer, Error};

    use super::*;

    proptest! {
        #[test]
        fn any_name_survives_json(bytes: Vec<u8>) {
            let name = CounterName::try_from(bytes).unwrap();
            let json = serde_json::to_string(&name).unwrap();
            prop_assert_eq!(serde_json::from_str::<CounterName>(&json).unwrap(), name);
        }

        #[test]
        fn what_is_displayed_holds_no_control_characters(bytes: Vec<u8>) {
            prop_assert!(!CounterName::try_from(bytes).unwrap().to_string().contains(char::is_control));
        }
    }

    #[test]
    fn a_text_name_is_a_json_string_and_other_bytes_are_a_list() {
        assert_eq!(serde_json::to_string(&CounterName::from_static("a\tb")).unwrap(), r#""a\tb""#);
        let bytes = CounterName::try_from(&[0xff, 1][..]).unwrap();
        assert_eq!(serde_json::to_string(&bytes).unwrap(), "[255,1]");
    }

    #[test]
    fn a_name_above_the_limit_is_refused_from_every_source() {
        let longest = "x".repeat(CounterName::MAX_BYTES);
        let too_long = format!("{longest}x");
        let refused = NameTooLong { len_bytes: CounterName::MAX_BYTES + 1 };
        assert!(CounterName::try_from(&longest[..]).is_ok());
        assert_eq!(CounterName::try_from(&too_long[..]), Err(refused));
        assert_eq!(CounterName::try_from(too_long.as_bytes()), Err(refused));
        assert_eq!(CounterName::try_from(too_long.clone()), Err(refused));
        assert_eq!(CounterName::try_from(too_long.into_bytes()), Err(refused));
        assert_eq!(refused.to_string(), "counter name of 65537 bytes, above the limit of 65536");
    }

    #[test]
    fn a_name_above_the_limit_is_not_deserialized() {
        let bytes = [0xff; CounterName::MAX_BYTES + 1];
        for (len, fits) in [(CounterName::MAX_BYTES, true), (CounterName::MAX_BYTES + 1, false)] {
            let text = serde_json::to_string(&"x".repeat(len)).unwrap();
            let list = serde_json::to_string(&bytes[..len]).unwrap();
            for json in [text, list] {
                assert_eq!(serde_json::from_str::<CounterName>(&json).is_ok(), fits);
            }
            let binary: Result<CounterName, Error> =
                Deserialize::deserialize(BytesDeserializer::new(&bytes[..len]));
            assert_eq!(binary.is_ok(), fits);
        }
    }
}
