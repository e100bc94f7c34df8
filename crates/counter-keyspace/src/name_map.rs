use std::hint::black_box;
use std::mem;
use std::ops::Range;

use hashbrown::HashTable;

use crate::key::HEAD_BYTES;
use crate::key::Key;

/// Map from names to values, made for many small entries.
///
/// Entries are in one vector, and the hash table holds only their indices. The slots that a hash table must leave
/// free to be fast then cost 5 bytes an entry and not a whole entry. A name of up to 16 bytes is stored in its entry;
/// longer names are stored one after the other in a vector of bytes. Hashes come from outside, are kept, and are
/// never computed again.
///
/// Vectors grow by an eighth, so that little is reserved in vain. The copying that this costs stays small as long as
/// a map is one of many, each with a part of all names.
#[derive(Clone, Debug)]
pub struct NameMap<V> {
    index: HashTable<u32>,
    entries: Vec<Entry<V>>,
    names: Vec<u8>,
    /// Bytes of `names` that belong to removed entries.
    dead_bytes: usize,
    /// Length of all names in bytes, including those within entries.
    name_bytes: usize,
    /// Index of the entry that was last asked for, by some bits of the hash. May be out of date.
    recent: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Entry<V> {
    hash: u64,
    /// First bytes of the name, padded with zeros.
    head: [u8; HEAD_BYTES],
    /// Offset in `names` of a name that is longer than its head.
    start: u32,
    len: u32,
    value: V,
}

/// Number of entries that a map remembers as recent. The list is small enough to stay in the first-level cache.
const RECENT: usize = 4096;

impl<V> Entry<V> {
    #[inline]
    fn key<'a>(&'a self, names: &'a [u8]) -> Key<'a> {
        let len = self.len as usize;
        let name = if self.is_short() { &self.head[..len] } else { &names[self.start as usize..][..len] };
        Key { hash: self.hash, head: u128::from_le_bytes(self.head), name }
    }

    /// Returns true if this is the entry of this name.
    #[inline]
    fn is_of(&self, key: Key<'_>, names: &[u8]) -> bool {
        // Compares 16 bytes at once. The length tells a name from one with zeros behind it, which has the same head.
        // Only long names are then compared as a whole.
        self.head == key.head.to_le_bytes()
            && self.len as usize == key.name.len()
            && (key.is_short() || self.key(names).name == key.name)
    }

    const fn is_short(&self) -> bool {
        self.len as usize <= HEAD_BYTES
    }
}

impl<V> Default for NameMap<V> {
    fn default() -> Self {
        Self {
            index: HashTable::new(),
            entries: Vec::new(),
            names: Vec::new(),
            dead_bytes: 0,
            name_bytes: 0,
            recent: Vec::new(),
        }
    }
}

impl<V: Copy + Default> NameMap<V> {
    /// Creates a map with room for `names` names of `bytes` in all, and a list of recent entries to find frequent
    /// names sooner.
    pub(crate) fn with_capacity(names: usize, bytes: usize) -> Self {
        Self {
            index: HashTable::with_capacity(names),
            entries: Vec::with_capacity(names),
            names: Vec::with_capacity(bytes),
            dead_bytes: 0,
            name_bytes: 0,
            recent: vec![0; RECENT],
        }
    }

