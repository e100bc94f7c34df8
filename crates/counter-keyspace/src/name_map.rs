use std::mem;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Slot;

/// A map from names to values, made for many small entries.
///
/// Names stand one behind the other in one vector of bytes, entries in another, and the hash table holds the entries'
/// numbers only: so what a table must keep free to be fast costs 5 bytes an entry and not a whole entry. Hashes come
/// from outside, are kept, and are never computed again.
///
/// Vectors grow by an eighth, so that little is reserved in vain; the copying that this costs stays small as long as a
/// map is one of many, each with a part of all names.
#[derive(Clone, Debug)]
pub(crate) struct NameMap<V> {
    index: HashTable<u32>,
    entries: Vec<Entry<V>>,
    names: Vec<u8>,
    /// Bytes of `names` that belong to removed entries.
    dead_bytes: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry<V> {
    hash: u64,
    start: u32,
    len: u32,
    value: V,
}

impl<V> Entry<V> {
    const fn range(&self) -> std::ops::Range<usize> {
        let start = self.start as usize;
        start..start + self.len as usize
    }
}

impl<V> Default for NameMap<V> {
    fn default() -> Self {
        Self { index: HashTable::new(), entries: Vec::new(), names: Vec::new(), dead_bytes: 0 }
    }
}

impl<V: Copy + Default> NameMap<V> {
    /// The value under a name, a default one if it is new.
    ///
    /// # Panics
    /// With more than 4 GiB of names, or 2³² of them.
    #[inline]
    pub(crate) fn entry(&mut self, hash: u64, name: &[u8]) -> &mut V {
        let Self { index, entries, names, .. } = self;
        let is_it = |&at: &u32| {
            let entry = &entries[at as usize];
            entry.hash == hash && names[entry.range()] == *name
        };
        let at = match index.entry(hash, is_it, |&at| entries[at as usize].hash) {
            Slot::Occupied(slot) => *slot.get() as usize,
            Slot::Vacant(slot) => {
                let at = entries.len();
                slot.insert(u32::try_from(at).expect("a map has fewer than 2^32 names"));
                let start = u32::try_from(names.len()).expect("a map's names take less than 4 GiB");
                let len = u32::try_from(name.len()).expect("a name is shorter than 4 GiB");
                make_room(entries, 1);
                make_room(names, name.len());
                entries.push(Entry { hash, start, len, value: V::default() });
                names.extend_from_slice(name);
                at
            }
        };
        &mut self.entries[at].value
    }

    /// The value under a name.
    pub(crate) fn get(&self, hash: u64, name: &[u8]) -> Option<V> {
        self.find(hash, name).map(|at| self.entries[at].value)
    }

    /// Whether there is one.
    pub(crate) fn contains(&self, hash: u64, name: &[u8]) -> bool {
        self.find(hash, name).is_some()
    }

    /// Takes a name out. Its bytes are freed when half of all bytes are free.
    pub(crate) fn remove(&mut self, hash: u64, name: &[u8]) -> Option<V> {
        let at = self.find(hash, name)?;
        let number = u32::try_from(at).ok()?;
        self.index.find_entry(hash, |&it| it == number).ok()?.remove();
        let removed = self.entries.swap_remove(at);
        if let Some(moved) = self.entries.get(at) {
            let last = u32::try_from(self.entries.len()).ok()?;
            if let Some(slot) = self.index.find_mut(moved.hash, |&it| it == last) {
                *slot = number;
            }
        }
        self.dead_bytes += removed.range().len();
        if self.dead_bytes * 2 > self.names.len() {
            self.compact();
        }
        Some(removed.value)
    }

    /// How many names there are.
    pub(crate) const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether names can be found: true until something has been popped.
    pub(crate) fn is_searchable(&self) -> bool {
        self.index.len() == self.entries.len()
    }

    /// All names with their hashes and values, in no order that means anything.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &[u8], V)> {
        self.entries.iter().map(|entry| (entry.hash, &self.names[entry.range()], entry.value))
    }

    /// Takes some entry out, and shows it.
    ///
    /// The entry is gone before it is shown, so a panic in there neither repeats nor loses another. Once this has been
    /// called nothing can be found by name any more, until the map is empty.
    pub(crate) fn pop(&mut self, show: impl FnOnce(u64, &[u8], V)) -> bool {
        let Some(entry) = self.entries.pop() else {
            self.names.clear();
            return false;
        };
        self.index.clear();
        show(entry.hash, &self.names[entry.range()], entry.value);
        true
    }

    fn find(&self, hash: u64, name: &[u8]) -> Option<usize> {
        let is_it = |&at: &u32| {
            let entry = &self.entries[at as usize];
            entry.hash == hash && self.names[entry.range()] == *name
        };
        self.index.find(hash, is_it).map(|&at| at as usize)
    }

    fn compact(&mut self) {
        let old = mem::take(&mut self.names);
        self.names.reserve_exact(old.len() - self.dead_bytes);
        for entry in &mut self.entries {
            let range = entry.range();
            entry.start = u32::try_from(self.names.len()).expect("fewer bytes than before");
            self.names.extend_from_slice(&old[range]);
        }
        self.dead_bytes = 0;
    }
}

/// Grows by an eighth where `Vec` by itself would double.
fn make_room<T>(vec: &mut Vec<T>, more: usize) {
    if vec.capacity() - vec.len() < more {
        vec.reserve_exact(more.max(vec.len() / 8).max(8));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// A hash with many collisions.
    fn hash(name: &[u8]) -> u64 {
        name.iter().map(|&byte| u64::from(byte) % 3).sum::<u64>() << 57
    }

    #[derive(Clone, Debug)]
    enum Step {
        Add(Vec<u8>, u32),
        Remove(Vec<u8>),
    }

    fn step() -> impl Strategy<Value = Step> {
        let name = prop::collection::vec(0..5_u8, 0..4);
        prop_oneof![
            3 => (name.clone(), any::<u32>()).prop_map(|(name, value)| Step::Add(name, value)),
            1 => name.prop_map(Step::Remove),
        ]
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_sorted_map(steps in prop::collection::vec(step(), 0..200)) {
            let (mut map, mut model) = (NameMap::<u32>::default(), BTreeMap::<Vec<u8>, u32>::new());
            for step in steps {
                match step {
                    Step::Add(name, value) => {
                        let entry = map.entry(hash(&name), &name);
                        *entry = entry.wrapping_add(value);
                        let entry = model.entry(name).or_default();
                        *entry = entry.wrapping_add(value);
                    }
                    Step::Remove(name) => prop_assert_eq!(map.remove(hash(&name), &name), model.remove(&name)),
                }
                prop_assert_eq!(map.len(), model.len());
                for (name, value) in &model {
                    prop_assert_eq!(map.get(hash(name), name), Some(*value));
                }
            }
            let mut listed: Vec<_> = map.iter().map(|(_, name, value)| (name.to_vec(), value)).collect();
            listed.sort_unstable();
            prop_assert_eq!(listed, model.clone().into_iter().collect::<Vec<_>>());
            let mut popped = BTreeMap::new();
            while map.pop(|_, name, value| _ = popped.insert(name.to_vec(), value)) {}
            prop_assert_eq!(popped, model);
            prop_assert!(!map.contains(0, b""));
        }
    }
}
