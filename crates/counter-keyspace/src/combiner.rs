use std::mem;

use counter_protocol::{Delta, NameTooLong};

use crate::deltas::Deltas;
use crate::handle::KeyspaceHandle;
use crate::key::{HEAD_BYTES, Key, head};

/// Number of names that share a place in the cache, in the order in which they were last used.
const WAYS: usize = 2;

/// Number of places. With 32 bytes a slot the cache takes half of a second-level cache.
const PLACES: usize = 8192;

/// Share of names among the operations above which looking for equal names does not pay.
const MOSTLY_NEW: (u64, u64) = (1, 2);

/// Number of takes after which names that were mostly new are looked for again.
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
    /// Number of operations that were added to the deltas since they were last taken.
    added: u64,
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

impl Combiner {
    /// Creates a combiner for the keyspace of this handle.
    #[must_use]
    pub fn new(handle: KeyspaceHandle) -> Self {
        let deltas = (0..handle.shards()).map(|_| Deltas::with_capacity(0, 0)).collect();
        let slots = vec![[Slot::default(); WAYS]; PLACES];
        Self { handle, slots, deltas, added: 0, listed_takes: 0 }
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
        if len > HEAD_BYTES {
            let key = self.handle.key_within(bytes, len)?;
            self.pass_on(key, i128::from(amount).into());
            return Ok(());
        }
        let head = head(bytes, len);
        let place = &mut self.slots[place_of(head)];
        #[expect(clippy::cast_possible_truncation, reason = "a short name has at most 16 bytes")]
        let len = len as u32;
        let [first, _] = place;
        if first.head == head
            && first.len == len
            && let Some(value) = first.value.checked_add(amount)
            && let Some(operations) = first.operations.checked_add(1)
        {
            (first.value, first.operations) = (value, operations);
            return Ok(());
        }
        self.miss(Slot { head, value: amount, operations: 1, len });
        Ok(())
    }

    /// Takes what is not in the cache: the [`Deltas`] of each shard.
    pub fn take(&mut self) -> Vec<Deltas> {
        let names: u64 = self.deltas.iter().map(|deltas| deltas.names() as u64).sum();
        self.listed_takes = match self.listed_takes {
            0 if names * MOSTLY_NEW.1 > self.added * MOSTLY_NEW.0 => TAKES_UNTIL_PROBE,
            listed => listed.saturating_sub(1),
        };
        self.added = 0;
        let next = |deltas: &Deltas| {
            let (names, bytes) = deltas.size();
            Deltas::with_capacity(names, bytes)
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
        let [first, second] = *place;
        let same = |slot: Slot| slot.head == new.head && slot.len == new.len;
        if same(second)
            && let Some(value) = second.value.checked_add(new.value)
            && let Some(operations) = second.operations.checked_add(new.operations)
        {
            *place = [Slot { value, operations, ..second }, first];
            return;
        }
        *place = [new, first];
        self.evict(second);
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
        self.added += 1;
        if self.listed_takes > 0 { deltas.append(key, delta) } else { deltas.fold(key, delta) }
    }
}

/// Returns the place of a name in the cache.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the halves of the head, and the highest bits of their hash")]
const fn place_of(head: u128) -> usize {
    // Multiplicative hashing (Knuth). Names chosen to collide would only cost the benefit of the cache.
    let mixed = (head as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ ((head >> 64) as u64).wrapping_mul(0xd6e8_feb8_6659_fd93);
    (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 51) as usize % PLACES
}
