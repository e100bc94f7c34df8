//! Headers by which a producer says which of its records one is, and how many operations it stands for.
//!
//! They are text, so that a producer in any language can write them.

use crate::record::Stamp;

/// Id of the producer: 32 hexadecimal digits.
const PRODUCER: &str = "counter-producer";
/// Number of the record among those of the producer for the partition, in decimal.
const SEQUENCE: &str = "counter-sequence";
/// End offset of the partition that the producer knew at its first attempt, in decimal.
const BASE: &str = "counter-base";
/// Number of operations that the record stands for, in decimal.
const OPERATIONS: &str = "counter-operations";

/// Contents of a record's headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Annotations {
    /// Number of operations: 1 unless the record says otherwise.
    pub operations: u64,
    /// Identifies the record, if its producer numbers its records.
    pub stamp: Option<Stamp>,
}

/// Header of a producer that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedHeader {
    /// Its value has another form.
    #[error("header {0} with an unusable value")]
    Value(&'static str),
    /// It is there more than once.
    #[error("header {0} more than once")]
    Repeated(&'static str),
    /// Of producer, sequence and base, some are there and others are not.
    #[error("headers {PRODUCER}, {SEQUENCE} and {BASE} incomplete")]
    Incomplete,
}

impl Default for Annotations {
    fn default() -> Self {
        Self { operations: 1, stamp: None }
    }
}

impl Annotations {
    /// Reads the headers of a record. Those with other names are ignored.
    ///
    /// # Errors
    /// [`MalformedHeader`].
    pub fn read<'a>(
        headers: impl Iterator<Item = (&'a str, Option<&'a [u8]>)>,
    ) -> Result<Self, MalformedHeader> {
        let (mut producer, mut sequence, mut base, mut operations) = (None, None, None, None);
        for (name, value) in headers {
            match name {
                PRODUCER => set(&mut producer, PRODUCER, value.and_then(id))?,
                SEQUENCE => set(&mut sequence, SEQUENCE, value.and_then(decimal))?,
                BASE => set(&mut base, BASE, value.and_then(decimal))?,
                OPERATIONS => {
                    let number =
                        value.and_then(decimal).filter(|number| (1..=MAX_OPERATIONS).contains(number));
                    set(&mut operations, OPERATIONS, number)?;
                }
                _ => {}
            }
        }
        let stamp = match (producer, sequence, base) {
            (Some(producer), Some(sequence), Some(base)) => Some(Stamp { producer, sequence, base }),
            (None, None, None) => None,
            _ => return Err(MalformedHeader::Incomplete),
        };
        Ok(Self { operations: operations.unwrap_or(1), stamp })
    }

    /// Returns the headers that say the same.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![(OPERATIONS, self.operations.to_string())];
        if let Some(Stamp { producer, sequence, base }) = self.stamp {
            headers.push((PRODUCER, producer.iter().map(|byte| format!("{byte:02x}")).collect()));
            headers.push((SEQUENCE, sequence.to_string()));
            headers.push((BASE, base.to_string()));
        }
        headers
    }
}

/// Maximum number of operations of a record: sums of a partition's records then stay far below 128 bits.
const MAX_OPERATIONS: u64 = i64::MAX.unsigned_abs();

fn set<T>(slot: &mut Option<T>, name: &'static str, value: Option<T>) -> Result<(), MalformedHeader> {
    let value = value.ok_or(MalformedHeader::Value(name))?;
    if slot.replace(value).is_some() { Err(MalformedHeader::Repeated(name)) } else { Ok(()) }
}

fn decimal(text: &[u8]) -> Option<u64> {
    let is_decimal = text.iter().all(u8::is_ascii_digit);
    is_decimal.then(|| str::from_utf8(text).ok()?.parse().ok()).flatten()
}

fn id(text: &[u8]) -> Option<[u8; 16]> {
    let is_hexadecimal = text.len() == 32 && text.iter().all(u8::is_ascii_hexdigit);
    let number = u128::from_str_radix(str::from_utf8(text).ok()?, 16).ok()?;
    is_hexadecimal.then(|| number.to_be_bytes())
}
