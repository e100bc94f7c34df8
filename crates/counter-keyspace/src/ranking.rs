use counter_protocol::Count;
use rayon::prelude::*;

use crate::key::Key;
use crate::name_map::NameMap;
use crate::table::{SEGMENTS, Table};

/// Order of a [`Ranking`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The largest value first, equal ones by name.
    Value,
    /// By name, byte by byte.
    Name,
}

/// All counters of some tables in order, without copies of their names: 16 bytes each beside the tables.
///
/// Sorting uses all cores. It compares numbers that stand beside the places of the counters, and reads the tables only
/// to replace the numbers: first by the values, then, wherever those are equal, by the next eight bytes of the names.
#[derive(Debug)]
pub struct Ranking<'a> {
    tables: &'a [Table],
    entries: Vec<Entry>,
}

/// Place of a counter, with the number that it is sorted by.
#[derive(Clone, Copy, Debug)]
struct Entry {
    digit: u64,
    /// Index of the segment among those of all tables.
    segment: u32,
    index: u32,
}

/// Some counters in order, to be read by one thread.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    tables: &'a [Table],
    rows: Rows<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Rows<'a> {
    Ranked(&'a [Entry]),
    /// Part of a segment.
    Segment {
        segment: u32,
        begun: u32,
        end: u32,
    },
}

/// Number of bytes of a name in a digit.
const DIGIT_BYTES: usize = size_of::<u64>();

/// Number of digits of a name after which whole names are compared.
const NAME_DIGITS: usize = 8;

/// Number of counters up to which comparing whole names is faster than another digit.
const FEW: usize = 24;

/// Number of counters that are prefetched at once.
const PREFETCH: usize = 32;

impl<'a> Ranking<'a> {
    /// Sorts the counters of all tables.
    ///
    /// # Panics
    /// With 2²⁷ tables or more.
    #[must_use]
    pub fn new(tables: &'a [Table], order: Order) -> Self {
        let mut entries = Vec::with_capacity(tables.iter().map(Table::len).sum());
        for (first, table) in (0..).step_by(SEGMENTS as usize).zip(tables) {
            entries.extend(table.indexed().map(|((segment, index), key, count)| {
                let digit = match order {
                    // Larger values come first.
                    Order::Value => !(count.value.cast_unsigned() ^ (1 << 63)),
                    Order::Name => name_digit(key, 0),
                };
                Entry { digit, segment: first + segment, index }
            }));
        }
        let next = match order {
            Order::Value => 0,
            Order::Name => 1,
        };
        sort(tables, &mut entries, next);
        Self { tables, entries }
    }

    /// Returns the counters in order.
    pub fn iter(&self) -> impl Iterator<Item = (Key<'_>, Count)> {
        self.entries.iter().filter_map(|entry| counter(self.tables, entry))
    }

    /// Returns the counters in order, in blocks of at most `rows`.
    ///
    /// # Panics
    /// If `rows` is 0.
    pub fn blocks(&self, rows: usize) -> impl Iterator<Item = Block<'_>> {
        self.entries.chunks(rows).map(|entries| Block { tables: self.tables, rows: Rows::Ranked(entries) })
    }
}

impl<'a> Block<'a> {
    /// Returns all counters of some tables in arbitrary order, in blocks of at most `rows`.
    ///
    /// # Panics
    /// If `rows` is 0, and with 2²⁷ tables or more.
    pub fn unsorted(tables: &'a [Table], rows: u32) -> impl Iterator<Item = Self> {
        let number = u32::try_from(tables.len()).expect("there are fewer than 2^27 tables");
        (0..number * SEGMENTS).flat_map(move |segment| {
            let end = map(tables, segment).indices().end;
            (0..end).step_by(rows as usize).map(move |begun| {
                let end = end.min(begun.saturating_add(rows));
                Self { tables, rows: Rows::Segment { segment, begun, end } }
            })
        })
    }

