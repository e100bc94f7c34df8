mod comparison;
mod names;
mod page;
mod parts;
mod ranking;
mod stored;
mod totals;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;

use counter_keyspace::{Key, NameMap};
use counter_protocol::{Count, CounterName};
use siphasher::sip::SipHasher13;

pub use totals::{Total, Totals};

use crate::replica::ReplicaId;
pub(crate) use names::NamePage;
use page::Page;
pub(crate) use page::slots;
pub use parts::{FAN_OUT, PartDigests, Parts};
pub(crate) use parts::{Scope, bucket_of_part};
pub(crate) use ranking::Ranking;
pub(crate) use stored::Recovering;

/// Number of buckets of a ledger. Two ledgers that differ are compared bucket by bucket, and a bucket that differs is
/// divided further unless it has few entries.
pub const BUCKETS: usize = 256;

/// Maximum number of replicas that a ledger has columns for. Entries of further ones are refused, so that nobody can
/// fill the memory by inventing replicas. A node that starts again is a new replica, so this also bounds how often the
/// nodes of a cluster can start while one of them runs on.
pub const MAX_REPLICAS: usize = 1 << 16;

/// Part of [`MAX_REPLICAS`] that is reserved for replicas that are connected, so that invented ones cannot keep them
/// out.
pub const RESERVED_REPLICAS: usize = 1 << 10;

/// The known counts of every replica: a row for each name, a column for each replica. Pure.
///
/// An entry is the replica's value and number of operations of a name. It is cumulative and only its replica changes
/// it, so of two entries the one with more operations is the newer, and merging is idempotent, commutative and
/// associative: a PN-counter (Shapiro et al., "A comprehensive study of Convergent and Commutative Replicated Data
/// Types", 2011) for each name.
///
/// Columns are sparse: they consist of pages of 64 rows, and a page has room for the entries that exist. So a replica
/// takes memory for its own entries only.
///
/// An entry that comes from another node than its replica may be wrong. It is marked as relayed until the replica
/// itself sends the same or a newer one, or [corrects](Self::correct) it.
#[derive(Debug)]
pub struct Ledger {
    hasher: SipHasher13,
    buckets: Vec<Bucket>,
    /// Pages of all columns, in the order of their creation. They are never removed.
    pages: Vec<Page>,
    replicas: Vec<Replica>,
    columns: BTreeMap<ReplicaId, u32>,
    /// Columns that have forked since they were last taken.
    new_forks: Vec<u32>,
}

#[derive(Debug, Default)]
struct Bucket {
    names: NameMap<()>,
    /// Columns that have an entry in this bucket, or had one.
    columns: BTreeMap<u32, Column>,
    /// Rows whose entries have all been corrected away.
    vacant: BTreeSet<u32>,
}

/// A column's part of a bucket.
#[derive(Debug, Default)]
struct Column {
    /// Pages that exist: their index in the column, and their index in the ledger. Sorted.
    pages: Vec<(u32, u32)>,
    digest: Digest,
}

#[derive(Debug)]
struct Replica {
    id: ReplicaId,
    totals: Totals,
    digest: Digest,
    /// Number of relayed entries.
    relayed: u64,
    /// Number of entries that have come with another value for as many operations.
    forks: u64,
}

/// Sum of the hashes of entries, which does not depend on their order.
pub type Digest = u64;

/// Digests of a column by bucket, without buckets in which it has no entries.
pub type Digests = BTreeMap<u8, Digest>;

/// Position of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub(crate) page: u32,
    pub(crate) slot: u8,
}

/// Source of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The replica itself.
    Direct,
    /// Another node.
    Relayed,
}

impl Ledger {
    /// Makes an empty ledger.
    ///
    /// Ledgers that are to be compared need the same key. It should be a secret, so that nobody outside can choose
    /// names that collide.
    #[must_use]
    pub fn new(key: [u64; 2]) -> Self {
        Self {
            hasher: SipHasher13::new_with_keys(key[0], key[1]),
            buckets: (0..BUCKETS).map(|_| Bucket::default()).collect(),
            pages: Vec::new(),
            replicas: Vec::new(),
            columns: BTreeMap::new(),
            new_forks: Vec::new(),
        }
    }

    /// Returns the column of a replica, which is added if there is none. `None` if there is no room for another one.
    pub fn add_column(&mut self, id: &ReplicaId, source: Source) -> Option<u32> {
        if let Some(column) = self.column(id) {
            return Some(column);
        }
        if !self.has_room(source) {
            return None;
        }
        let column = u32::try_from(self.replicas.len()).ok()?;
        self.replicas.push(Replica {
            id: id.clone(),
            totals: Totals::default(),
            digest: 0,
            relayed: 0,
            forks: 0,
        });
        self.columns.insert(id.clone(), column);
        Some(column)
    }

    /// Returns true if another replica can be added.
    #[must_use]
    pub fn has_room(&self, source: Source) -> bool {
        let limit = match source {
            Source::Direct => MAX_REPLICAS,
            Source::Relayed => MAX_REPLICAS - RESERVED_REPLICAS,
        };
        self.replicas.len() < limit
    }

