use std::cmp::Reverse;
use std::collections::HashMap;
use std::mem;

use counter_protocol::{Count, CounterName, Delta, Overflow};

use crate::deltas::Deltas;
use crate::dirty_set::DirtySet;
use crate::key::{Key, OwnedKey};
use crate::name_map::NameMap;
use crate::top_k::top_k;

/// Number of maps in a table. Each grows by itself, so that growing is never a long pause. Fewer maps would mean
/// longer pauses, more would leave more holes in the memory between them. Each map is a page of a scan.
pub(crate) const SEGMENTS: usize = 32;

/// Number of counters that are prefetched at once.
const PREFETCH: usize = 64;

/// Rule for a delta that takes a value out of the range of `i64`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OverflowPolicy {
    /// The delta is rejected whole, as by a counter actor. Whether it is may depend on the order of the deltas, and on
    /// which operations were folded into one.
    #[default]
    Reject,
    /// The value is carried beyond 64 bits, so the result does not depend on the order. A value that is outside of the
    /// range at the end has to be taken by [`Table::take_overflowed`] before values are read; [`Table::top`] leaves it
    /// out.
    Carry,
}

/// Counters of a shard. Pure.
///
/// A delta is applied exactly, or rejected whole according to the [`OverflowPolicy`].
#[derive(Debug)]
pub struct Table {
    segments: Vec<NameMap<Count>>,
    total_value: i128,
    total_operations: u128,
    rejected_operations: u128,
    overflow: OverflowPolicy,
    /// Multiples of 2⁶⁴ to add to the values of these counters, none of them 0.
    carries: HashMap<CounterName, (OwnedKey, i128)>,
    /// Changed counters by segment, if changes are tracked.
    changed: Option<DirtySet>,
}

/// Counters that have changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changed {
    /// Changed counters with their current values.
    pub counters: Vec<(CounterName, Count)>,
    /// Number of changed counters that are left to take.
    pub left: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self::new(OverflowPolicy::Reject)
    }
}

impl Table {
    /// Creates an empty table.
    #[must_use]
    pub fn new(overflow: OverflowPolicy) -> Self {
        Self {
            segments: (0..SEGMENTS).map(|_| NameMap::default()).collect(),
            total_value: 0,
            total_operations: 0,
            rejected_operations: 0,
            overflow,
            carries: HashMap::new(),
            changed: None,
        }
    }

    /// Applies a delta to the counter of this name, and creates the counter if there is none. A refused delta creates
    /// none.
    #[inline]
    pub fn apply(&mut self, key: Key<'_>, delta: Delta) {
        let at = segment_of(key.hash);
        let segment = &mut self.segments[at];
        let applied = match segment.index_of(key) {
            Some(index) => segment.value_mut(index).apply(delta).map(|()| index),
            None => {
                let mut count = Count::default();
                count.apply(delta).map(|()| segment.insert(key, count))
            }
        };
        match applied {
            Ok(index) => {
                if let Some(changed) = &mut self.changed {
                    changed.insert(at, index);
                }
                self.total_value += delta.value;
                self.total_operations += u128::from(delta.operations);
            }
            Err(Overflow) => self.overflow(key, delta),
        }
    }

