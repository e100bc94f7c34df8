use counter_protocol::{Count, CounterName};

use super::{Digest, Digests, Ledger, Place, Source};
use crate::replica::ReplicaId;

/// Comparisons with other ledgers, and corrections of relayed entries.
impl Ledger {
    /// Returns the digest of all entries of each column, which is zero if it has none.
    pub fn roots(&self) -> impl ExactSizeIterator<Item = Digest> {
        self.replicas.iter().map(|replica| replica.digest)
    }

    /// Returns the digest of all entries of a replica, which is zero if none is known.
    #[must_use]
    pub fn root(&self, id: &ReplicaId) -> Digest {
        self.column(id).map_or(0, |column| self.replicas[column as usize].digest)
    }

    /// Returns the digests of a replica's entries by bucket.
    #[must_use]
    pub fn digests(&self, id: &ReplicaId) -> Digests {
        let Some(column) = self.column(id) else { return Digests::new() };
        let parts = (0..=u8::MAX)
            .zip(&self.buckets)
            .filter_map(|(index, bucket)| Some((index, bucket.columns.get(&column)?.digest)));
        parts.collect()
    }

    /// Returns the number of relayed entries of a column.
    ///
    /// # Panics
    /// If there is no such column.
    #[must_use]
    pub fn relayed(&self, column: u32) -> u64 {
        self.replicas[column as usize].relayed
    }

    /// Replaces a relayed entry by its replica's answer, even if that is less, and removes the entry if the answer has
    /// no operations. Returns the place if it has changed.
    ///
    /// # Panics
    /// If there is no such column.
    pub fn correct(&mut self, column: u32, name: &CounterName, count: Count) -> Option<Place> {
        let hash = self.hash(name);
        match self.place(column, hash, name) {
            Some(place) if self.pages[place.page as usize].is_relayed(place.slot) => {
                self.set(place, hash, count, Source::Direct).then_some(place)
            }
            Some(_) | None => self.merge(column, name, count, Source::Direct),
        }
    }
}
