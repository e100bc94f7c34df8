use std::mem;
use std::num::NonZeroUsize;

use counter_protocol::Delta;
use ractor_outbox::Batch;

use crate::key::Key;
use crate::name_map::NameMap;

/// Operations that wait for one shard, folded by name.
///
/// Bounded by the number of different names and by their total length. Pure.
#[derive(Clone, Debug)]
pub struct Deltas {
    by_name: NameMap<Folded>,
    operations: u64,
    bound: Bound,
}

/// Capacity of [`Deltas`] that are not empty; empty ones take a change of any size.
#[derive(Clone, Copy, Debug)]
struct Bound {
    names: NonZeroUsize,
    name_bytes: usize,
}

/// A [`Delta`] in three words: 128-bit integers would be aligned to 16 bytes, and cost a quarter more memory.
#[derive(Clone, Copy, Debug, Default)]
struct Folded {
    low: u64,
    high: i64,
    operations: u64,
}

impl Folded {
    #[inline]
    const fn add(&mut self, Delta { value, operations }: Delta) {
        let (low, high) = halves(self.value() + value);
        *self = Self { low, high, operations: self.operations + operations };
    }

    #[inline]
    const fn value(self) -> i128 {
        (self.high as i128) << 64 | self.low as i128
    }

    #[inline]
    const fn delta(self) -> Delta {
        Delta { value: self.value(), operations: self.operations }
    }
}

#[inline]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "each half is what it keeps of the bits"
)]
const fn halves(value: i128) -> (u64, i64) {
    (value as u64, (value >> 64) as i64)
}

/// Item that can be pushed into [`Deltas`].
#[derive(Debug)]
pub enum Change<'a> {
    /// One operation.
    One(
        /// Key of the name in this keyspace.
        Key<'a>,
        /// Signed amount.
        i128,
    ),
    /// Operations that were folded elsewhere. Merging them is free if nothing waits, else one addition for each name.
    Many(Deltas),
}

impl Deltas {
    /// Creates deltas with room for `names` different names of `name_bytes` in all. One name always fits.
    #[must_use]
    pub fn bounded(names: NonZeroUsize, name_bytes: usize) -> Self {
        Self { by_name: NameMap::default(), operations: 0, bound: Bound { names, name_bytes } }
    }

    /// Creates unbounded deltas, with memory reserved for `names` names of `bytes` in all.
    #[must_use]
    pub fn with_capacity(names: usize, bytes: usize) -> Self {
        let bound = Bound { names: NonZeroUsize::MAX, name_bytes: usize::MAX };
        Self { by_name: NameMap::with_capacity(names, bytes), operations: 0, bound }
    }

    /// Creates unbounded deltas like [`with_capacity`](Self::with_capacity), to be [appended](Self::append) to.
    pub(crate) fn list(names: usize, bytes: usize) -> Self {
        Self { by_name: NameMap::list(names, bytes), ..Self::with_capacity(0, 0) }
    }

    /// Returns the arguments with which [`with_capacity`](Self::with_capacity) reserves room for exactly these names.
    #[must_use]
    pub const fn size(&self) -> (usize, usize) {
        (self.by_name.len(), self.by_name.long_name_bytes())
    }

    /// Returns the number of different names.
    #[must_use]
    pub const fn names(&self) -> usize {
        self.by_name.len()
    }

    /// Folds an operation in, regardless of the bound.
    #[inline]
    pub fn add(&mut self, key: Key<'_>, amount: i128) {
        self.fold(key, amount.into());
    }

    /// Returns the hashes of the next names to be popped, `most` of them at most.
    pub(crate) fn upcoming(&self, most: usize) -> impl Iterator<Item = u64> {
        self.by_name.last(most)
    }

    /// Removes the operations on some name, and passes them to `show`. Returns false if there are none.
    pub fn pop(&mut self, show: impl FnOnce(Key<'_>, Delta)) -> bool {
        let operations = &mut self.operations;
        self.by_name.pop(|key, folded| {
            *operations -= folded.operations;
            show(key, folded.delta());
        })
    }

    /// Returns true if `names` more names of `name_bytes` in all fit.
    fn has_room(&self, names: usize, name_bytes: usize) -> bool {
        self.names() + names <= self.bound.names.get()
            && self.by_name.name_bytes() + name_bytes <= self.bound.name_bytes
    }

    /// Adds a delta without looking for its name, which may then be there several times. The result is not bounded,
    /// and good for nothing but to be applied.
    #[inline]
    pub(crate) fn append(&mut self, key: Key<'_>, delta: Delta) {
        let mut folded = Folded::default();
        folded.add(delta);
        self.operations += delta.operations;
        self.by_name.append(key, folded);
    }

    #[inline]
    pub(crate) fn fold(&mut self, key: Key<'_>, delta: Delta) {
        self.operations += delta.operations;
        self.by_name.entry(key).add(delta);
    }
}

impl Batch for Deltas {
    type Item<'a> = Change<'a>;