    /// Passes each counter to `show`.
    ///
    /// # Errors
    /// Those of `show`, at the first of which it stops.
    pub fn try_for_each<E>(&self, mut show: impl FnMut(Key<'a>, Count) -> Result<(), E>) -> Result<(), E> {
        let Self { tables, rows } = *self;
        match rows {
            Rows::Segment { segment, begun, end } => (begun..end)
                .filter_map(|index| {
                    tables[(segment / SEGMENTS) as usize].live_at((segment % SEGMENTS, index))
                })
                .try_for_each(|(key, count)| show(key, count)),
            Rows::Ranked(entries) => entries.chunks(PREFETCH).try_for_each(|some| {
                for &Entry { segment, index, .. } in some {
                    map(tables, segment).prefetch(index);
                }
                some.iter()
                    .filter_map(|entry| counter(tables, entry))
                    .try_for_each(|(key, count)| show(key, count))
            }),
        }
    }
}

/// Sorts entries that have their digits, and those of equal digits by their names from the `next` digit on.
fn sort(tables: &[Table], entries: &mut [Entry], next: usize) {
    entries.par_sort_unstable_by_key(|entry| entry.digit);
    entries.par_chunk_by_mut(|a, b| a.digit == b.digit).filter(|equal| equal.len() > 1).for_each(|equal| {
        if equal.len() <= FEW || next == NAME_DIGITS {
            equal.par_sort_unstable_by(|a, b| key(tables, a).cmp(&key(tables, b)));
        } else {
            equal.par_iter_mut().for_each(|entry| {
                entry.digit = key(tables, entry).map_or(0, |key| name_digit(key, next));
            });
            sort(tables, equal, next + 1);
        }
    });
}

/// Returns eight bytes of a name as a number, which is not larger than that of a name behind it.
fn name_digit(key: Key<'_>, n: usize) -> u64 {
    if let Some(&digit) = key.prefix().get(n) {
        return digit;
    }
    let rest = key.name().get(n * DIGIT_BYTES..).unwrap_or_default();
    let mut bytes = [0; DIGIT_BYTES];
    let len = rest.len().min(DIGIT_BYTES);
    bytes[..len].copy_from_slice(&rest[..len]);
    u64::from_be_bytes(bytes)
}

fn key<'a>(tables: &'a [Table], entry: &Entry) -> Option<Key<'a>> {
    counter(tables, entry).map(|(key, _)| key)
}

fn counter<'a>(tables: &'a [Table], &Entry { segment, index, .. }: &Entry) -> Option<(Key<'a>, Count)> {
    map(tables, segment).at(index)
}

/// Returns a segment by its index among those of all tables.
fn map(tables: &[Table], segment: u32) -> &NameMap<Count> {
    tables[(segment / SEGMENTS) as usize].segment(segment % SEGMENTS)
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use counter_protocol::Delta;
    use proptest::prelude::*;

    use super::*;
    use crate::key::with_hash;

    fn rows<'a>(blocks: impl Iterator<Item = Block<'a>>) -> Vec<(Vec<u8>, i64)> {
        let mut rows = Vec::new();
        for block in blocks {
            let Ok(()) = block.try_for_each(|key, count| {
                rows.push((key.name().to_vec(), count.value));
                Ok::<_, Infallible>(())
            });
        }
        rows
    }

    proptest! {
        #[test]
        fn counters_of_several_tables_are_ranked_together(
            // Long common beginnings, zeros at the end, and names that differ only behind the last digit.
            counters in prop::collection::btree_map(
                (0..3_usize, prop::collection::vec(0..3_u8, 0..20))
                    .prop_map(|(common, rest)| [vec![7; common * 36], rest].concat()),
                prop_oneof![-1..=1_i64, Just(i64::MIN), Just(i64::MAX)],
                0..200,
            ),
            tables in 1..4_usize,
            block_rows in 1..50_u32,
        ) {
            let mut split: Vec<_> = (0..tables).map(|_| Table::default()).collect();
            for (n, (name, &value)) in counters.iter().enumerate() {
                let hash = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                split[n % tables].apply(with_hash(hash, name), Delta::from(i128::from(value)));
            }
            let ranked = |order| rows(Ranking::new(&split, order).blocks(block_rows as usize));
            let mut by_value: Vec<_> = counters.clone().into_iter().collect();
            prop_assert_eq!(ranked(Order::Name), by_value.clone());
            by_value.sort_by_key(|(name, value)| (Reverse(*value), name.clone()));
            prop_assert_eq!(ranked(Order::Value), by_value);
            let all: BTreeMap<_, _> = rows(Block::unsorted(&split, block_rows)).into_iter().collect();
            prop_assert_eq!(all, counters);
        }
    }
}