    /// Rejects a delta that does not fit, or carries what is beyond 64 bits.
    #[cold]
    fn overflow(&mut self, key: Key<'_>, delta: Delta) {
        let Count { value, operations } = self.get(key).unwrap_or_default();
        let sum = i128::from(value).checked_add(delta.value);
        let (OverflowPolicy::Carry, Some(sum), Some(operations)) =
            (self.overflow, sum, operations.checked_add(delta.operations))
        else {
            self.rejected_operations += u128::from(delta.operations);
            return;
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the value keeps the low 64 bits, the carry the others"
        )]
        let value = sum as i64;
        let at = segment_of(key.hash);
        let index = self.segments[at].get_or_insert_index(key);
        *self.segments[at].value_mut(index) = Count { value, operations };
        if let Some(changed) = &mut self.changed {
            changed.insert(at, index);
        }
        let name = CounterName::from(key);
        let before = self.carries.get(&name).map_or(0, |&(_, carry)| carry);
        match before + ((sum - i128::from(value)) >> 64) {
            0 => _ = self.carries.remove(&name),
            carry => _ = self.carries.insert(name, (key.into(), carry)),
        }
        self.total_value += delta.value;
        self.total_operations += u128::from(delta.operations);
    }

    /// Removes the counters whose values are outside of the range of `i64`, counts their operations as rejected, and
    /// returns their names and exact values, in no order.
    pub fn take_overflowed(&mut self) -> Vec<(CounterName, i128)> {
        let carries = mem::take(&mut self.carries);
        let taken = carries.into_iter().filter_map(|(name, (key, carry))| {
            let beyond = carry << 64;
            let Count { value, operations } = self.remove(key.borrow())?;
            self.total_value -= beyond;
            self.rejected_operations += u128::from(operations);
            Some((name, beyond + i128::from(value)))
        });
        taken.collect()
    }

    /// Inserts a counter, in place of an existing one of the same name.
    pub(crate) fn insert(&mut self, key: Key<'_>, Count { value, operations }: Count) {
        self.remove(key);
        self.apply(key, Delta { value: value.into(), operations });
    }

    /// Applies a whole batch. Each delta is removed before it is applied, so that a panic repeats nothing.
    pub fn apply_all(&mut self, deltas: &mut Deltas) {
        loop {
            self.prefetch(deltas.upcoming(PREFETCH));
            for _ in 0..PREFETCH {
                if !deltas.pop(|key, delta| self.apply(key, delta)) {
                    return;
                }
            }
        }
    }

    /// Returns the counter of this name.
    #[must_use]
    pub fn get(&self, key: Key<'_>) -> Option<Count> {
        self.segments[segment_of(key.hash)].get(key)
    }

    /// Removes a counter, and subtracts it from the totals.
    pub fn remove(&mut self, key: Key<'_>) -> Option<Count> {
        let at = segment_of(key.hash);
        let segment = &mut self.segments[at];
        let index = segment.index_of(key)?;
        let count = segment.remove(key)?;
        if let Some(changed) = &mut self.changed {
            // Removal moves the last counter to this index, so whatever is there now counts as changed.
            changed.insert(at, index);
        }
        let carry = if self.carries.is_empty() { None } else { self.carries.remove(key.name()) };
        self.total_value -= i128::from(count.value) + carry.map_or(0, |(_, carry)| carry << 64);
        self.total_operations -= u128::from(count.operations);
        Some(count)
    }

    /// Starts to track changes. All existing counters count as changed.
    pub fn track_changes(&mut self) {
        let mut changed = DirtySet::default();
        for (at, segment) in self.segments.iter().enumerate() {
            segment.indices().for_each(|index| _ = changed.insert(at, index));
        }
        self.changed = Some(changed);
    }

    /// Returns true if changes are tracked.
    #[must_use]
    pub const fn tracks_changes(&self) -> bool {
        self.changed.is_some()
    }

    /// Drains up to `most` changed counters. Counters that were removed are left out.
    pub fn take_changes(&mut self, most: usize) -> Changed {
        let Some(changed) = &mut self.changed else { return Changed::default() };
        let taken = std::iter::from_fn(|| changed.pop()).take(most);
        let counters = taken.filter_map(|(segment, index)| self.segments[segment].at(index));
        let counters = counters.map(|(key, count)| (key.into(), count)).collect();
        Changed { counters, left: changed.len() }
    }

    /// Returns the number of counters.
    #[must_use]
    pub fn len(&self) -> usize {
        self.segments.iter().map(NameMap::len).sum()
    }

    /// Returns true if there are no counters.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the sum of the counters' values.
    #[must_use]
    pub const fn total_value(&self) -> i128 {
        self.total_value
    }

    /// Returns the sum of the counters' operations.
    #[must_use]
    pub const fn total_operations(&self) -> u128 {
        self.total_operations
    }

    /// Returns the number of refused operations.
    #[must_use]
    pub const fn rejected_operations(&self) -> u128 {
        self.rejected_operations
    }

    /// Returns the `n` counters with the largest values, those of equal value in order of name.
    #[must_use]
    pub fn top(&self, n: usize) -> Vec<(CounterName, Count)> {
        let counters = self.segments.iter().flat_map(NameMap::iter);
        let in_range = counters.filter(|(key, _)| !self.is_carried(*key));
        let ranked = in_range.map(|(key, count)| (Reverse(count.value), key, count.operations));
        let counter = |(Reverse(value), key, operations): (Reverse<i64>, Key<'_>, u64)| {
            (key.into(), Count { value, operations })
        };
        top_k(n, ranked).into_iter().map(counter).collect()
    }

    /// Returns all counters, in arbitrary order.
    pub fn iter(&self) -> impl Iterator<Item = (Key<'_>, Count)> {
        self.segments.iter().flat_map(NameMap::iter)
    }

    /// Returns the parts of the table.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &NameMap<Count>> {
        self.segments.iter()
    }

    /// Returns the part with this index.
    ///
    /// # Panics
    /// With [`SEGMENTS`] or more.
    pub(crate) fn segment(&self, at: usize) -> &NameMap<Count> {
        &self.segments[at]
    }

    /// Returns the counters of one segment, in arbitrary order. Empty beyond the last segment.
    #[must_use]
    pub fn page(&self, segment: usize) -> Vec<(CounterName, Count)> {
        let counters = self.segments.get(segment).into_iter().flat_map(NameMap::iter);
        counters.map(|(key, count)| (key.into(), count)).collect()
    }

    /// Returns true if the value of a counter is outside of the range of `i64`.
    fn is_carried(&self, key: Key<'_>) -> bool {
        !self.carries.is_empty() && self.carries.contains_key(key.name())
    }

    /// Loads counters into the processor's cache, where [`apply`](Self::apply) will look for them. A large table does
    /// not fit in there, and waiting for many cache misses at once takes hardly longer than waiting for one.
    fn prefetch(&self, hashes: impl Iterator<Item = u64>) {
        let mut guesses = [(0, 0); PREFETCH];
        for (guess, hash) in guesses.iter_mut().zip(hashes) {
            let segment = segment_of(hash);
            *guess = (segment, self.segments[segment].guess(hash));
        }
        for (segment, at) in guesses {
            self.segments[segment].prefetch(at);
        }
    }
}

