//! Cuts of a table: taking them, and applying those of others.

use std::collections::HashSet;
use std::sync::Arc;

use counter_store::ColumnTotals;

use crate::cut::{Changes, Cut};

use super::{Applied, Counted, Digest, Fork, PartitionTable, ProducerId};

/// Changes since whoever stores the table has last confirmed a cut.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unconfirmed {
    /// Offset up to which all is confirmed, and the digest there.
    from: u64,
    digest: Option<Digest>,
    /// Names that have changed since, and perhaps others.
    names: Vec<u32>,
    /// Producers that were evicted since, with the offsets at which they were.
    pub(super) evicted: Vec<(u64, ProducerId)>,
}

/// Cut for the store of the table itself.
#[derive(Clone, Debug)]
pub(crate) struct OwnCut {
    pub(crate) cut: Arc<Cut>,
    /// Producers that do not exist any more.
    pub(crate) evicted: Vec<ProducerId>,
    /// For each name of the cut, whether it does not fit into one entry, or once did not.
    pub(crate) wide: Vec<bool>,
    /// Totals of all names and producers as they are in a store.
    pub(crate) totals: ColumnTotals,
}

impl PartitionTable {
    /// Returns the digest of the state.
    pub fn digest(&mut self) -> Digest {
        self.sum_up();
        self.sums.digest(self.position.offset, self.tallies)
    }

    /// Adds what has changed to the sums.
    fn sum_up(&mut self) {
        for &index in &self.changed {
            self.names.value_mut(index).widen();
            let (key, counted) = self.names.at(index).expect("names are never removed");
            self.sums.add_name(key.name(), counted);
        }
        for (id, producer) in self.producers.since(self.summed) {
            self.sums.add_producer(&id, producer);
        }
        self.unconfirmed.names.append(&mut self.changed);
        // Names that change again and again are in the list again and again, until somebody confirms.
        if self.unconfirmed.names.len() > 2 * self.names.len() {
            self.unconfirmed.names.sort_unstable();
            self.unconfirmed.names.dedup();
        }
        self.summed = self.position.offset;
    }

    /// Returns all that has changed since the last [confirmed](Self::confirm) cut; `None` if nothing has.
    pub(crate) fn take(&mut self) -> Option<OwnCut> {
        if self.position.offset == self.unconfirmed.from {
            return None;
        }
        let digest = self.digest();
        let Unconfirmed { from, digest: digest_from, names, evicted } = &mut self.unconfirmed;
        names.sort_unstable();
        names.dedup();
        let (mut changes, mut wide) = (Changes::default(), Vec::with_capacity(names.len()));
        for &index in names.iter() {
            let (key, counted) = self.names.at(index).expect("names are never removed");
            changes.push(key.name(), counted);
            wide.push(counted.is_wide);
        }
        changes.producers.extend(self.producers.since(*from));
        let gone = evicted.iter().map(|(_, id)| *id).filter(|id| self.producers.get(id).is_none());
        let cut = Arc::new(Cut {
            from: *from,
            digest_from: *digest_from,
            to: self.position,
            digest,
            tallies: self.tallies,
            changes,
        });
        Some(OwnCut { cut, evicted: gone.collect(), wide, totals: self.sums.stored() })
    }

    /// Notes that a cut is durable.
    pub(crate) fn confirm(&mut self, to: u64, digest: Digest) {
        if to <= self.unconfirmed.from {
            return;
        }
        let names = &self.names;
        let is_later = |&index: &u32| names.at(index).is_some_and(|(_, counted)| counted.as_of > to);
        self.unconfirmed.names.retain(is_later);
        self.unconfirmed.evicted.retain(|(at, _)| *at > to);
        (self.unconfirmed.from, self.unconfirmed.digest) = (to, Some(digest));
    }

    /// Makes the next [`take`](Self::take) return everything.
    pub(crate) fn unconfirm(&mut self) {
        self.sum_up();
        self.unconfirmed.names = self.names.indices().collect();
        (self.unconfirmed.from, self.unconfirmed.digest) = (0, None);
    }

    /// Returns all that has changed from an offset on. Reads the whole table.
    #[must_use]
    pub fn cut_from(&mut self, from: u64) -> Cut {
        let digest = self.digest();
        let mut changes = Changes::default();
        for (key, counted) in self.names.iter().filter(|(_, counted)| counted.as_of > from) {
            changes.push(key.name(), counted);
        }
        changes.producers.extend(self.producers.since(from));
        let (to, tallies) = (self.position, self.tallies);
        Cut { from, digest_from: None, to, digest, tallies, changes }
    }

    /// Compares a cut with the table where both say something of the same offset.
    ///
    /// # Errors
    /// [`Fork`] if they differ.
    pub fn compare(&mut self, cut: &Cut) -> Result<(), Fork> {
        let offset = self.position.offset;
        let theirs = match offset {
            _ if offset == cut.to.offset => Some(cut.digest),
            _ if offset == cut.from => cut.digest_from,
            _ => None,
        };
        match theirs {
            Some(theirs) if theirs != self.digest() => Err(Fork::Counts { offset }),
            _ => Ok(()),
        }
    }

    /// Applies a cut as a whole, or ignores it if the table does not stand between its ends.
    ///
    /// # Errors
    /// [`Fork`] if it comes from another history. Then nothing has changed.
    pub fn apply(&mut self, cut: &Cut) -> Result<Applied, Fork> {
        self.compare(cut)?;
        let offset = self.position.offset;
        if cut.from > offset || cut.to.offset <= offset {
            return Ok(Applied::Ignored);
        }
        self.check_epoch(offset, cut.to.leader_epoch)?;
        self.check(cut)?;
        // What has changed before is known here.
        for (name, counted) in cut.changes.iter().filter(|(_, counted)| counted.as_of > offset) {
            let Ok(key) = self.hasher.key(name) else { continue };
            let index = self.names.get_or_insert_index(key);
            let place = self.names.value_mut(index);
            let old = *place;
            *place = Counted { is_wide: old.is_wide, ..counted };
            self.total.replace(old, counted);
            self.note_change(index, name, old);
        }
        for &(id, producer) in cut.changes.producers.iter().filter(|(_, producer)| producer.as_of > offset) {
            self.set_producer(id, producer);
        }
        self.tallies = cut.tallies;
        self.advance(cut.to);
        Ok(Applied::Whole)
    }

    /// Checks that a cut leads from here to the digest that it names.
    fn check(&mut self, cut: &Cut) -> Result<(), Fork> {
        self.sum_up();
        let fork = Fork::Counts { offset: cut.to.offset };
        let new = self.position.offset + 1..=cut.to.offset;
        let mut sums = self.sums;
        for (name, counted) in cut.changes.iter().filter(|(_, counted)| new.contains(&counted.as_of)) {
            let known = self.names.get(self.hasher.key(name).map_err(|_| fork)?);
            known.into_iter().for_each(|known| sums.remove_name(name, known));
            sums.add_name(name, counted);
        }
        let producers = cut.changes.producers.iter().filter(|(_, producer)| new.contains(&producer.as_of));
        let mut replaced = HashSet::new();
        for (id, producer) in producers {
            replaced.insert(id);
            self.producers.get(id).into_iter().for_each(|known| sums.remove_producer(id, known));
            sums.add_producer(id, *producer);
        }
        for (id, producer) in self.producers.out_of_reach(cut.to.offset) {
            if !replaced.contains(&id) {
                sums.remove_producer(&id, producer);
            }
        }
        if sums.digest(cut.to.offset, cut.tallies) == cut.digest { Ok(()) } else { Err(fork) }
    }
}
