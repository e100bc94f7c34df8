use std::mem;

use counter_protocol::{Delta, NameTooLong};
use ractor_outbox::Batch;

use crate::deltas::Deltas;
use crate::handle::KeyspaceHandle;
use crate::key::{HEAD_BYTES, Key, head};

/// Number of names that share a place in the cache, in the order in which they were last used.
const WAYS: usize = 2;

/// Number of places. With 32 bytes a slot the cache takes half of a second-level cache.
const PLACES: usize = 8192;

/// Returns true if nine tenths or more of the operations are on different names: too many to look for equal ones.
const fn is_nearly_all_different(names: u64, operations: u64) -> bool {
    names * 10 > operations * 9
}

/// Number of takes after which names that were nearly all different are looked for again.
const TAKES_UNTIL_PROBE: u32 = 16;

/// Combines the operations of one sender before they enter the keyspace, as the combiner of a map-reduce job does.
///
/// Operations on frequent short names are added up in a small write-back cache. The others go to [`Deltas`], which
/// are folded by name if that pays, and otherwise kept as a list for the shards to apply. Sums do not depend on any of
/// this, so a keyspace that uses combiners should [carry](crate::OverflowPolicy::Carry) what exceeds 64 bits.
#[derive(Debug)]
pub struct Combiner {
    handle: KeyspaceHandle,
    slots: Vec<[Slot; WAYS]>,
    deltas: Vec<Deltas>,
    /// Number of takes for which names are listed without being looked for.
    listed_takes: u32,
}

/// Operations on a short name.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    head: u128,
    value: i64,
    /// Number of operations; 0 if the slot is free.
    operations: u32,
    len: u32,
}

impl Slot {
    /// Adds the operations of another slot, if it is one of the same name and the sums fit.
    #[inline]
    fn add(&mut self, other: Self) -> bool {
        if self.head == other.head
            && self.len == other.len
            && let Some(value) = self.value.checked_add(other.value)
            && let Some(operations) = self.operations.checked_add(other.operations)
        {
            (self.value, self.operations) = (value, operations);
            return true;
        }
        false
    }
}

impl Combiner {
    /// Creates a combiner for the keyspace of this handle.
    #[must_use]
    pub fn new(handle: KeyspaceHandle) -> Self {
        let deltas = (0..handle.shards()).map(|_| Deltas::with_capacity(0, 0)).collect();
        let slots = vec![[Slot::default(); WAYS]; PLACES];
        Self { handle, slots, deltas, listed_takes: 0 }
    }

    /// Adds `amount` to the counter whose name is the first `len` of these bytes. This is faster if more bytes follow
    /// the name.
    ///
    /// # Errors
    /// [`NameTooLong`].
    ///
    /// # Panics
    /// If there are fewer bytes.
    #[inline]
    pub fn add(&mut self, bytes: &[u8], len: usize, amount: i64) -> Result<(), NameTooLong> {
        if len > HEAD_BYTES || self.listed_takes > 0 {
            let key = self.handle.key_within(bytes, len)?;
            self.pass_on(key, i128::from(amount).into());
            return Ok(());
        }
        let head = head(bytes, len);
        let place = &mut self.slots[place_of(head)];
        #[expect(clippy::cast_possible_truncation, reason = "a short name has at most 16 bytes")]
        let len = len as u32;
        let new = Slot { head, value: amount, operations: 1, len };
        if !place[0].add(new) {
            self.miss(new);
        }
        Ok(())
    }

    /// Takes what is not in the cache: the [`Deltas`] of each shard.
    pub fn take(&mut self) -> Vec<Deltas> {
        let names = self.deltas.iter().map(|deltas| deltas.names() as u64).sum();
        let operations = self.deltas.iter().map(Deltas::len).sum();
        self.listed_takes = match self.listed_takes {
            0 if is_nearly_all_different(names, operations) => TAKES_UNTIL_PROBE,
            listed => listed.saturating_sub(1),
        };
        let next = |deltas: &Deltas| {
            let (names, bytes) = deltas.size();
            if self.listed_takes > 0 {
                Deltas::list(names, bytes)
            } else {
                Deltas::with_capacity(names, bytes)
            }
        };
        let empty = self.deltas.iter().map(next).collect();
        mem::replace(&mut self.deltas, empty)
    }

    /// Takes everything.
    pub fn take_all(&mut self) -> Vec<Deltas> {
        for place in 0..PLACES {
            for slot in mem::take(&mut self.slots[place]) {
                self.evict(slot);
            }
        }
        self.take()
    }

