//! Sums over all entries of a partition, which an entry can be added to and taken out of.

use std::fmt;
use std::hash::Hasher;

use counter_store::ColumnTotals;
use serde::{Deserialize, Serialize};
use siphasher::sip128::{Hasher128, SipHasher13};

use crate::stored;

use super::{Counted, Producer, ProducerId, Tallies};

/// Hash of all that a partition's records add up to: equal for all who have counted the same.
///
/// It is a sum of one hash for each entry, so that it does not depend on their order, and costs only what has changed.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Digest(pub u128);

/// Digest and totals of entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    digest: u128,
    /// Totals of the entries as they are in a store.
    stored: ColumnTotals,
}

impl Sums {
    pub(super) fn add_name(&mut self, name: &[u8], counted: Counted) {
        self.digest = self.digest.wrapping_add(hash_name(name, counted));
        stored::counts_of(counted).for_each(|count| stored::add(&mut self.stored, count));
    }

    pub(super) fn remove_name(&mut self, name: &[u8], counted: Counted) {
        self.digest = self.digest.wrapping_sub(hash_name(name, counted));
        stored::counts_of(counted).for_each(|count| stored::subtract(&mut self.stored, count));
    }

    pub(super) fn add_producer(&mut self, id: &ProducerId, producer: Producer) {
        self.digest = self.digest.wrapping_add(hash_producer(id, producer));
        stored::add(&mut self.stored, stored::producer_count(producer));
    }

    pub(super) fn remove_producer(&mut self, id: &ProducerId, producer: Producer) {
        self.digest = self.digest.wrapping_sub(hash_producer(id, producer));
        stored::subtract(&mut self.stored, stored::producer_count(producer));
    }

    /// Returns the digest of the whole state.
    pub(super) fn digest(&self, offset: u64, tallies: Tallies) -> Digest {
        let Tallies { counted, skipped, duplicates, refused } = tallies;
        let numbers = hash(0, &[], &[offset, counted, skipped, duplicates, refused]);
        Digest(self.digest.wrapping_add(numbers))
    }

    /// Returns the totals of all entries of names and producers as they are in a store.
    pub(super) const fn stored(&self) -> ColumnTotals {
        self.stored
    }
}

fn hash_name(name: &[u8], Counted { value, operations, as_of, .. }: Counted) -> u128 {
    let value = value.cast_unsigned();
    hash(1, name, &[low_half(value), low_half(value >> 64), operations, as_of])
}

fn hash_producer(id: &ProducerId, Producer { sequence, as_of }: Producer) -> u128 {
    hash(2, id, &[sequence, as_of])
}

/// The same in every process: the key is not secret, because a digest protects from mistakes, not from members.
fn hash(kind: u8, name: &[u8], numbers: &[u64]) -> u128 {
    let mut hasher = SipHasher13::new();
    hasher.write_u8(kind);
    numbers.iter().for_each(|number| hasher.write(&number.to_le_bytes()));
    hasher.write(name);
    hasher.finish128().as_u128()
}

fn low_half(number: u128) -> u64 {
    u64::try_from(number & u128::from(u64::MAX)).expect("it has 64 bits")
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