    /// Creates a map with room like that of [`with_capacity`](Self::with_capacity), but only for entries that are
    /// [appended](Self::append).
    pub(crate) fn list(names: usize, bytes: usize) -> Self {
        Self { entries: Vec::with_capacity(names), names: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// Reserves memory for `names` more names, of which long ones take `long_name_bytes` in all.
    pub(crate) fn reserve(&mut self, names: usize, long_name_bytes: usize) {
        let entries = &mut self.entries;
        entries.reserve_exact(names);
        self.index.reserve(names, |&at| entries[at as usize].hash);
        self.names.reserve_exact(long_name_bytes);
    }

    /// Returns the length of all names, in bytes.
    pub(crate) const fn name_bytes(&self) -> usize {
        self.name_bytes
    }

    /// Returns the length in bytes of the names that do not fit into their entries.
    pub(crate) const fn long_name_bytes(&self) -> usize {
        self.names.len()
    }

    /// Returns the value under a name, and inserts a default value if the name is new.
    ///
    /// # Panics
    /// With more than 4 GiB of names, or 2³² of them.
    #[inline]
    pub fn entry(&mut self, key: Key<'_>) -> &mut V {
        let index = self.get_or_insert_index(key);
        self.value_mut(index)
    }

    /// Returns the index of a name's entry, and inserts one with a default value if the name is new. Indices count
    /// from 0 and do not change until something is removed.
    ///
    /// # Panics
    /// With more than 4 GiB of names, or 2³² of them.
    #[inline]
    pub fn get_or_insert_index(&mut self, key: Key<'_>) -> u32 {
        // Frequent names are found without the hash table. An entry that is out of date fails the comparison.
        let recent = (key.hash >> 40) as usize % RECENT;
        if let Some(&at) = self.recent.get(recent)
            && self.entries.get(at as usize).is_some_and(|entry| entry.is_of(key, &self.names))
        {
            return at;
        }
        // Most names exist already, and a plain look-up is faster than one that also finds where to insert.
        let at = self.find(key).unwrap_or_else(|| self.insert(key, V::default()));
        if let Some(recent) = self.recent.get_mut(recent) {
            *recent = at;
        }
        at
    }

    /// Returns the indices of all entries.
    #[must_use]
    pub fn indices(&self) -> Range<u32> {
        0..u32::try_from(self.entries.len()).expect("a map has fewer than 2^32 names")
    }

    /// Returns the name and value of the entry with this index.
    #[must_use]
    pub fn at(&self, index: u32) -> Option<(Key<'_>, V)> {
        self.entries.get(index as usize).map(|entry| (entry.key(&self.names), entry.value))
    }

    /// Returns the value of the entry with this index.
    ///
    /// # Panics
    /// If there is no such entry.
    #[inline]
    pub fn value_mut(&mut self, index: u32) -> &mut V {
        &mut self.entries[index as usize].value
    }

    /// Returns the index of a name's entry, if there is one.
    #[must_use]
    pub fn index_of(&self, key: Key<'_>) -> Option<u32> {
        self.find(key)
    }

    /// Returns the most likely index of the entry with this hash.
    #[inline]
    pub(crate) fn guess(&self, hash: u64) -> u32 {
        // Accepts the first slot whose 7-bit tag matches, so that no entry is read.
        self.index.find(hash, |_| true).copied().unwrap_or_default()
    }

    /// Loads an entry into the processor's cache.
    #[inline]
    pub(crate) fn prefetch(&self, at: u32) {
        // Keeps the compiler from leaving the unused reads out. An entry may begin in one line of the cache and end in
        // the next.
        black_box(self.entries.get(at as usize).map(|entry| (entry.hash, entry.value)));
    }

    /// Loads the name of an entry that has been [prefetched](Self::prefetch) into the processor's cache, if it is not
    /// in the entry itself.
    #[inline]
    pub(crate) fn prefetch_name(&self, at: u32) {
        if let Some(entry) = self.entries.get(at as usize)
            && !entry.is_short()
        {
            black_box(self.names.get(entry.start as usize).copied());
        }
    }

    /// Returns the hashes of the last `n` entries, which are the next to be popped.
    pub(crate) fn last(&self, n: usize) -> impl Iterator<Item = u64> {
        self.entries[self.entries.len().saturating_sub(n)..].iter().map(|entry| entry.hash)
    }

    /// Returns the value under a name.
    #[must_use]
    pub fn get(&self, key: Key<'_>) -> Option<V> {
        self.find(key).map(|at| self.entries[at as usize].value)
    }

    /// Returns true if the name exists.
    pub(crate) fn contains(&self, key: Key<'_>) -> bool {
        self.find(key).is_some()
    }

    /// Removes a name. Its bytes are freed once more than half of the bytes in `names` belong to removed names.
    pub(crate) fn remove(&mut self, key: Key<'_>) -> Option<V> {
        let at = self.find(key)?;
        self.index.find_entry(key.hash, |&it| it == at).ok()?.remove();
        let removed = self.entries.swap_remove(at as usize);
        // The last entry has moved into the gap, and its slot in the hash table still says the old index.
        if let Some(moved) = self.entries.get(at as usize) {
            let last = u32::try_from(self.entries.len()).ok()?;
            if let Some(slot) = self.index.find_mut(moved.hash, |&it| it == last) {
                *slot = at;
            }
        }
        self.name_bytes -= removed.len as usize;
        if !removed.is_short() {
            self.dead_bytes += removed.len as usize;
        }
        if self.dead_bytes * 2 > self.names.len() {
            self.compact();
        }
        Some(removed.value)
    }

    /// Returns the number of names.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns true if there are no names.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns true if names can be looked up, which is so until something has been popped.
    pub(crate) fn is_searchable(&self) -> bool {
        self.index.len() == self.entries.len()
    }

    /// Returns all names and values, in arbitrary order.
    pub fn iter(&self) -> impl Iterator<Item = (Key<'_>, V)> {
        self.entries.iter().map(|entry| (entry.key(&self.names), entry.value))
    }

    /// Removes some entry, and passes it to `show`. Returns false if there is none.
    ///
    /// The entry is removed before it is shown, so a panic in `show` neither repeats it nor loses another. From the
    /// first call on, names cannot be looked up until the map is empty.
    pub(crate) fn pop(&mut self, show: impl FnOnce(Key<'_>, V)) -> bool {
        let Some(entry) = self.entries.pop() else {
            self.names.clear();
            return false;
        };
        // Dropping the whole hash table once is cheaper than removing entry by entry; later calls find it empty.
        self.index.clear();
        self.name_bytes -= entry.len as usize;
        show(entry.key(&self.names), entry.value);
        true
    }

    #[inline]
    fn find(&self, key: Key<'_>) -> Option<u32> {
        self.index.find(key.hash, |&at| self.entries[at as usize].is_of(key, &self.names)).copied()
    }

    /// Adds a name that must not exist yet, and returns the index of its entry.
    ///
    /// # Panics
    /// With more than 4 GiB of names, or 2³² of them.
    #[cold]
    #[inline(never)]
    pub(crate) fn insert(&mut self, key: Key<'_>, value: V) -> u32 {
        let at = self.append(key, value);
        if self.index.len() == self.index.capacity() {
            self.grow_index();
        } else {
            self.index.insert_unique(key.hash, at, |_| unreachable!("there is room"));
        }
        at
    }

    /// Adds an entry that look-ups do not find, whether or not there is one with this name, and returns its index.
    ///
    /// # Panics
    /// With more than 4 GiB of names, or 2³² of them.
    #[inline]
    pub(crate) fn append(&mut self, key: Key<'_>, value: V) -> u32 {
        let Self { entries, names, name_bytes, .. } = self;
        let at = u32::try_from(entries.len()).expect("a map has fewer than 2^32 names");
        let start = u32::try_from(names.len()).expect("a map's names take less than 4 GiB");
        let len = u32::try_from(key.name.len()).expect("a name is shorter than 4 GiB");
        make_room(entries, 1);
        if !key.is_short() {
            make_room(names, key.name.len());
            names.extend_from_slice(key.name);
        }
        entries.push(Entry { hash: key.hash, head: key.head.to_le_bytes(), start, len, value });
        *name_bytes += key.name.len();
        at
    }

    /// Replaces the hash table by a larger one of all entries.
    ///
    /// Reads the entries one after the other. The hash table itself would read them in its own order, which is random,
    /// and they are ten times as large.
    fn grow_index(&mut self) {
        // Doubles it when there are no holes of removed entries.
        let mut index = HashTable::with_capacity(self.entries.len() / 2 * 3 + 1);
        for (at, entry) in (0..).zip(&self.entries) {
            index.insert_unique(entry.hash, at, |_| unreachable!("there is room"));
        }
        self.index = index;
    }

    fn compact(&mut self) {
        // Copies the bytes of living names to a new vector, and has each entry point there.
        let old = mem::take(&mut self.names);
        self.names.reserve_exact(old.len() - self.dead_bytes);
        for entry in self.entries.iter_mut().filter(|entry| !entry.is_short()) {
            let start = u32::try_from(self.names.len()).expect("fewer bytes than before");
            self.names.extend_from_slice(&old[entry.start as usize..][..entry.len as usize]);
            entry.start = start;
        }
        self.dead_bytes = 0;
    }
}

/// Makes room by growing an eighth at a time, where `Vec` itself would double.
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
    use crate::key::with_hash;

    /// Creates a key whose hash has many collisions.
    fn key(name: &[u8]) -> Key<'_> {
        with_hash(name.iter().map(|&byte| u64::from(byte) % 3).sum::<u64>() << 57, name)
    }

    #[derive(Clone, Debug)]
    enum Step {
        Add(Vec<u8>, u32),
        Remove(Vec<u8>),
    }

    fn step() -> impl Strategy<Value = Step> {
        let name = prop_oneof![prop::collection::vec(0..5_u8, 0..4), prop::collection::vec(0..2_u8, 15..19)];
        prop_oneof![
            3 => (name.clone(), any::<u32>()).prop_map(|(name, value)| Step::Add(name, value)),
            1 => name.prop_map(Step::Remove),
        ]
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_sorted_map(steps in prop::collection::vec(step(), 0..200), remembers: bool) {
            let mut map = if remembers { NameMap::with_capacity(2, 20) } else { NameMap::<u32>::default() };
            let mut model = BTreeMap::<Vec<u8>, u32>::new();
            for step in steps {
                match step {
                    Step::Add(name, value) => {
                        let entry = map.entry(key(&name));
                        *entry = entry.wrapping_add(value);
                        let entry = model.entry(name).or_default();
                        *entry = entry.wrapping_add(value);
                    }
                    Step::Remove(name) => prop_assert_eq!(map.remove(key(&name)), model.remove(&name)),
                }
                prop_assert_eq!(map.len(), model.len());
                prop_assert_eq!(map.name_bytes(), model.keys().map(Vec::len).sum::<usize>());
                for (name, value) in &model {
                    prop_assert_eq!(map.get(key(name)), Some(*value));
                }
            }
            let mut listed: Vec<_> = map.iter().map(|(key, value)| (key.name.to_vec(), value)).collect();
            listed.sort_unstable();
            prop_assert_eq!(listed, model.clone().into_iter().collect::<Vec<_>>());
            let mut popped = BTreeMap::new();
            while map.pop(|key, value| _ = popped.insert(key.name.to_vec(), value)) {}
            prop_assert_eq!(popped, model);
            prop_assert!(!map.contains(key(b"")));
            prop_assert_eq!(map.name_bytes(), 0);
        }
    }
}
