use std::num::NonZeroUsize;

use ahash::RandomState;
use counter_protocol::NameTooLong;

use crate::key::{self, Key};

/// Assigns names to the shards of a keyspace, also before the keyspace runs.
///
/// Keyspaces with the same [`hash_seeds`](crate::KeyspaceOptions::hash_seeds) and number of shards assign each name to
/// the same shard, as long as they [`agree`](Self::test_vector) on the hash.
///
/// ```
/// use counter_keyspace::Partitioner;
///
/// let partitioner = Partitioner::new([1, 2, 3, 4], 8.try_into()?);
/// let shard = partitioner.shard_of(partitioner.key(b"hits")?);
/// assert!(shard < 8);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Partitioner {
    hasher: RandomState,
    seeds: [u64; 4],
    shards: NonZeroUsize,
}

impl Partitioner {
    /// Creates a partitioner for a keyspace with these hash seeds and this number of shards.
    #[must_use]
    pub fn new(hash_seeds: [u64; 4], shards: NonZeroUsize) -> Self {
        let [a, b, c, d] = hash_seeds;
        Self { hasher: RandomState::with_seeds(a, b, c, d), seeds: hash_seeds, shards }
    }

    /// Returns the key of a name.
    ///
    /// # Errors
    /// [`NameTooLong`].
    pub fn key<'a>(&self, name: &'a [u8]) -> Result<Key<'a>, NameTooLong> {
        Key::new(&self.hasher, name, name.len())
    }

    /// Returns the shard that a name belongs to.
    #[must_use]
    pub fn shard_of(&self, key: Key<'_>) -> usize {
        key::shard_of(key, self.shards.get())
    }

    /// Returns the number of shards.
    #[must_use]
    pub const fn shards(&self) -> NonZeroUsize {
        self.shards
    }

    /// Returns the hashes of a short and of a long name, combined.
    ///
    /// The hash function depends on the version of its library and on the processor that the program was compiled for.
    /// Two programs assign names to the same places only if both get the same result here.
    #[must_use]
    pub fn test_vector(&self) -> u64 {
        let hash = |name: &'static [u8]| self.key(name).map_or(0, |key| key.hash());
        hash(b"short").rotate_left(1) ^ hash(b"a name that is longer than its head")
    }

    pub(crate) const fn hash_seeds(&self) -> [u64; 4] {
        self.seeds
    }
}
