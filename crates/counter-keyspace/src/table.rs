mod feeds;
mod walk;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::mem;
use std::ops::RangeInclusive;

use counter_protocol::{Count, CounterName, Delta, Overflow};

use crate::deadlines::Deadlines;
use crate::deltas::Deltas;
use crate::follower::Follower;
use crate::key::{Key, OwnedKey};
use crate::name_map::NameMap;
use crate::place_set::Place;
use crate::round::Entry;
use crate::top_k::top_k;

pub use walk::TablePosition;

/// Number of maps in a table. Each grows by itself, so that growing is never a long pause. Fewer maps would mean
/// longer pauses, more would leave more holes in the memory between them.
pub(crate) const SEGMENTS: u32 = 32;

/// Length of a page's names, in bytes, after which it takes no more counters.
const PAGE_NAME_BYTES: usize = 1 << 20;

/// Number of counters that are prefetched at once.
pub(crate) const PREFETCH: usize = 64;

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
    /// Number of counters at which no further one is created.
    max_names: usize,
    /// Multiples of 2⁶⁴ to add to the values of these counters, none of them 0.
    carries: HashMap<CounterName, (OwnedKey, i128)>,
    deadlines: Deadlines,
    /// Latest time that the table has been told, in milliseconds since the Unix epoch.
    clock_ms: u64,
    followers: Vec<Follower>,
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
            max_names: usize::MAX,
            carries: HashMap::new(),
            deadlines: Deadlines::default(),
            clock_ms: 0,
            followers: Vec::new(),
        }
    }

    /// Applies a delta to the counter of this name, and creates the counter if there is none. A refused delta creates
    /// none.
    #[inline]
    pub fn apply(&mut self, key: Key<'_>, delta: Delta) {
        self.reclaim(key);
        let at = segment_of(key.hash);
        let segment = &mut self.segments[at as usize];
        let applied = match segment.index_of(key) {
            Some(index) => segment.value_mut(index).apply(delta).map(|()| index),
            None if self.is_full() => return self.count_rejected(delta.operations.into()),
            None => {
                let mut count = Count::default();
                count.apply(delta).map(|()| self.create(at, key, count))
            }
        };
        match applied {
            Ok(index) => {
                self.changed((at, index));
                self.total_value += delta.value;
                self.total_operations += u128::from(delta.operations);
            }
            Err(Overflow) => self.overflow(key, delta),
        }
    }

    /// Adds an amount to a counter that exists and returns the new value, if it is within bounds. Otherwise nothing has
    /// changed. This is what most operations come to, with one look at the table.
    #[inline]
    pub(crate) fn add_to_existing(
        &mut self,
        key: Key<'_>,
        amount: i64,
        bounds: &RangeInclusive<i64>,
    ) -> Option<i64> {
        let at = segment_of(key.hash);
        let segment = &mut self.segments[at as usize];
        let index = segment.index_of(key)?;
        let count = segment.value_mut(index);
        let value = count.value.checked_add(amount).filter(|value| bounds.contains(value))?;
        let operations = count.operations.checked_add(1)?;
        *count = Count { value, operations };
        self.changed((at, index));
        self.total_value += i128::from(amount);
        self.total_operations += 1;
        Some(value)
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
        let count = Count { value, operations };
        let index = match self.segments[at as usize].index_of(key) {
            Some(index) => index,
            None => self.create(at, key, count),
        };
        *self.segments[at as usize].value_mut(index) = count;
        self.changed((at, index));
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

    /// Sets a counter, whether there is one of this name or not.
    pub(crate) fn put(&mut self, key: Key<'_>, count: Count, deadline_ms: Option<u64>) {
        let at = segment_of(key.hash);
        let index = match self.segments[at as usize].index_of(key) {
            Some(index) => {
                let before = mem::replace(self.segments[at as usize].value_mut(index), count);
                self.subtract(key, before);
                index
            }
            None => self.create(at, key, count),
        };
        self.total_value += i128::from(count.value);
        self.total_operations += u128::from(count.operations);
        self.deadlines.set((at, index), deadline_ms);
        self.changed((at, index));
    }

    /// Applies the folded operations of a batch, up to its first [`Call`](crate::Call). Each delta is removed before it
    /// is applied, so that a panic repeats nothing.
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
        let count = self.segments[segment_of(key.hash) as usize].get(key)?;
        let is_expired = self.has_expired() && self.place_of(key).is_none();
        (!is_expired).then_some(count)
    }

    /// Returns the value of a counter, or the end of the range of `i64` that it is beyond.
    pub(crate) fn value(&self, key: Key<'_>) -> Option<i64> {
        let value = self.get(key)?.value;
        let carry = if self.carries.is_empty() { None } else { self.carries.get(key.name()) };
        Some(carry.map_or(value, |(_, carry)| if *carry < 0 { i64::MIN } else { i64::MAX }))
    }

    /// Removes a counter, and subtracts it from the totals.
    pub fn remove(&mut self, key: Key<'_>) -> Option<Count> {
        let at = segment_of(key.hash);
        let segment = &mut self.segments[at as usize];
        let index = segment.index_of(key)?;
        let count = segment.remove(key)?;
        let last = segment.indices().end;
        self.deadlines.swap_remove((at, index), last);
        self.note_removal(key, (at, index), last);
        self.subtract(key, count);
        Some(count)
    }

    /// Subtracts a counter that is gone from the totals.
    fn subtract(&mut self, key: Key<'_>, count: Count) {
        let carry = if self.carries.is_empty() { None } else { self.carries.remove(key.name()) };
        self.total_value -= i128::from(count.value) + carry.map_or(0, |(_, carry)| carry << 64);
        self.total_operations -= u128::from(count.operations);
    }

    /// Removes the counter at a place. Returns false if there is none.
    pub(crate) fn remove_at(&mut self, place: Place) -> bool {
        let key = self.at(place).map(|(key, _)| OwnedKey::from(key));
        key.is_some_and(|key| self.remove(key.borrow()).is_some())
    }

    pub(crate) fn set_deadline_at(&mut self, place: Place, deadline_ms: Option<u64>) -> Option<u64> {
        self.changed(place);
        self.deadlines.set(place, deadline_ms)
    }

    pub(crate) const fn deadlines(&self) -> &Deadlines {
        &self.deadlines
    }

    /// Reserves memory for `names` more names, of which long ones take `long_name_bytes` in all.
    pub(crate) fn reserve(&mut self, names: usize, long_name_bytes: usize) {
        for (segment, hashes) in self.segments.iter_mut().zip(SHARES) {
            // Some more than a segment's share, because names are spread at random.
            let share = |all: usize| all.div_ceil(256) * hashes + all * hashes / (64 * 256);
            segment.reserve(share(names), share(long_name_bytes));
        }
    }

    /// Moves the clock forward. It never goes back.
    pub(crate) fn advance(&mut self, now_ms: u64) {
        self.clock_ms = self.clock_ms.max(now_ms);
    }

    pub(crate) const fn set_rejected_operations(&mut self, operations: u128) {
        self.rejected_operations = operations;
    }

    pub(crate) const fn count_rejected(&mut self, operations: u128) {
        self.rejected_operations += operations;
    }

    pub(crate) const fn set_overflow(&mut self, overflow: OverflowPolicy) {
        self.overflow = overflow;
    }

    pub(crate) const fn set_max_names(&mut self, names: usize) {
        self.max_names = names;
    }

    /// Returns true if there are so many counters that no further one is created.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.max_names != usize::MAX && self.len() >= self.max_names
    }

    pub(crate) const fn clock_ms(&self) -> u64 {
        self.clock_ms
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
        let in_range = self.iter().filter(|(key, _)| !self.is_carried(*key));
        let ranked = in_range.map(|(key, count)| (Reverse(count.value), key, count.operations));
        let counter = |(Reverse(value), key, operations): (Reverse<i64>, Key<'_>, u64)| {
            (key.into(), Count { value, operations })
        };
        top_k(n, ranked).into_iter().map(counter).collect()
    }

    /// Returns all counters, in arbitrary order.
    pub fn iter(&self) -> impl Iterator<Item = (Key<'_>, Count)> {
        self.indexed().map(|(_, key, count)| (key, count))
    }

    /// Returns the part with this index.
    ///
    /// # Panics
    /// With [`SEGMENTS`] or more.
    pub(crate) fn segment(&self, at: u32) -> &NameMap<Count> {
        &self.segments[at as usize]
    }

    /// Returns all counters with their places.
    pub(crate) fn indexed(&self) -> impl Iterator<Item = (Place, Key<'_>, Count)> {
        (0..).zip(&self.segments).flat_map(|(at, segment)| {
            let counters = (0..).zip(segment.iter());
            counters
                .map(move |(index, (key, count))| ((at, index), key, count))
                .filter(|(place, ..)| !self.is_expired(*place))
        })
    }

    /// Returns the counter at a place.
    pub(crate) fn at(&self, (segment, index): Place) -> Option<(Key<'_>, Count)> {
        self.segments.get(segment as usize)?.at(index)
    }

    /// Returns the counter at a place, unless it has expired.
    pub(crate) fn live_at(&self, place: Place) -> Option<(Key<'_>, Count)> {
        if self.is_expired(place) { None } else { self.at(place) }
    }

    /// Returns the place of a counter that has not expired.
    pub(crate) fn place_of(&self, key: Key<'_>) -> Option<Place> {
        let at = segment_of(key.hash);
        let place = (at, self.segments[at as usize].index_of(key)?);
        (!self.is_expired(place)).then_some(place)
    }

    /// Returns the entry at a place, with its deadline.
    fn entry(&self, place: Place) -> Option<Entry<'_>> {
        let (key, count) = self.at(place)?;
        Some(Entry { name: key.name, count, deadline_ms: self.deadlines.get(place) })
    }

    /// Adds a name that must not exist yet, and returns its index in its segment.
    fn create(&mut self, segment: u32, key: Key<'_>, count: Count) -> u32 {
        let index = self.segments[segment as usize].insert(key, count);
        self.followers.iter_mut().for_each(|follower| follower.created(key, (segment, index)));
        index
    }

    #[inline]
    fn changed(&mut self, place: Place) {
        for follower in &mut self.followers {
            follower.changed(place);
        }
    }

    /// Returns true if the value of a counter is outside of the range of `i64`.
    pub(crate) fn is_carried(&self, key: Key<'_>) -> bool {
        !self.carries.is_empty() && self.carries.contains_key(key.name())
    }

    /// Returns true if no counter is carried beyond 64 bits.
    pub(crate) fn carries_nothing(&self) -> bool {
        self.carries.is_empty()
    }

    /// Loads counters into the processor's cache, where [`apply`](Self::apply) will look for them. A large table does
    /// not fit in there, and waiting for many cache misses at once takes hardly longer than waiting for one.
    pub(crate) fn prefetch(&self, hashes: impl Iterator<Item = u64>) {
        let mut guesses = [(0, 0); PREFETCH];
        let mut number = 0;
        for (guess, hash) in guesses.iter_mut().zip(hashes) {
            let segment = segment_of(hash);
            *guess = (segment, self.segments[segment as usize].guess(hash));
            number += 1;
        }
        for &(segment, at) in &guesses[..number] {
            self.segments[segment as usize].prefetch(at);
        }
        for &(segment, at) in &guesses[..number] {
            self.segments[segment as usize].prefetch_name(at);
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
const fn segment_of(hash: u64) -> u32 {
    let u = (hash >> 24 & 0xff) as u32;
    // `x * (4 - x) / 3 * SEGMENTS` in integers, with `x = u / 256`. The largest `u` yields `SEGMENTS - 1`.
    u * (4 * 256 - u) * SEGMENTS / (3 * 256 * 256)
}

/// Number of values of the deciding byte of a hash, by segment.
const SHARES: [usize; SEGMENTS as usize] = {
    let (mut shares, mut byte) = ([0; SEGMENTS as usize], 0);
    while byte < 256 {
        shares[segment_of(byte << 24) as usize] += 1;
        byte += 1;
    }
    shares
};

#[cfg(test)]
mod feed_tests;
#[cfg(test)]
mod tests;
