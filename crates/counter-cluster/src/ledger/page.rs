use counter_protocol::Count;

use super::parts::Scope;

/// Number of rows that a page covers: one for each bit of its masks.
pub(crate) const PAGE_ROWS: u32 = u64::BITS;

/// Entries of one column in [`PAGE_ROWS`] rows of a bucket, without room for entries that do not exist.
///
/// A page costs 56 bytes and 16 more for each entry: 17 bytes an entry if it is full, and no page exists for rows in
/// which its column has nothing.
#[derive(Debug)]
pub(super) struct Page {
    /// Column and bucket that it belongs to.
    pub(super) column: u32,
    pub(super) bucket: u8,
    /// First row, divided by [`PAGE_ROWS`].
    index: u32,
    /// Rows that have an entry.
    present: u64,
    /// Rows whose entry was relayed by another node than its replica.
    relayed: u64,
    /// The entries, in order of their rows.
    counts: Vec<Count>,
}

impl Page {
    pub(super) const fn new(column: u32, bucket: u8, index: u32) -> Self {
        Self { column, bucket, index, present: 0, relayed: 0, counts: Vec::new() }
    }

    /// Returns the row of a slot in the bucket.
    pub(super) const fn row(&self, slot: u8) -> u32 {
        self.index * PAGE_ROWS + slot as u32
    }

    /// Returns the count of an entry, which is zero if there is none.
    pub(super) fn get(&self, slot: u8) -> Count {
        if self.present & bit(slot) == 0 { Count::default() } else { self.counts[self.position(slot)] }
    }

    /// Sets an entry, or removes it if it has no operations. Returns the old one.
    pub(super) fn set(&mut self, slot: u8, count: Count) -> Count {
        let at = self.position(slot);
        let exists = self.present & bit(slot) != 0;
        match (exists, count.operations > 0) {
            (true, true) => std::mem::replace(&mut self.counts[at], count),
            (true, false) => {
                self.present &= !bit(slot);
                self.counts.remove(at)
            }
            (false, true) => {
                if self.counts.len() == self.counts.capacity() {
                    // From 1 on, where `Vec` by itself begins with 4.
                    self.counts.reserve_exact(self.counts.len().max(1));
                }
                self.present |= bit(slot);
                self.counts.insert(at, count);
                Count::default()
            }
            (false, false) => Count::default(),
        }
    }

    pub(super) const fn is_relayed(&self, slot: u8) -> bool {
        self.relayed & bit(slot) != 0
    }

    pub(super) const fn set_relayed(&mut self, slot: u8, relayed: bool) {
        if relayed { self.relayed |= bit(slot) } else { self.relayed &= !bit(slot) }
    }

    /// Marks all entries as sent by the replica itself. Returns the number of those that were relayed before.
    pub(super) const fn confirm(&mut self) -> u64 {
        let confirmed = self.relayed.count_ones();
        self.relayed = 0;
        confirmed as u64
    }

    /// Returns all entries with their slots.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u8, Count)> {
        slots(self.present).zip(self.counts.iter().copied())
    }

    /// Returns the slots of the entries that a comparison looks for, as a mask.
    pub(super) const fn mask(&self, scope: Scope) -> u64 {
        match scope {
            Scope::All => self.present,
            Scope::Relayed => self.relayed,
        }
    }

    const fn position(&self, slot: u8) -> usize {
        (self.present & (bit(slot) - 1)).count_ones() as usize
    }

    /// Returns the allocated memory, in bytes.
    #[cfg(test)]
    pub(super) const fn allocated(&self) -> usize {
        self.counts.capacity() * size_of::<Count>()
    }
}

const fn bit(slot: u8) -> u64 {
    1 << slot
}

/// Returns the positions of the bits that are set, from the lowest.
pub(crate) fn slots(mut mask: u64) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let slot = u8::try_from(mask.trailing_zeros()).ok().filter(|_| mask != 0)?;
        mask &= mask - 1;
        Some(slot)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_agrees_with_a_map(steps in prop::collection::vec((0..64_u8, 0..3_u64, any::<bool>()), 0..200)) {
            let (mut page, mut model) = (Page::new(0, 0, 0), BTreeMap::new());
            for (slot, operations, relayed) in steps {
                let count = Count { value: i64::from(slot), operations };
                let old = if operations > 0 { model.insert(slot, (count, relayed)) } else { model.remove(&slot) };
                prop_assert_eq!(page.set(slot, count), old.map(|(count, _)| count).unwrap_or_default());
                page.set_relayed(slot, relayed && operations > 0);
            }
            let expected: Vec<_> = model.iter().map(|(slot, (count, _))| (*slot, *count)).collect();
            prop_assert_eq!(page.entries().collect::<Vec<_>>(), expected);
            let expected: Vec<_> = model.iter().filter(|(_, (_, relayed))| *relayed).map(|(slot, _)| *slot).collect();
            prop_assert_eq!(slots(page.mask(Scope::Relayed)).collect::<Vec<_>>(), expected);
            for slot in 0..64 {
                let known = model.get(&slot).copied().unwrap_or_default();
                prop_assert_eq!((page.get(slot), page.is_relayed(slot)), known);
            }
        }
    }
}
