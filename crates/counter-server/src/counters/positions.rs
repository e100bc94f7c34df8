//! Positions in the log of a topic. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::digits;

/// Offsets behind records, by partition: as a text, such as `3:18,5:7`. Whoever has counted the partitions up to there
/// has counted the records.
///
/// ```
/// use counter_server::Positions;
///
/// let positions: Positions = "5:7,3:18,3:11".parse()?;
/// assert_eq!(positions.to_string(), "3:18,5:7");
/// # Ok::<_, counter_server::InvalidPositions>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions(BTreeMap<u32, u64>);

/// Error of a text that is no list of positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid positions; they are PARTITION:OFFSET, separated by commas")]
pub struct InvalidPositions;

impl Positions {
    /// Notes a position, unless a later one of its partition is known.
    pub fn note(&mut self, partition: u32, offset: u64) {
        let known = self.0.entry(partition).or_default();
        *known = offset.max(*known);
    }

    /// Notes all positions of another list.
    pub fn merge(&mut self, other: &Self) {
        other.iter().for_each(|(partition, offset)| self.note(partition, offset));
    }

    /// Returns partitions and offsets.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u64)> {
        self.0.iter().map(|(partition, offset)| (*partition, *offset))
    }

    /// Returns true if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(u32, u64)> for Positions {
    fn from_iter<I: IntoIterator<Item = (u32, u64)>>(positions: I) -> Self {
        let mut all = Self::default();
        positions.into_iter().for_each(|(partition, offset)| all.note(partition, offset));
        all
    }
}

impl fmt::Display for Positions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (partition, offset)) in self.iter().enumerate() {
            let separator = if number == 0 { "" } else { "," };
            write!(f, "{separator}{partition}:{offset}")?;
        }
        Ok(())
    }
}

impl FromStr for Positions {
    type Err = InvalidPositions;

    fn from_str(text: &str) -> Result<Self, InvalidPositions> {
        let position = |text: &str| {
            let (partition, offset) = text.split_once(':').ok_or(InvalidPositions)?;
            let partition = digits::number(partition.as_bytes()).ok_or(InvalidPositions)?;
            Ok((partition, digits::number(offset.as_bytes()).ok_or(InvalidPositions)?))
        };
        text.split(',').map(position).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_as_they_are_written_and_nothing_else_is() {
        let positions = Positions::from_iter([(3, 18), (5, 7), (3, 9)]);
        assert_eq!(positions.to_string().parse(), Ok(positions));
        for wrong in ["", "3", "3:", ":3", "3:+1", "-3:1", "3:1,", "3:1 ,5:7", "4294967296:1"] {
            assert_eq!(wrong.parse::<Positions>(), Err(InvalidPositions), "{wrong}");
        }
    }
}
