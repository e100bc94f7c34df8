use counter_protocol::Count;
use counter_protocol::CounterName;

use super::{Digest, Digests, Ledger, Place, Source};
use crate::ReplicaId;

/// Comparing ledgers, and what is known of a replica with what it says itself.
impl Ledger {
    /// A digest of all entries of each column; zero if it has none.
    pub fn roots(&self) -> impl ExactSizeIterator<Item = Digest> {
        self.replicas.iter().map(|replica| replica.digest)
    }

    /// A digest of all entries of a replica; zero if none is known.
    #[must_use]
    pub fn root(&self, id: &ReplicaId) -> Digest {
        self.column(id).map_or(0, |column| self.replicas[column as usize].digest)
    }

    /// The digests of a replica's entries by bucket.
    #[must_use]
    pub fn digests(&self, id: &ReplicaId) -> Digests {
        let Some(column) = self.column(id) else { return Digests::new() };
        let parts = (0..=u8::MAX)
            .zip(&self.buckets)
            .filter_map(|(number, bucket)| Some((number, bucket.columns.get(&column)?.digest)));
        parts.collect()
    }

    /// All entries of a replica in the buckets in which somebody else's digests differ.
    pub fn differing(&self, id: &ReplicaId, theirs: &Digests) -> impl Iterator<Item = Place> {
        let column = self.column(id);
        let parts = (0..=u8::MAX).zip(&self.buckets).filter_map(move |(number, bucket)| {
            let part = bucket.columns.get(&column?)?;
            (of(theirs, number) != part.digest).then_some(part)
        });
        parts.flat_map(|part| &part.pages).flat_map(|(_, page)| {
            self.pages[*page as usize].entries().map(|(slot, _)| Place { page: *page, slot })
        })
    }

    /// All entries of a column that are known from others than its replica.
    pub fn relayed(&self, column: u32) -> impl Iterator<Item = Place> {
        let parts = self.buckets.iter().filter_map(move |bucket| bucket.columns.get(&column));
        parts.flat_map(|part| &part.pages).flat_map(|(_, page)| {
            self.pages[*page as usize].relayed().map(|slot| Place { page: *page, slot })
        })
    }

    /// Replaces an entry that was relayed by what its replica has answered to it, also if that is less, and nothing if that
    /// has no operations. Returns the place if it has changed.
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

    /// Takes all entries of a column as its replica's own word in the buckets in which that has the same digest.
    ///
    /// # Panics
    /// If there is no such column.
    pub fn confirm_equal(&mut self, column: u32, theirs: &Digests) {
        let replica = &mut self.replicas[column as usize];
        for (number, bucket) in (0..=u8::MAX).zip(&self.buckets) {
            let part = bucket.columns.get(&column);
            if let Some(part) = part.filter(|part| of(theirs, number) == part.digest) {
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
