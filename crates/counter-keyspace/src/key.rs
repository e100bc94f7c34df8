use std::cmp::Ordering;
use std::hash::{BuildHasher, Hasher};

use ahash::RandomState;
use counter_protocol::{CounterName, NameTooLong};

/// How much of a name is its head.
pub(crate) const HEAD_BYTES: usize = size_of::<u128>();

/// By length: the bits of a head that belong to the name.
const MASKS: [u128; HEAD_BYTES + 1] = {
    let mut masks = [0; HEAD_BYTES + 1];
    let mut bytes = 1;
    while bytes <= HEAD_BYTES {
        masks[bytes] = u128::MAX >> (8 * (HEAD_BYTES - bytes));
        bytes += 1;
    }
    masks
};

/// A name, with what is needed to find it: made once by a keyspace's handle, and carried along.
///
/// Keys of the same map are equal if their names are, and ordered by name.
///
/// *Invariant:* the name is at most [`CounterName::MAX_BYTES`] long.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    pub(crate) hash: u64,
    /// The name's first bytes, with zeros behind a shorter one.
    pub(crate) head: u128,
    pub(crate) name: &'a [u8],
}

impl<'a> Key<'a> {
    /// The key of the name that is the first `len` of these bytes.
    ///
    /// Most names are short, and of all lengths: what depends on the length would often be guessed wrong by the
    /// processor. Where there are bytes behind the name, nothing does as long as it fits into its head.
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
        if len <= HEAD_BYTES {
            state.write_u128(head)
        } else {
            state.write(name)
        }
        Ok(Self { hash: state.finish(), head, name })
    }

    /// The key of a name that is known to be short enough.
    pub(crate) fn of(hasher: &RandomState, name: &'a CounterName) -> Self {
        Self::new(hasher, name.as_bytes(), name.as_bytes().len()).expect("its type bounds its length")
    }

    /// The key of a name whose hash comes from elsewhere, for a [`NameMap`](crate::NameMap) of your own.
    #[inline]
    #[must_use]
    pub fn hashed(hash: u64, name: &'a CounterName) -> Self {
        let name = name.as_bytes();
        Self { hash, head: head(name, name.len()), name }
    }

    /// The hash of the name.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// Whether the head is all of the name.
    #[inline]
    pub(crate) const fn is_short(&self) -> bool {
        self.name.len() <= HEAD_BYTES
    }

    /// The name.
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

/// A [`Key`] that can be sent.
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

/// Returns which of the shards a name belongs to.
#[inline]
pub(crate) const fn shard_of(key: Key<'_>, shards: usize) -> usize {
    // Multiplied into range, with bits that neither the segments nor the maps look at.
    (((key.hash >> 32) & 0xffff) as usize * shards) >> 16
}

/// The head of the name that is the first `len` of these bytes.
#[inline]
fn head(bytes: &[u8], len: usize) -> u128 {
    let head = match bytes.first_chunk() {
        Some(head) => u128::from_le_bytes(*head),
        None => short(bytes),
    };
    head & MASKS[len.min(HEAD_BYTES)]
}

/// Fewer bytes than a head has, with zeros behind.
#[cold]
fn short(bytes: &[u8]) -> u128 {
    bytes.iter().rev().fold(0, |head, &byte| head << 8 | u128::from(byte))
}

/// A key whose hash is chosen, for tests.
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
