use std::collections::VecDeque;
use std::mem;
use std::num::NonZeroUsize;

use counter_protocol::Delta;
use ractor_outbox::Batch;

use crate::calls::Call;
use crate::key::Key;
use crate::name_map::NameMap;

/// Operations that wait for one shard, folded by name.
///
/// Bounded by the number of different names and by their total length. Pure.
///
/// Operations with answers of their own ([`Call`]) are not folded. They keep their place: after what was folded before
/// them, and before what has come since.
#[derive(Debug)]
pub struct Deltas {
    /// Calls in order, each with what was folded before it and after the previous one.
    calls: VecDeque<Stage>,
    /// Size of all that comes before `by_name`.
    size_before: Size,
    /// Operations since the last call.
    by_name: NameMap<Folded>,
    /// Number of folded operations.
    operations: u64,
    bound: Bound,
}

/// Call, and the operations that come before it.
#[derive(Debug)]
struct Stage {
    folded: NameMap<Folded>,
    call: Call,
    /// Size when it came.
    size: Size,
}

/// Number of names, and their length. An operation of a call counts as a name.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    names: usize,
    name_bytes: usize,
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
    /// Operations that are not folded, and answered.
    Call(Call),
    /// Operations that were folded elsewhere. Merging them is free if nothing waits, else one addition for each name.
    Many(Deltas),
}

impl Deltas {
    /// Creates deltas with room for `names` different names of `name_bytes` in all. One name always fits.
    #[must_use]
    pub fn bounded(names: NonZeroUsize, name_bytes: usize) -> Self {
        Self::new(NameMap::default(), Bound { names, name_bytes })
    }

    /// Creates unbounded deltas, with memory reserved for `names` names of `bytes` in all.
    #[must_use]
    pub fn with_capacity(names: usize, bytes: usize) -> Self {
        let bound = Bound { names: NonZeroUsize::MAX, name_bytes: usize::MAX };
        Self::new(NameMap::with_capacity(names, bytes), bound)
    }

    const fn new(by_name: NameMap<Folded>, bound: Bound) -> Self {
        let size_before = Size { names: 0, name_bytes: 0 };
        Self { calls: VecDeque::new(), size_before, by_name, operations: 0, bound }
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

    /// Returns the number of different names. Each operation of a call counts as one.
    #[must_use]
    pub const fn names(&self) -> usize {
        self.size_before.names + self.by_name.len()
    }

    /// Folds an operation in, regardless of the bound.
    #[inline]
    pub fn add(&mut self, key: Key<'_>, amount: i128) {
        self.fold(key, amount.into());
    }

    /// Returns the hashes of the next names to be popped, `most` of them at most.
    pub(crate) fn upcoming(&self, most: usize) -> impl Iterator<Item = u64> {
        self.calls.front().map_or(&self.by_name, |stage| &stage.folded).last(most)
    }

    /// Removes the operations on some name, and passes them to `show`. Returns false if there are none before the first
    /// call.
    pub fn pop(&mut self, show: impl FnOnce(Key<'_>, Delta)) -> bool {
        let operations = &mut self.operations;
        let first = self.calls.front_mut().map_or(&mut self.by_name, |stage| &mut stage.folded);
        first.pop(|key, folded| {
            *operations -= folded.operations;
            show(key, folded.delta());
        })
    }

    /// Returns the first call, if all that was folded before it has been removed.
    pub(crate) fn first_call(&mut self) -> Option<&mut Call> {
        self.calls.front_mut().filter(|stage| stage.folded.is_empty()).map(|stage| &mut stage.call)
    }

    /// Removes the first call.
    pub(crate) fn pop_call(&mut self) -> Option<Call> {
        let Stage { call, size, .. } = self.calls.pop_front()?;
        self.size_before.names -= size.names;
        self.size_before.name_bytes -= size.name_bytes;
        Some(call)
    }

    /// Returns true if nothing in it changes a counter.
    pub(crate) fn is_question(&self) -> bool {
        self.operations == 0 && self.calls.iter().all(|stage| stage.call.is_question())
    }

    fn push_call(&mut self, call: Call) {
        let folded = mem::take(&mut self.by_name);
        let (operations, name_bytes) = call.size();
        let size = Size { names: folded.len() + operations, name_bytes: folded.name_bytes() + name_bytes };
        self.size_before.names += size.names;
        self.size_before.name_bytes += size.name_bytes;
        if self.calls.is_empty() {
            // Most often one call is all that waits.
            self.calls.reserve_exact(1);
        }
        self.calls.push_back(Stage { folded, call, size });
    }

    /// Folds in what was folded elsewhere, after everything else.
    fn fold_all(&mut self, folded: NameMap<Folded>) {
        self.operations += fold_into(&mut self.by_name, folded);
    }

    /// Returns true if `names` more names of `name_bytes` in all fit.
    fn has_room(&self, names: usize, name_bytes: usize) -> bool {
        self.names() + names <= self.bound.names.get()
            && self.size_before.name_bytes + self.by_name.name_bytes() + name_bytes <= self.bound.name_bytes
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
            Change::Call(call) => {
                let (operations, name_bytes) = call.size();
                if self.has_room(operations, name_bytes) || self.is_empty() {
                    self.push_call(call);
                    return Ok(());
                }
                Err(Change::Call(call))
            }
            Change::Many(many) if self.is_empty() => {
                *self = Self { bound: self.bound, ..many };
                Ok(())
            }
            Change::Many(many) if self.has_room(many.names(), many.by_name.name_bytes()) => {
                self.fold_all(many.by_name);
                Ok(())
            }
            Change::Many(many) => Err(Change::Many(many)),
        }
    }

    fn len(&self) -> u64 {
        self.operations + self.calls.iter().map(|stage| stage.call.left() as u64).sum::<u64>()
    }

    fn empty(&self) -> Self {
        Self::bounded(self.bound.names, self.bound.name_bytes)
    }

    fn put_back(&mut self, older: Self) {
        let Self { calls, size_before, by_name, operations, .. } = older;
        self.operations += operations;
        // What is behind the last older call comes before the first newer one.
        match self.calls.front_mut() {
            Some(Stage { folded, size, .. }) => {
                let before = (folded.len(), folded.name_bytes());
                fold_into(folded, by_name);
                let (names, name_bytes) = (folded.len() - before.0, folded.name_bytes() - before.1);
                for size in [size, &mut self.size_before] {
                    size.names += names;
                    size.name_bytes += name_bytes;
                }
            }
            None => _ = fold_into(&mut self.by_name, by_name),
        }
        self.size_before.names += size_before.names;
        self.size_before.name_bytes += size_before.name_bytes;
        for stage in calls.into_iter().rev() {
            self.calls.push_front(stage);
        }
    }
}

/// Folds operations into others, and returns their number.
fn fold_into(folded: &mut NameMap<Folded>, mut others: NameMap<Folded>) -> u64 {
    let operations = others.iter().map(|(_, folded)| folded.operations).sum();
    // Names cannot be looked up in deltas that have been popped from, so such deltas are folded into the others.
    if folded.is_empty() && others.is_searchable() {
        mem::swap(folded, &mut others);
    }
    for (key, other) in others.iter() {
        folded.entry(key).add(other.delta());
    }
    operations
}

#[cfg(test)]
mod tests;