    /// Returns the column of a replica.
    #[must_use]
    pub fn column(&self, id: &ReplicaId) -> Option<u32> {
        self.columns.get(id).copied()
    }

    /// Keeps an entry if it is newer than the known one, and returns its place if it has changed.
    ///
    /// Two values for as many operations are a fork: two lives have counted as one replica. It is noted, and the
    /// greater value is kept everywhere, so that nodes agree.
    ///
    /// # Panics
    /// If there is no such column.
    pub fn merge(&mut self, column: u32, name: &CounterName, count: Count, source: Source) -> Option<Place> {
        if count.operations == 0 {
            return None;
        }
        let hash = self.hash(name);
        let place = self.place_or_insert(column, hash, name);
        let page = &self.pages[place.page as usize];
        let (old, is_relayed) = (page.get(place.slot), page.is_relayed(place.slot));
        let is_newer = count.operations > old.operations;
        // Of two with as many operations, the replica's own word counts.
        let is_confirmed = source == Source::Direct && is_relayed && count.operations == old.operations;
        let is_fork = count.operations == old.operations && count.value != old.value && !is_confirmed;
        if is_fork {
            self.note_fork(column);
        }
        let is_greater_fork = is_fork && count.value > old.value;
        if !is_newer && !is_confirmed && !is_greater_fork {
            return None;
        }
        self.set(place, hash, count, source).then_some(place)
    }

    /// Returns the column that a page belongs to.
    ///
    /// # Panics
    /// If the page is not from this ledger.
    pub(crate) fn column_of(&self, page: u32) -> u32 {
        self.pages[page as usize].column
    }

    /// Returns the replica of a column.
    ///
    /// # Panics
    /// If there is no such column.
    #[must_use]
    pub fn id(&self, column: u32) -> &ReplicaId {
        &self.replicas[column as usize].id
    }

    /// Returns the name and the count of a place.
    ///
    /// # Panics
    /// If the place is not from this ledger.
    #[must_use]
    pub fn entry(&self, Place { page, slot }: Place) -> (Key<'_>, Count) {
        let page = &self.pages[page as usize];
        let names = &self.buckets[usize::from(page.bucket)].names;
        let (key, ()) = names.at(page.row(slot)).expect("rows are never taken out");
        (key, page.get(slot))
    }

    /// Returns the count of a column's entry, which is zero if there is none.
    #[must_use]
    pub fn get(&self, column: u32, name: &CounterName) -> Count {
        let place = self.place(column, self.hash(name), name);
        place.map_or_else(Count::default, |Place { page, slot }| self.pages[page as usize].get(slot))
    }

    /// Returns all entries of a name, in the order of columns.
    pub fn entries(&self, name: &CounterName) -> impl DoubleEndedIterator<Item = (&ReplicaId, Count)> {
        let hash = self.hash(name);
        let bucket = &self.buckets[bucket_of(hash)];
        let row = bucket.names.index_of(Key::hashed(hash, name));
        let counts = row.into_iter().flat_map(move |row| self.counts(bucket, row));
        counts.map(|(column, count)| (self.id(column), count))
    }

    /// Returns all replicas with their sums.
    pub fn replicas(&self) -> impl Iterator<Item = (&ReplicaId, Totals)> {
        self.replicas.iter().map(|replica| (&replica.id, replica.totals))
    }

    fn note_fork(&mut self, column: u32) {
        let forks = &mut self.replicas[column as usize].forks;
        *forks += 1;
        if *forks == 1 {
            self.new_forks.push(column);
        }
    }

    /// Returns the replicas that have forked since the last call.
    pub fn take_new_forks(&mut self) -> Vec<ReplicaId> {
        std::mem::take(&mut self.new_forks).into_iter().map(|column| self.id(column).clone()).collect()
    }

    /// Returns the replicas that have forked, and how often that was seen.
    pub fn forks(&self) -> impl Iterator<Item = (&ReplicaId, u64)> {
        let forked = self.replicas.iter().filter(|replica| replica.forks > 0);
        forked.map(|replica| (&replica.id, replica.forks))
    }

    /// Returns the number of names.
    #[must_use]
    pub fn names(&self) -> u64 {
        let names = |bucket: &Bucket| (bucket.names.len() - bucket.vacant.len()) as u64;
        self.buckets.iter().map(names).sum()
    }

    fn place_or_insert(&mut self, column: u32, hash: u64, name: &CounterName) -> Place {
        let bucket = bucket_of(hash);
        let Bucket { names, columns, .. } = &mut self.buckets[bucket];
        let row = names.get_or_insert_index(Key::hashed(hash, name));
        let (index, slot) = split(row);
        let pages = &mut columns.entry(column).or_default().pages;
        let at = pages.partition_point(|(before, _)| *before < index);
        if let Some((_, page)) = pages.get(at).filter(|(found, _)| *found == index) {
            return Place { page: *page, slot };
        }
        let page = u32::try_from(self.pages.len()).expect("a ledger has fewer than 2^32 pages");
        pages.insert(at, (index, page));
        let bucket = u8::try_from(bucket).expect("there are 256 buckets");
        self.pages.push(Page::new(column, bucket, index));
        Place { page, slot }
    }

