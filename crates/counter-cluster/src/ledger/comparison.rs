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

    /// Returns all entries of a replica in the buckets in which `theirs` differ.
    pub fn differing(&self, id: &ReplicaId, theirs: &Digests) -> impl Iterator<Item = Place> {
        let column = self.column(id);
        let parts = (0..=u8::MAX).zip(&self.buckets).filter_map(move |(index, bucket)| {
            let part = bucket.columns.get(&column?)?;
            (of(theirs, index) != part.digest).then_some(part)
        });
        parts.flat_map(|part| &part.pages).flat_map(|(_, page)| {
            self.pages[*page as usize].entries().map(|(slot, _)| Place { page: *page, slot })
        })
    }

    /// Returns the relayed entries of a column.
    pub fn relayed(&self, column: u32) -> impl Iterator<Item = Place> {
        let parts = self.buckets.iter().filter_map(move |bucket| bucket.columns.get(&column));
        parts.flat_map(|part| &part.pages).flat_map(|(_, page)| {
            self.pages[*page as usize].relayed().map(|slot| Place { page: *page, slot })
        })
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

    /// Marks all entries of a column as sent by its replica, in the buckets in which the replica has the same
    /// digest.
    ///
    /// # Panics
    /// If there is no such column.
    pub fn confirm_equal(&mut self, column: u32, theirs: &Digests) {
        let replica = &mut self.replicas[column as usize];
        for (index, bucket) in (0..=u8::MAX).zip(&self.buckets) {
            let part = bucket.columns.get(&column);
            if let Some(part) = part.filter(|part| of(theirs, index) == part.digest) {
                for (_, page) in &part.pages {
                    replica.relayed -= self.pages[*page as usize].confirm();
                }
            }
        }
    }
}

fn of(digests: &Digests, bucket: u8) -> Digest {
    digests.get(&bucket).copied().unwrap_or_default()
}