    /// Puts a name first that is second at its place or not there.
    #[inline(never)]
    fn miss(&mut self, new: Slot) {
        let place = &mut self.slots[place_of(new.head)];
        place.swap(0, 1);
        if !place[0].add(new) {
            let evicted = mem::replace(&mut place[0], new);
            self.evict(evicted);
        }
    }

    fn evict(&mut self, Slot { head, value, operations, len }: Slot) {
        if operations == 0 {
            return;
        }
        let bytes = head.to_le_bytes();
        let key = self.handle.key_within(&bytes, len as usize).expect("the name is short");
        self.pass_on(key, Delta { value: value.into(), operations: operations.into() });
    }

    fn pass_on(&mut self, key: Key<'_>, delta: Delta) {
        let deltas = &mut self.deltas[self.handle.shard_of(key)];
        if self.listed_takes > 0 { deltas.append(key, delta) } else { deltas.fold(key, delta) }
    }
}

/// Returns the place of a name in the cache.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the halves of the head, and the highest bits of their hash"
)]
const fn place_of(head: u128) -> usize {
    // Multiplicative hashing (Knuth). Names chosen to collide would only cost the benefit of the cache.
    let mixed = (head as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ ((head >> 64) as u64).wrapping_mul(0xd6e8_feb8_6659_fd93);
    (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 51) as usize % PLACES
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::keyspace::{Keyspace, KeyspaceOptions};
    use crate::table::OverflowPolicy;

    type Operations = Vec<(Vec<u8>, i64)>;

    /// Counts with a combiner, from which is taken behind every so many operations.
    async fn count(operations: &Operations, take_every: usize) -> BTreeMap<Vec<u8>, (i128, u64)> {
        let options = KeyspaceOptions { overflow: OverflowPolicy::Carry, ..KeyspaceOptions::default() };
        let keyspace = Keyspace::start(options).await.unwrap();
        let handle = keyspace.handle();
        let mut combiner = Combiner::new(handle.clone());
        for some in operations.chunks(take_every) {
            for (name, amount) in some {
                combiner.add(name, name.len(), *amount).unwrap();
            }
            handle.merge(combiner.take()).await.unwrap();
        }
        handle.merge(combiner.take_all()).await.unwrap();
        handle.merge(combiner.take_all()).await.unwrap();
        let beyond = handle.take_overflowed().await.unwrap();
        let tables = keyspace.into_tables().await.unwrap();
        let mut counts: BTreeMap<_, _> = tables
            .iter()
            .flat_map(crate::Table::iter)
            .map(|(key, count)| (key.name().to_vec(), (count.value.into(), count.operations)))
            .collect();
        counts.extend(beyond.into_iter().map(|(name, sum)| {
            let operations = operations.iter().filter(|(other, _)| other == name.as_bytes()).count();
            (name.as_bytes().to_vec(), (sum, operations as u64))
        }));
        counts
    }

    fn name() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            prop::collection::vec(0..3_u8, 0..4),
            prop::collection::vec(0..2_u8, 15..18),
            any::<u16>().prop_map(|n| n.to_string().into_bytes()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn sums_are_exact_however_the_input_is_split(
            operations in prop::collection::vec(
                (name(), prop_oneof![4 => -9..=9_i64, 1 => Just(i64::MIN), 1 => Just(i64::MAX)]), 0..400,
            ),
            take_every in 1..60_usize,
        ) {
            let mut expected = BTreeMap::<_, (i128, u64)>::new();
            for (name, amount) in &operations {
                let (sum, number) = expected.entry(name.clone()).or_default();
                (*sum, *number) = (*sum + i128::from(*amount), *number + 1);
            }
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap();
            prop_assert_eq!(runtime.block_on(count(&operations, take_every)), expected);
        }
    }

    #[tokio::test]
    async fn names_that_all_differ_are_listed_until_they_repeat() {
        let names = |numbers: std::ops::Range<u32>| numbers.map(|n| (n.to_string().into_bytes(), 1));
        let repeated = (0..40).flat_map(|_| names(0..1000));
        let operations: Operations = names(0..60_000).chain(repeated).collect();
        let counts = count(&operations, 1000).await;
        assert_eq!(counts.len(), 60_000);
        assert!(counts.iter().all(|(name, count)| *count == if name.len() < 4 { (41, 41) } else { (1, 1) }));
    }
}
