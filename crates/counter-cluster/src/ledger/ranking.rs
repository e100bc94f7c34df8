//! Names with the largest values, found in steps.

use std::cmp::Reverse;

use counter_keyspace::{Key, top_k};
use counter_protocol::CounterName;

use super::{BUCKETS, Ledger, Total};

/// Number of buckets that one step looks at: with a million names, a few milliseconds.
const STEP_BUCKETS: usize = 16;

/// Search for the names with the largest values. Between its steps the ledger may change.
#[derive(Debug)]
pub(crate) struct Ranking {
    n: usize,
    next_bucket: usize,
    largest: Vec<(CounterName, Total)>,
}

impl Ranking {
    /// Begins to look for `n` names.
    pub(crate) const fn new(n: usize) -> Self {
        Self { n, next_bucket: 0, largest: Vec::new() }
    }

    /// Returns the names, those of equal value in order.
    pub(crate) fn into_largest(self) -> Vec<(CounterName, Total)> {
        self.largest
    }
}

impl Ledger {
    /// Returns the `n` names with the largest values over all replicas, those of equal value in order of name.
    #[must_use]
    pub fn top(&self, n: usize) -> Vec<(CounterName, Total)> {
        let mut ranking = Ranking::new(n);
        while !self.rank(&mut ranking) {}
        ranking.into_largest()
    }

    /// Looks at the next names. Returns true once it has looked at all.
    pub(crate) fn rank(&self, ranking: &mut Ranking) -> bool {
        let end = BUCKETS.min(ranking.next_bucket + STEP_BUCKETS);
        let ranked = self.buckets[ranking.next_bucket..end].iter().flat_map(|bucket| {
            let named = bucket.names.iter().zip(self.rows(bucket)).filter(|(_, total)| total.operations > 0);
            named.map(|((key, ()), total)| (Reverse(total.value), key, total.operations))
        });
        let counter = |(Reverse(value), key, operations): (Reverse<i128>, Key<'_>, u128)| {
            (key.into(), Total { value, operations })
        };
        ranking.largest.extend(top_k(ranking.n, ranked).into_iter().map(counter));
        ranking.largest.sort_unstable_by(|(a, x), (b, y)| y.value.cmp(&x.value).then_with(|| a.cmp(b)));
        ranking.largest.truncate(ranking.n);
        ranking.next_bucket = end;
        end == BUCKETS
    }
}
