//! Mapping of records to counts: where the name of a counter is, and where the amount. Pure.
//!
//! The outcome depends on nothing but the record and the mapping, so that everybody who counts a partition
//! comes to the same sums. Whatever changes the outcome for any record is part of the
//! [fingerprint](Mapping::fingerprint).

mod headers;
mod json;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use counter_protocol::CounterName;
use twox_hash::XxHash3_64;

use crate::record::Content;

pub use headers::{Annotations, MalformedHeader};

/// Version of what mappings do with records. It changes whenever any record might count differently.
const PARSER: u32 = 1;

/// Isolation level of the consumer: records of aborted transactions are not read.
pub(crate) const ISOLATION: &str = "read_committed";

/// Where records have the names and amounts that they count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Where the name of the counter is.
    pub name: NameSource,
    /// Where the amount is.
    pub amount: AmountSource,
}

/// Source of the name of a record's counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameSource {
    /// Its key, as bytes.
    Key,
    /// Its value, as bytes.
    Value,
    /// A string, an integer or a boolean in its value, which is JSON.
    Field(Pointer),
}

/// Source of a record's amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AmountSource {
    /// Nowhere: every record counts 1.
    One,
    /// Its value, as a decimal number.
    Value,
    /// An integer in its value, which is JSON.
    Field(Pointer),
}

/// Path to a field of a JSON document, by RFC 6901: `/user/id`. The empty one is the document itself, and refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer(Box<str>);

/// Contents of a record, borrowed from the consumer.
#[derive(Clone, Copy, Debug, Default)]
pub struct RawRecord<'a> {
    /// Key, if it has one.
    pub key: Option<&'a [u8]>,
    /// Value; `None` is what Kafka calls a tombstone.
    pub value: Option<&'a [u8]>,
}

/// Reason why a record cannot be counted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Uncountable {
    /// The name is the key, and there is none.
    #[error("no key")]
    NoKey,
    /// The value is needed, and is null.
    #[error("no value")]
    NoValue,
    /// A field is needed, and the value is not JSON.
    #[error("value that is not JSON: {0}")]
    InvalidJson(Box<str>),
    /// The value is JSON without the field.
    #[error("no field {0}")]
    NoField(Pointer),
    /// The field of the name is null, a fraction, a list or an object.
    #[error("field {0} is neither a string nor an integer nor a boolean")]
    NotAName(Pointer),
    /// The name is longer than counters may be called.
    #[error("name of {len_bytes} bytes, above the limit of {}", CounterName::MAX_BYTES)]
    NameTooLong {
        /// Length of the name.
        len_bytes: usize,
    },
    /// The amount is not an integer of 64 bits.
    #[error("amount that is not an integer of 64 bits")]
    NotAnAmount,
    /// A header of a producer is not as it should be.
    #[error(transparent)]
    Header(#[from] MalformedHeader),
}

impl Mapping {
    /// Returns what identifies the mapping in a column's identity: of it, its parser's version, and a generation, which
    /// an operator raises to count a topic anew.
    #[must_use]
    pub fn fingerprint(&self, generation: u32) -> u64 {
        let text = format!("parser={PARSER}\nisolation={ISOLATION}\ngeneration={generation}\n{self}");
        XxHash3_64::oneshot(text.as_bytes())
    }

    /// Returns what a record counts. Parts of it that the mapping does not mention may be anything, or missing.
    ///
    /// # Errors
    /// [`Uncountable`].
    pub fn content<'a>(
        &self,
        raw: RawRecord<'a>,
        annotations: Annotations,
    ) -> Result<Content<'a>, Uncountable> {
        let value = || raw.value.ok_or(Uncountable::NoValue);
        let (name, amount) = match (&self.name, &self.amount) {
            (NameSource::Field(_), _) | (_, AmountSource::Field(_)) => {
                let document = json::parse(value()?)?;
                (self.name(raw, Some(&document))?, self.amount(raw, Some(&document))?)
            }
            (NameSource::Key | NameSource::Value, AmountSource::One | AmountSource::Value) => {
                (self.name(raw, None)?, self.amount(raw, None)?)
            }
        };
        let Annotations { operations, stamp } = annotations;
        Ok(Content::Count { name, amount, operations, stamp })
    }

    fn name<'a>(
        &self,
        raw: RawRecord<'a>,
        document: Option<&serde_json::Value>,
    ) -> Result<Cow<'a, [u8]>, Uncountable> {
        let name: Cow<'a, [u8]> = match &self.name {
            NameSource::Key => raw.key.ok_or(Uncountable::NoKey)?.into(),
            NameSource::Value => raw.value.ok_or(Uncountable::NoValue)?.into(),
            NameSource::Field(pointer) => json::name(document, pointer)?.into(),
        };
        match CounterName::check_len(name.len()) {
            Ok(()) => Ok(name),
            Err(error) => Err(Uncountable::NameTooLong { len_bytes: error.len_bytes }),
        }
    }

    fn amount(&self, raw: RawRecord<'_>, document: Option<&serde_json::Value>) -> Result<i64, Uncountable> {
        match &self.amount {
            AmountSource::One => Ok(1),
            AmountSource::Value => {
                let value = raw.value.ok_or(Uncountable::NoValue)?;
                let number = str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                number.ok_or(Uncountable::NotAnAmount)
            }
            AmountSource::Field(pointer) => json::amount(document, pointer),
        }
    }
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "name={} amount={}", self.name, self.amount)
    }
}

impl fmt::Display for NameSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key => f.write_str("key"),
            Self::Value => f.write_str("value"),
            Self::Field(pointer) => pointer.fmt(f),
        }
    }
}

impl fmt::Display for AmountSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One => f.write_str("1"),
            Self::Value => f.write_str("value"),
            Self::Field(pointer) => pointer.fmt(f),
        }
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for NameSource {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "key" => Ok(Self::Key),
            "value" => Ok(Self::Value),
            _ => text
                .parse()
                .map(Self::Field)
                .map_err(|_: &str| "expected key, value, or a field such as /user/id"),
        }
    }
}

impl FromStr for AmountSource {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "1" => Ok(Self::One),
            "value" => Ok(Self::Value),
            _ => text
                .parse()
                .map(Self::Field)
                .map_err(|_: &str| "expected 1, value, or a field such as /bytes"),
        }
    }
}

impl FromStr for Pointer {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let escapes = text.split('~').skip(1).all(|behind| behind.starts_with(['0', '1']));
        if text.starts_with('/') && escapes {
            Ok(Self(text.into()))
        } else {
            Err("expected the path of a field, such as /user/id")
        }
    }
}

#[cfg(test)]
mod tests;