    fn push<'a>(&mut self, change: Self::Item<'a>) -> Result<(), Self::Item<'a>> {
        match change {
            Change::One(key, amount) => {
                if self.has_room(1, key.name.len()) || self.is_empty() || self.by_name.contains(key) {
                    self.add(key, amount);
                    return Ok(());
                }
                Err(Change::One(key, amount))
            }
            Change::Many(many) if self.is_empty() => {
                *self = Self { bound: self.bound, ..many };
                Ok(())
            }
            Change::Many(many) if self.has_room(many.names(), many.by_name.name_bytes()) => {
                self.put_back(many);
                Ok(())
            }
            Change::Many(many) => Err(Change::Many(many)),
        }
    }

    fn len(&self) -> u64 {
        self.operations
    }

    fn empty(&self) -> Self {
        Self::bounded(self.bound.names, self.bound.name_bytes)
    }

    fn put_back(&mut self, mut older: Self) {
        // Names cannot be looked up in deltas that have been popped from, so such deltas are folded into the others.
        if self.is_empty() && older.by_name.is_searchable() {
            mem::swap(self, &mut older);
        }
        for (key, folded) in older.by_name.iter() {
            self.fold(key, folded.delta());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::key::with_hash;

    fn bounded(names: usize) -> Deltas {
        Deltas::bounded(NonZeroUsize::new(names).unwrap(), usize::MAX)
    }

    fn one(name: &[u8], amount: i128) -> Change<'_> {
        Change::One(with_hash(name[0].into(), name), amount)
    }

    fn drain(deltas: &mut Deltas, into: &mut BTreeMap<Vec<u8>, Delta>, most: usize) {
        for _ in 0..most {
            deltas.pop(|key, delta| {
                let sum = into.entry(key.name.to_vec()).or_default();
                *sum =
                    Delta { value: sum.value + delta.value, operations: sum.operations + delta.operations };
            });
        }
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_also_after_a_crash_in_between(
            first in prop::collection::vec((0..6_u8, -9..9_i128), 0..40),
            second in prop::collection::vec((0..6_u8, -9..9_i128), 0..40),
            applied_before_the_crash in 0..8_usize,
        ) {
            let (mut expected, mut came_out) = (BTreeMap::new(), BTreeMap::new());
            let mut deltas = bounded(6);
            for (name, amount) in &first {
                deltas.push(one(&[*name], *amount)).unwrap();
            }
            let empty = deltas.empty();
            let mut taken = mem::replace(&mut deltas, empty);
            drain(&mut taken, &mut came_out, applied_before_the_crash);
            for (name, amount) in &second {
                deltas.push(one(&[*name], *amount)).unwrap();
            }
            deltas.put_back(taken);
            drain(&mut deltas, &mut came_out, 12);
            for (name, amount) in first.iter().chain(&second) {
                let sum: &mut Delta = expected.entry(vec![*name]).or_default();
                *sum = Delta { value: sum.value + amount, operations: sum.operations + 1 };
            }
            prop_assert_eq!(came_out, expected);
            prop_assert!(deltas.is_empty());
        }
    }

    #[test]
    fn the_bound_is_on_names_and_not_on_operations() {
        let mut deltas = bounded(2);
        for name in [b"a", b"b", b"a", b"b"] {
            deltas.push(one(name, 1)).unwrap();
        }
        assert!(matches!(deltas.push(one(b"c", 1)), Err(Change::One(Key { name: b"c", .. }, 1))));
        assert_eq!((deltas.names(), deltas.len()), (2, 4));
    }

    #[test]
    fn the_bound_is_on_the_bytes_of_names_too_and_one_name_always_fits() {
        let mut deltas = Deltas::bounded(NonZeroUsize::MAX, 40);
        let (long, longer) = ([b'a'; 30], [b'b'; 50]);
        for name in [&long[..], b"cccccccccc", &long] {
            deltas.push(one(name, 1)).unwrap();
        }
        assert!(matches!(deltas.push(one(b"d", 1)), Err(Change::One(Key { name: b"d", .. }, 1))));
        assert!(deltas.pop(|key, _| assert_eq!(key.name, b"cccccccccc")));
        let empty = deltas.empty();
        let taken = mem::replace(&mut deltas, empty);
        deltas.push(one(&longer, 1)).unwrap();
        assert!(deltas.push(one(b"d", 1)).is_err());
        deltas.put_back(taken);
        assert_eq!((deltas.names(), deltas.len()), (2, 3), "this may go beyond the bound");
        assert!(deltas.push(Change::Many(deltas.clone())).is_err());
        assert!(deltas.empty().push(Change::Many(deltas)).is_ok());
    }

    #[test]
    fn many_at_once_go_in_whole_or_not_at_all() {
        let mut many = bounded(9);
        for name in [b"a", b"b", b"c"] {
            many.push(one(name, 1)).unwrap();
        }
        let mut deltas = bounded(2);
        deltas.push(Change::Many(many.clone())).unwrap();
        assert!(matches!(deltas.push(Change::Many(many.clone())), Err(Change::Many(_))));
        let mut wide = bounded(6);
        wide.push(one(b"a", 1)).unwrap();
        wide.push(Change::Many(many)).unwrap();
        assert_eq!((wide.names(), wide.len()), (3, 4));
    }
}
