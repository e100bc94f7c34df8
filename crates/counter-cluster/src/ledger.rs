use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::hash::Hasher;

use counter_actor::Count;
use counter_keyspace::{Key, NameMap, first};
use counter_protocol::CounterName;
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use crate::ReplicaId;

/// How many parts a ledger has. Two ledgers that differ are compared part by part, and a part that differs is sent whole.
pub const BUCKETS: usize = 256;

/// What every replica has counted, as far as is known here: a row for each name, a column for each replica. Pure.
///
/// An entry is the replica's value and number of operations of a name. It is cumulative and only its replica changes it,
/// so of two the one with more operations is the newer, and merging is idempotent, commutative and associative: a PN-counter
/// (Shapiro et al., "A comprehensive study of Convergent and Commutative Replicated Data Types", 2011) for each name.
#[derive(Debug)]
pub struct Ledger {
    hasher: SipHasher13,
    buckets: Vec<Bucket>,
    replicas: Vec<Replica>,
    numbers: BTreeMap<ReplicaId, usize>,
}

#[derive(Debug, Default)]
struct Bucket {
    names: NameMap<()>,
    /// By replica; those at the end that have nothing in here are left out.
    columns: Vec<Column>,
}

#[derive(Debug, Default)]
struct Column {
    /// By row; those at the end that are zero are left out.
    counts: Vec<Count>,
    digest: Digest,
}

#[derive(Debug)]
struct Replica {
    id: ReplicaId,
    totals: Totals,
    digest: Digest,
}

/// A sum of what entries hash to: equal for equal entries, whatever order they came in.
pub type Digest = u64;

/// What one replica has counted in all, or all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total {
    /// Applied increments minus applied decrements.
    pub value: i128,
    /// Applied operations.
    pub operations: u128,
}

/// A replica's sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Over all its names.
    pub total: Total,
    /// How many names it has counted.
    pub names: u64,
}

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The replica's number in this ledger.
    pub replica: usize,
    /// Which part of the ledger.
    pub bucket: usize,
    /// Which name in there.
    pub row: u32,
}

impl Total {
    /// Adds an entry.
    pub fn add(&mut self, count: Count) {
        self.value += i128::from(count.value);
        self.operations += u128::from(count.operations);
    }

    fn remove(&mut self, count: Count) {
        self.value -= i128::from(count.value);
        self.operations -= u128::from(count.operations);
    }
}

impl FromIterator<Count> for Total {
    fn from_iter<I: IntoIterator<Item = Count>>(counts: I) -> Self {
        let mut total = Self::default();
        counts.into_iter().for_each(|count| total.add(count));
        total
    }
}

impl Ledger {
    /// An empty ledger. Ledgers that are to be compared need the same key, which should be a secret, so that names from
    /// outside cannot be chosen to collide.
    #[must_use]
    pub fn new(key: [u64; 2]) -> Self {
        Self {
            hasher: SipHasher13::new_with_keys(key[0], key[1]),
            buckets: (0..BUCKETS).map(|_| Bucket::default()).collect(),
            replicas: Vec::new(),
            numbers: BTreeMap::new(),
        }
    }

    /// The number of a replica, which is added if it is not known yet.
    pub fn number(&mut self, id: &ReplicaId) -> usize {
        if let Some(&number) = self.numbers.get(id) {
            return number;
        }
        let number = self.replicas.len();
        self.replicas.push(Replica { id: id.clone(), totals: Totals::default(), digest: 0 });
        self.numbers.insert(id.clone(), number);
        number
    }