    fn place(&self, column: u32, hash: u64, name: &CounterName) -> Option<Place> {
        let bucket = &self.buckets[bucket_of(hash)];
        let row = bucket.names.index_of(Key::hashed(hash, name))?;
        bucket.columns.get(&column)?.place(row)
    }

    /// Replaces an entry, and returns true if its count has changed.
    fn set(&mut self, place: Place, hash: u64, count: Count, source: Source) -> bool {
        let page = &mut self.pages[place.page as usize];
        let (column, row) = (page.column, page.row(place.slot));
        let was_relayed = page.is_relayed(place.slot);
        let is_relayed = source == Source::Relayed;
        let old = page.set(place.slot, count);
        page.set_relayed(place.slot, is_relayed);
        let bucket = &mut self.buckets[usize::from(page.bucket)];
        let replica = &mut self.replicas[column as usize];
        replica.relayed += u64::from(is_relayed);
        replica.relayed -= u64::from(was_relayed);
        if old == count {
            return false;
        }
        replica.totals.replace(old, count);
        let change = entry_digest(hash, count).wrapping_sub(entry_digest(hash, old));
        replica.digest = replica.digest.wrapping_add(change);
        let part = bucket.columns.entry(column).or_default();
        part.digest = part.digest.wrapping_add(change);
        if count.operations > 0 {
            bucket.vacant.remove(&row);
        } else {
            self.vacate(bucket_of(hash), row);
        }
        true
    }

    /// Notes a row that has no entry any more, if that is so.
    fn vacate(&mut self, bucket: usize, row: u32) {
        if self.counts(&self.buckets[bucket], row).next().is_none() {
            self.buckets[bucket].vacant.insert(row);
        }
    }

    /// Returns a row's entries, in the order of columns.
    fn counts<'a>(
        &'a self,
        bucket: &'a Bucket,
        row: u32,
    ) -> impl DoubleEndedIterator<Item = (u32, Count)> + 'a {
        let of = move |(column, part): (&u32, &Column)| {
            let Place { page, slot } = part.place(row)?;
            Some((*column, self.pages[page as usize].get(slot)))
        };
        bucket.columns.iter().filter_map(of).filter(|(_, count)| count.operations > 0)
    }

    /// Returns the sums of all rows.
    fn rows(&self, bucket: &Bucket) -> Vec<Total> {
        let mut rows = vec![Total::default(); bucket.names.len()];
        for (_, page) in bucket.columns.values().flat_map(|part| &part.pages) {
            let page = &self.pages[*page as usize];
            page.entries().for_each(|(slot, count)| rows[page.row(slot) as usize].add(count));
        }
        rows
    }

    /// Returns the memory of all columns and their pages, in bytes.
    #[cfg(test)]
    fn allocated(&self) -> u64 {
        let columns = self.buckets.iter().flat_map(|bucket| bucket.columns.values());
        let of_columns: usize = columns
            .map(|column| size_of::<Column>() + column.pages.capacity() * size_of::<(u32, u32)>())
            .sum();
        let of_pages: usize = self.pages.iter().map(|page| size_of::<Page>() + page.allocated()).sum();
        (of_columns + of_pages) as u64
    }

    /// Returns names in a bucket, without end.
    #[cfg(test)]
    pub(crate) fn names_in_bucket(&self, bucket: usize) -> impl Iterator<Item = CounterName> {
        let names = (0_u32..).map(|n| CounterName::new(n.to_string()).expect("it is short"));
        names.filter(move |name| bucket_of(self.hash(name)) == bucket)
    }

    fn hash(&self, name: &CounterName) -> u64 {
        let mut hasher = self.hasher;
        hasher.write(name.as_bytes());
        hasher.finish()
    }
}

impl Column {
    fn place(&self, row: u32) -> Option<Place> {
        let (index, slot) = split(row);
        let at = self.pages.binary_search_by_key(&index, |(index, _)| *index).ok()?;
        Some(Place { page: self.pages[at].1, slot })
    }
}

/// Returns the index of a row's page in its column, and the row's slot in the page.
fn split(row: u32) -> (u32, u8) {
    let slot = u8::try_from(row % page::PAGE_ROWS).expect("a page has 64 rows");
    (row / page::PAGE_ROWS, slot)
}

/// Returns the bucket of a name, by bits of the hash that a bucket's map does not use.
const fn bucket_of(hash: u64) -> usize {
    (hash >> 24) as usize % BUCKETS
}

/// Returns the hash of an entry, which is zero for one that does not exist.
const fn entry_digest(name_hash: u64, count: Count) -> Digest {
    match count.operations {
        0 => 0,
        operations => mix(name_hash ^ mix(operations ^ mix(count.value.cast_unsigned()))),
    }
}

/// Mixes bits by the finalizer of SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators",
/// 2014).
const fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests;
