use std::cmp::Ordering;

use counter_protocol::Count;

use crate::key::Key;
use crate::table::{Place, Table};

/// Order of a [`Ranking`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The largest value first, equal ones by name.
    Value,
    /// By name, byte by byte.
    Name,
}

/// Counters of a table in order, without copies of their names: 32 bytes each beside the table.
#[derive(Debug)]
pub struct Ranking<'a> {
    table: &'a Table,
    order: Order,
    entries: Vec<Entry>,
}

/// Value and beginning of the name, which decide most comparisons, and the place of the counter in its table.
#[derive(Clone, Copy, Debug)]
struct Entry {
    value: i64,
    /// First bytes of the name, as a big-endian number: that of a smaller name is not larger.
    prefix: [u64; 2],
    place: Place,
}

impl<'a> Ranking<'a> {
    /// Sorts the counters of a table.
    #[must_use]
    pub fn new(table: &'a Table, order: Order) -> Self {
        let mut entries: Vec<_> = table
            .indexed()
            .map(|(place, key, count)| Entry { value: count.value, prefix: key.prefix(), place })
            .collect();
        entries.sort_unstable_by(|a, b| compare(order, (table, a), (table, b)));
        Self { table, order, entries }
    }

    /// Merges rankings of the same order into one. Tables must not share names.
    pub fn merge(rankings: &[Self]) -> impl Iterator<Item = (Key<'a>, Count)> {
        let mut rest: Vec<_> = rankings.iter().map(|ranking| ranking.entries.iter().peekable()).collect();
        std::iter::from_fn(move || {
            // There are as many as cores, so looking at each is as fast as a heap.
            let first = (0..rankings.len())
                .filter_map(|n| Some((n, *rest[n].peek()?)))
                .min_by(|&(a, x), &(b, y)| {
                    compare(rankings[a].order, (rankings[a].table, x), (rankings[b].table, y))
                })?
                .0;
            let entry = rest[first].next()?;
            rankings[first].table.at(entry.place)
        })
    }
}

fn compare(order: Order, (table, a): (&Table, &Entry), (other, b): (&Table, &Entry)) -> Ordering {
    let by_value = match order {
        Order::Value => b.value.cmp(&a.value),
        Order::Name => Ordering::Equal,
    };
    by_value.then_with(|| a.prefix.cmp(&b.prefix)).then_with(|| key(table, a).cmp(&key(other, b)))
}

fn key<'a>(table: &'a Table, entry: &Entry) -> Option<Key<'a>> {
    table.at(entry.place).map(|(key, _)| key)
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BTreeMap;

    use counter_protocol::Delta;
    use proptest::prelude::*;

    use super::*;
    use crate::key::with_hash;

    proptest! {
        #[test]
        fn rankings_of_several_tables_merge_into_one(
            counters in prop::collection::btree_map(prop::collection::vec(0..3_u8, 0..20), -2..=2_i64, 0..60),
            tables in 1..4_usize,
        ) {
            let mut split: Vec<_> = (0..tables).map(|_| Table::default()).collect();
            for (n, (name, &value)) in counters.iter().enumerate() {
                let hash = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                split[n % tables].apply(with_hash(hash, name), Delta::from(i128::from(value)));
            }
            let ranked = |order| {
                let rankings: Vec<_> = split.iter().map(|table| Ranking::new(table, order)).collect();
                Ranking::merge(&rankings).map(|(key, count)| (key.name().to_vec(), count.value)).collect::<Vec<_>>()
            };
            let mut by_value: Vec<_> = counters.clone().into_iter().collect();
            prop_assert_eq!(ranked(Order::Name), by_value.clone());
            by_value.sort_by_key(|(name, value)| (Reverse(*value), name.clone()));
            prop_assert_eq!(ranked(Order::Value), by_value);
            let all: BTreeMap<_, _> =
                split.iter().flat_map(Table::iter).map(|(key, count)| (key.name().to_vec(), count.value)).collect();
            prop_assert_eq!(all, counters);
        }
    }
}