    /// The replica with this number.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn id(&self, number: usize) -> &ReplicaId {
        &self.replicas[number].id
    }

    /// Keeps an entry if it is newer than what is known, and says where.
    pub fn merge(&mut self, replica: usize, name: &CounterName, count: Count) -> Option<Place> {
        if count.operations == 0 {
            return None;
        }
        let hash = self.hash(name.as_bytes());
        let bucket = bucket_of(hash);
        let Bucket { names, columns } = &mut self.buckets[bucket];
        let row = names.number(Key::hashed(hash, name));
        if columns.len() <= replica {
            columns.resize_with(replica + 1, Column::default);
        }
        let Column { counts, digest } = &mut columns[replica];
        if counts.len() <= row as usize {
            counts.resize(row as usize + 1, Count::default());
        }
        let entry = &mut counts[row as usize];
        let old = std::mem::replace(entry, count);
        if old.operations >= count.operations {
            *entry = old;
            return None;
        }
        let Replica { totals, digest: of_all, .. } = &mut self.replicas[replica];
        totals.total.remove(old);
        totals.total.add(count);
        totals.names += u64::from(old.operations == 0);
        let change = entry_digest(hash, count).wrapping_sub(entry_digest(hash, old));
        *digest = digest.wrapping_add(change);
        *of_all = of_all.wrapping_add(change);
        Some(Place { replica, bucket, row })
    }

    /// The name and what stands there.
    ///
    /// # Panics
    /// If the place is not from this ledger.
    #[must_use]
    pub fn entry(&self, Place { replica, bucket, row }: Place) -> (Key<'_>, Count) {
        let Bucket { names, columns } = &self.buckets[bucket];
        let (key, ()) = names.at(row).expect("rows are never taken out");
        (key, columns[replica].counts[row as usize])
    }

    /// All entries of a name.
    pub fn entries(&self, name: &CounterName) -> impl Iterator<Item = (&ReplicaId, Count)> {
        let hash = self.hash(name.as_bytes());
        let Bucket { names, columns } = &self.buckets[bucket_of(hash)];
        let row = names.number_of(Key::hashed(hash, name));
        let counts = row.into_iter().flat_map(move |row| counts(columns, row));
        counts.map(|(replica, count)| (&self.replicas[replica].id, count))
    }

    /// All replicas, and what each has counted in all.
    pub fn replicas(&self) -> impl Iterator<Item = (&ReplicaId, Totals)> {
        self.replicas.iter().map(|replica| (&replica.id, replica.totals))
    }

    /// How many names there are.
    #[must_use]
    pub fn names(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.names.len() as u64).sum()
    }

    /// The names with the largest values over all replicas, those of equal value in order of name.
    #[must_use]
    pub fn top(&self, n: usize) -> Vec<(CounterName, Total)> {
        let ranked = self.buckets.iter().flat_map(|Bucket { names, columns }| {
            let rows = names.iter().zip(0..);
            rows.map(move |((key, ()), row)| {
                let Total { value, operations } = counts(columns, row).map(|(_, count)| count).collect();
                (Reverse(value), key, operations)
            })
        });
        let counter = |(Reverse(value), key, operations): (Reverse<i128>, Key<'_>, u128)| {
            (key.into(), Total { value, operations })
        };
        first(n, ranked).into_iter().map(counter).collect()
    }

    /// A digest of all entries of each replica.
    pub fn roots(&self) -> impl Iterator<Item = (&ReplicaId, Digest)> {
        self.replicas.iter().map(|replica| (&replica.id, replica.digest))
    }

    /// A digest of a replica's entries in each bucket; nothing if nothing is known of it.
    #[must_use]
    pub fn digests(&self, id: &ReplicaId) -> Vec<Digest> {
        let Some(&replica) = self.numbers.get(id) else { return Vec::new() };
        let of = |bucket: &Bucket| bucket.columns.get(replica).map_or(0, |column| column.digest);
        self.buckets.iter().map(of).collect()
    }

    /// All entries of a replica in the buckets in which somebody else's digests differ.
    pub fn differing(&self, id: &ReplicaId, theirs: &[Digest]) -> impl Iterator<Item = Place> {
        let replica = self.numbers.get(id).copied();
        let buckets = self.buckets.iter().enumerate();
        buckets.flat_map(move |(bucket, of)| {
            let column = replica.and_then(|replica| of.columns.get(replica));
            let column =
                column.filter(|column| theirs.get(bucket).is_none_or(|digest| *digest != column.digest));
            let rows = column.into_iter().flat_map(|column| (0..).zip(&column.counts));
            let there = rows.filter(|(_, count)| count.operations > 0);
            there.map(move |(row, _)| Place { replica: replica.unwrap_or_default(), bucket, row })
        })
    }

    fn hash(&self, name: &[u8]) -> u64 {
        let mut hasher = self.hasher;
        hasher.write(name);
        hasher.finish()
    }
}

/// A row's entries, by the replica's number.
fn counts(columns: &[Column], row: u32) -> impl Iterator<Item = (usize, Count)> {
    let of = move |column: &Column| column.counts.get(row as usize).copied().unwrap_or_default();
    columns.iter().map(of).enumerate().filter(|(_, count)| count.operations > 0)
}

/// By bits of the hash that a bucket's map does not look at.
const fn bucket_of(hash: u64) -> usize {
    (hash >> 24) as usize % BUCKETS
}

/// Nothing for an entry that is not there.
const fn entry_digest(name_hash: u64, count: Count) -> Digest {
    match count.operations {
        0 => 0,
        operations => mix(name_hash ^ mix(operations ^ mix(count.value.cast_unsigned()))),
    }
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
const fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests;
