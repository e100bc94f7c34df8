use std::cmp::Ordering;
use std::hash::{BuildHasher, Hasher};

use ahash::RandomState;
use counter_protocol::{CounterName, NameTooLong};

/// Length of a name's head, in bytes.
pub(crate) const HEAD_BYTES: usize = size_of::<u128>();

/// Masks by length: the bits of a head that belong to the name.
const MASKS: [u128; HEAD_BYTES + 1] = {
    let mut masks = [0; HEAD_BYTES + 1];
    let mut bytes = 1;
    while bytes <= HEAD_BYTES {
        masks[bytes] = u128::MAX >> (8 * (HEAD_BYTES - bytes));
        bytes += 1;
    }
    masks
};

/// Name with its hash and head. A keyspace's handle computes them once, and they travel with the name.
///
/// Keys of the same map are equal if their names are, and ordered by name.
///
/// *Invariant:* the name is at most [`CounterName::MAX_BYTES`] long.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    pub(crate) hash: u64,
    /// First bytes of the name, padded with zeros.
    pub(crate) head: u128,
    pub(crate) name: &'a [u8],
}

impl<'a> Key<'a> {
    /// Creates the key of the name that is the first `len` of these bytes.
    ///
    /// Most names are short and of varying length, so branches on the length would often be mispredicted. As long as
    /// the name fits into its head and [`HEAD_BYTES`] bytes can be read, no branch depends on its exact length.
    ///
    /// # Errors
    /// [`NameTooLong`].
    ///
    /// # Panics
    /// If there are fewer bytes.
    #[inline]
    pub(crate) fn new(hasher: &RandomState, bytes: &'a [u8], len: usize) -> Result<Self, NameTooLong> {
        CounterName::check_len(len)?;
        let name = &bytes[..len];
        let head = head(bytes, len);
        let mut state = hasher.build_hasher();
        // A short name is hashed as one word, whatever its length. Names that differ only in zeros at their end share
        // the hash, but are not equal.
        if len <= HEAD_BYTES {
            state.write_u128(head)
        } else {
            state.write(name)
        }
        Ok(Self { hash: state.finish(), head, name })
    }

    /// Creates the key of a name whose length is known to be within the limit.
    pub(crate) fn of(hasher: &RandomState, name: &'a CounterName) -> Self {
        Self::new(hasher, name.as_bytes(), name.as_bytes().len()).expect("its type bounds its length")
    }

    /// Creates a key with a hash from elsewhere, for a [`NameMap`](crate::NameMap) of your own.
    #[inline]
    #[must_use]
    pub fn hashed(hash: u64, name: &'a CounterName) -> Self {
        let name = name.as_bytes();
        Self { hash, head: head(name, name.len()), name }
    }

    /// Creates a key with its hash, of the name that is the first `len` of these bytes.
    #[inline]
    pub(crate) fn within(hash: u64, bytes: &'a [u8], len: usize) -> Self {
        Self { hash, head: head(bytes, len), name: &bytes[..len] }
    }

    /// Returns the hash of the name.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// Returns true if the name fits into its head.
    #[inline]
    pub(crate) const fn is_short(&self) -> bool {
        self.name.len() <= HEAD_BYTES
    }

    /// Returns the first bytes of the name as a big-endian number, which orders most names.
    pub(crate) const fn prefix(&self) -> [u64; 2] {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = self.head.to_le_bytes();
        [u64::from_be_bytes([a, b, c, d, e, f, g, h]), u64::from_be_bytes([i, j, k, l, m, n, o, p])]
    }

    /// Returns the name.
    #[must_use]
    pub const fn name(&self) -> &'a [u8] {
        self.name
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Key<'_> {}

impl PartialOrd for Key<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name.cmp(other.name)
    }
}

impl From<Key<'_>> for CounterName {
    fn from(key: Key<'_>) -> Self {
        key.name.try_into().expect("a key's name is within the limit")
    }
}

/// Owned [`Key`], to be sent.
#[derive(Clone, Debug)]
pub struct OwnedKey {
    hash: u64,
    head: u128,
    name: CounterName,
}

impl OwnedKey {
    pub(crate) fn borrow(&self) -> Key<'_> {
        Key { hash: self.hash, head: self.head, name: self.name.as_bytes() }
    }
}

impl From<Key<'_>> for OwnedKey {
    fn from(key: Key<'_>) -> Self {
        Self { hash: key.hash, head: key.head, name: key.into() }
    }
}

/// Returns the index of the shard that a name belongs to.
#[inline]
pub(crate) const fn shard_of(key: Key<'_>, shards: usize) -> usize {
    // Scales 16 bits of the hash to `0..shards` without a division. Segments use bits 24 to 31, and hash tables the
    // lowest bits and the top 7, so names of one shard still spread over all of these.
    (((key.hash >> 32) & 0xffff) as usize * shards) >> 16
}

/// Returns the head of the name that is the first `len` of these bytes.
#[inline]
pub(crate) fn head(bytes: &[u8], len: usize) -> u128 {
    // One load of 16 bytes; the mask then clears those behind the name. In little-endian order the first byte of the
    // name is the lowest of the word, so the mask depends on the length only.
    let head = match bytes.first_chunk() {
        Some(head) => u128::from_le_bytes(*head),
        None => short(bytes),
    };
    head & MASKS[len.min(HEAD_BYTES)]
}

/// Returns fewer bytes than a head has, padded with zeros.
#[cold]
fn short(bytes: &[u8]) -> u128 {
    // From the last byte to the first, which ends up lowest, as in `from_le_bytes`.
    bytes.iter().rev().fold(0, |head, &byte| head << 8 | u128::from(byte))
}

/// Creates a key with a chosen hash, for tests.
#[cfg(test)]
pub(crate) fn with_hash(hash: u64, name: &[u8]) -> Key<'_> {
    Key { hash, ..Key::new(&RandomState::with_seeds(1, 2, 3, 4), name, name.len()).unwrap() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_has_the_same_key_wherever_it_stands(
            name in prop::collection::vec(any::<u8>(), 0..20), behind: Vec<u8>,
        ) {
            let hasher = RandomState::with_seeds(1, 2, 3, 4);
            let bytes = [&name[..], &behind].concat();
            let alone = Key::new(&hasher, &name, name.len()).unwrap();
            let within = Key::new(&hasher, &bytes, name.len()).unwrap();
            prop_assert_eq!((alone.hash, alone.head, alone.name), (within.hash, within.head, within.name));
            let mut padded = name.clone();
            padded.resize(name.len().max(HEAD_BYTES), 0);
            prop_assert_eq!(&alone.head.to_le_bytes()[..], &padded[..HEAD_BYTES]);
        }
    }
}
