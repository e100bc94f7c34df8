//! A ledger name by name.

use counter_protocol::CounterName;

use super::{BUCKETS, Ledger, Total};

/// Maximum number of names that are looked at for one page.
const NAMES_AT_ONCE: usize = 1 << 14;

/// Names with their sums over all replicas, and the position of the next page.
pub(crate) type NamePage = (Vec<(CounterName, Total)>, Option<u64>);

impl Ledger {
    /// Returns up to `most` names that begin with `prefix`, from a position on; 0 is the beginning, and no next page
    /// has it. Names keep their positions, so that a scan misses none that exists when it begins.
    pub(crate) fn page_of_names(&self, from: u64, most: usize, prefix: &[u8]) -> NamePage {
        let (mut page, mut looked_at) = (Vec::new(), 0);
        let mut position = from;
        while let Some(bucket) = self.buckets.get(bucket_at(position)) {
            let Some((key, ())) = bucket.names.at(row_at(position)) else {
                position = start_of(bucket_at(position) + 1);
                continue;
            };
            if page.len() >= most || looked_at >= NAMES_AT_ONCE {
                return (page, Some(position));
            }
            if key.name().starts_with(prefix) {
                let total: Total = self.counts(bucket, row_at(position)).map(|(_, count)| count).collect();
                page.extend((total.operations > 0).then(|| (key.into(), total)));
            }
            looked_at += 1;
            position += 1;
        }
        (page, None)
    }
}

/// A position has the row in its lower 32 bits, and the bucket above them.
const fn bucket_at(position: u64) -> usize {
    (position >> 32) as usize
}

fn row_at(position: u64) -> u32 {
    u32::try_from(position & u64::from(u32::MAX)).expect("32 bits are left")
}

const fn start_of(bucket: usize) -> u64 {
    (bucket as u64) << 32
}

const _: () = assert!(BUCKETS <= 1 << 8, "a position has 40 bits");

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use counter_protocol::Count;

    use super::*;
    use crate::ledger::Source;
    use crate::replica::ReplicaId;

    #[test]
    fn pages_of_any_size_have_each_name_once_with_its_sum_while_others_come() {
        let mut ledger = Ledger::new([1, 2]);
        let mut columns = ["a", "b"].map(|node| {
            let id = ReplicaId { node: node.parse().unwrap(), incarnation: 7 };
            ledger.add_column(&id, Source::Direct).unwrap()
        });
        let name = |n: u64| CounterName::new(format!("{}:{n}", n % 3)).unwrap();
        let mut merge = |ledger: &mut Ledger, n: u64| {
            columns.reverse();
            let count = Count { value: i64::try_from(n).unwrap(), operations: 2 };
            columns.iter().take(1 + usize::from(n.is_multiple_of(2))).for_each(|column| {
                ledger.merge(*column, &name(n), count, Source::Direct);
            });
        };
        (0..2000).for_each(|n| merge(&mut ledger, n));
        for most in [1, 7, 5000] {
            for prefix in ["", "1:", "none"] {
                let (mut seen, mut from) = (BTreeMap::new(), Some(0));
                while let Some(position) = from {
                    let (page, next) = ledger.page_of_names(position, most, prefix.as_bytes());
                    assert!(page.len() <= most && next != Some(0));
                    for (name, total) in page {
                        assert!(seen.insert(name, total).is_none());
                    }
                    from = next;
                }
                let expected = (0..2000).filter(|n| name(*n).as_bytes().starts_with(prefix.as_bytes()));
                for n in expected.clone() {
                    let replicas = 1 + i128::from(n.is_multiple_of(2));
                    assert_eq!(seen[&name(n)].value, i128::from(n) * replicas);
                }
                assert_eq!(seen.len(), expected.count());
            }
        }
        let (_, next) = ledger.page_of_names(0, 1000, b"");
        (2000..2100).for_each(|n| merge(&mut ledger, n));
        let (rest, _) = ledger.page_of_names(next.unwrap(), 5000, b"");
        assert!(rest.len() >= 1000);
    }
}