/// Returns the segment of a hash.
///
/// Segments get unequal shares of the names, up to twofold and evenly spread in between. They therefore do not all
/// have to grow at the same time, and growing one is a short pause.
///
/// The byte `u` of the hash is one that neither the shard nor the maps inside look at. With `x = u / 256`, the
/// segment is `x * (4 - x) / 3` of all segments, which is close to `log2(1 + x)`: 0 at 0, 1 at 1, and half as steep
/// at the end as at the beginning. The flatter it is, the more hashes share a segment.
const fn segment_of(hash: u64) -> usize {
    let u = (hash >> 24) as usize & 0xff;
    // `x * (4 - x) / 3 * SEGMENTS` in integers, with `x = u / 256`. The largest `u` yields `SEGMENTS - 1`.
    u * (4 * 256 - u) * SEGMENTS / (3 * 256 * 256)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::key::with_hash;

    fn key(name: &u8) -> Key<'_> {
        with_hash(u64::from(*name).wrapping_mul(0x9e37_79b9_7f4a_7c15), std::slice::from_ref(name))
    }

    #[test]
    fn segments_differ_up_to_twofold_in_size() {
        let mut sizes = vec![0; SEGMENTS];
        for byte in 0..=255_u64 {
            sizes[segment_of(byte << 24)] += 1;
        }
        assert!(sizes.iter().all(|size| (5..=13).contains(size)), "{sizes:?}");
        assert!(sizes[SEGMENTS - 1] > sizes[0]);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Apply(u8, i128),
        Remove(u8),
        Take(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let edges = [i64::MIN.into(), i64::MAX.into(), i128::from(i64::MAX) + 1];
        let amount = prop_oneof![3 => -9..=9_i128, 2 => prop::sample::select(edges.to_vec())];
        prop_oneof![
            5 => (0..40_u8, amount).prop_map(|(name, amount)| Step::Apply(name, amount)),
            1 => (0..40_u8).prop_map(Step::Remove),
            1 => (0..20_usize).prop_map(Step::Take),
        ]
    }

    proptest! {
        #[test]
        fn whoever_takes_all_changes_knows_all_counters(steps in prop::collection::vec(step(), 0..200), begun_at in 0..200_usize) {
            let (mut table, mut known) = (Table::default(), BTreeMap::new());
            for (at, step) in (0..).zip(&steps) {
                if at == begun_at {
                    table.track_changes();
                }
                match *step {
                    Step::Apply(name, amount) => table.apply(key(&name), Delta::from(amount)),
                    Step::Remove(name) => _ = (table.remove(key(&name)), known.remove(&CounterName::from(key(&name)))),
                    Step::Take(most) => known.extend(table.take_changes(most).counters),
                }
            }
            if begun_at >= steps.len() {
                table.track_changes();
            }
            known.extend(table.take_changes(usize::MAX).counters);
            let all = (0..SEGMENTS).flat_map(|segment| table.page(segment));
            prop_assert_eq!(known, all.collect());
        }

        #[test]
        fn carried_sums_depend_neither_on_the_order_nor_on_what_is_folded(
            amounts in prop::collection::vec((0..3_u8, prop_oneof![-9..=9_i64, Just(i64::MIN), Just(i64::MAX)]), 0..60),
            folds in prop::collection::vec(1..5_usize, 60),
            seed: u64,
        ) {
            let mut sums = BTreeMap::<u8, (i128, u64)>::new();
            for &(name, amount) in &amounts {
                let (sum, operations) = sums.entry(name).or_default();
                (*sum, *operations) = (*sum + i128::from(amount), *operations + 1);
            }
            let mut shuffled = amounts.clone();
            fastrand::Rng::with_seed(seed).shuffle(&mut shuffled);
            let mut table = Table::new(OverflowPolicy::Carry);
            let mut rest = &shuffled[..];
            for fold in folds {
                let (folded, behind) = rest.split_at(fold.min(rest.len()));
                rest = behind;
                let mut deltas = BTreeMap::<u8, Delta>::new();
                for &(name, amount) in folded {
                    let delta = deltas.entry(name).or_default();
                    delta.value += i128::from(amount);
                    delta.operations += 1;
                }
                deltas.into_iter().for_each(|(name, delta)| table.apply(key(&name), delta));
            }
            prop_assert_eq!(table.total_value(), sums.values().map(|(sum, _)| sum).sum::<i128>());

            let (fits, beyond): (Vec<_>, Vec<_>) =
                sums.into_iter().partition(|(_, (sum, _))| i64::try_from(*sum).is_ok());
            let mut top = table.top(9);
            prop_assert!(top.iter().all(|(name, _)| fits.iter().any(|(fitting, _)| *name == key(fitting).into())));
            let mut overflowed = table.take_overflowed();
            overflowed.sort_unstable();
            let expected = beyond.iter().map(|(name, (sum, _))| (CounterName::from(key(name)), *sum));
            prop_assert_eq!(overflowed, expected.collect::<Vec<_>>());
            top.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            let expected = fits.iter().map(|&(name, (sum, operations))| {
                (CounterName::from(key(&name)), Count { value: i64::try_from(sum).unwrap(), operations })
            });
            prop_assert_eq!(top, expected.collect::<Vec<_>>());
            prop_assert_eq!(table.total_value(), fits.iter().map(|(_, (sum, _))| sum).sum::<i128>());
            let rejected = beyond.iter().map(|(_, (_, operations))| u128::from(*operations)).sum::<u128>();
            prop_assert_eq!(table.rejected_operations(), rejected);
        }

        #[test]
        fn it_agrees_with_a_sorted_map(steps in prop::collection::vec(step(), 0..200), n in 0..10_usize) {
            let (mut table, mut model, mut refused) = (Table::default(), BTreeMap::<u8, Count>::new(), 0);
            for step in &steps {
                match *step {
                    Step::Apply(name, amount) => {
                        let delta = Delta::from(amount);
                        table.apply(key(&name), delta);
                        let mut count = model.get(&name).copied().unwrap_or_default();
                        match count.apply(delta) {
                            Ok(()) => _ = model.insert(name, count),
                            Err(_refused) => refused += 1,
                        }
                    }
                    Step::Take(most) => prop_assert_eq!(table.take_changes(most), Changed::default()),
                    Step::Remove(name) => {
                        prop_assert_eq!(table.remove(key(&name)), model.remove(&name));
                    }
                }
            }
            prop_assert_eq!(table.len(), model.len());
            prop_assert_eq!(table.total_value(), model.values().map(|count| i128::from(count.value)).sum::<i128>());
            prop_assert_eq!(
                table.total_operations(),
                model.values().map(|count| u128::from(count.operations)).sum::<u128>()
            );
            prop_assert_eq!(table.rejected_operations(), refused);
            let mut expected: Vec<_> = model.iter().map(|(name, count)| (CounterName::from(key(name)), *count)).collect();
            let mut paged: Vec<_> = (0..SEGMENTS).flat_map(|segment| table.page(segment)).collect();
            paged.sort_by(|a, b| a.0.cmp(&b.0));
            prop_assert_eq!(&paged, &expected);
            expected.sort_by_key(|(_, count)| Reverse(count.value));
            expected.truncate(n);
            prop_assert_eq!(table.top(n), expected);
        }
    }
}
