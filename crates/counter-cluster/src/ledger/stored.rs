//! A ledger as a store holds it: recovered entry by entry, and read in pages.

use counter_keyspace::{Entry, EntryPage};
use counter_protocol::{Count, CounterName};
use counter_store::{ColumnEnds, ColumnPage, ColumnSink, ColumnTotals, ReplicaKey};

use super::{Ledger, Place, Source, Totals};
use crate::replica::ReplicaId;

/// Ledger that is being recovered from a store. Nobody vouches for its entries until their replica connects.
#[derive(Debug)]
pub(crate) struct Recovering {
    pub(crate) ledger: Ledger,
    /// Column of the last entry: the next one is most likely of the same.
    last: Option<(ReplicaKey, u32)>,
}

impl Recovering {
    pub(crate) const fn new(ledger: Ledger) -> Self {
        Self { ledger, last: None }
    }

    fn column(&mut self, replica: &ReplicaKey) -> Option<u32> {
        if let Some((_, column)) = self.last.as_ref().filter(|(last, _)| last == replica) {
            return Some(*column);
        }
        let column = self.ledger.add_column(&ReplicaId::try_from(replica).ok()?, Source::Direct)?;
        self.last = Some((replica.clone(), column));
        Some(column)
    }
}

impl ColumnSink for Recovering {
    fn set(&mut self, replica: &ReplicaKey, name: &[u8], count: Count) -> bool {
        let (Some(column), Ok(name)) = (self.column(replica), CounterName::new(name)) else { return false };
        self.ledger.restore(column, &name, count);
        true
    }

    fn merge(&mut self, replica: &ReplicaKey, name: &[u8], count: Count) -> bool {
        let (Some(column), Ok(name)) = (self.column(replica), CounterName::new(name)) else { return false };
        if count.operations > self.ledger.get(column, &name).operations {
            self.ledger.restore(column, &name, count);
        }
        true
    }

    fn totals(&self, replica: &ReplicaKey) -> ColumnTotals {
        let column = ReplicaId::try_from(replica).ok().and_then(|id| self.ledger.column(&id));
        column.map(|column| self.ledger.column_totals(column)).unwrap_or_default()
    }
}

impl Ledger {
    /// Replaces an entry by what a store says, and removes it if that has no operations.
    fn restore(&mut self, column: u32, name: &CounterName, count: Count) {
        let hash = self.hash(name);
        if count.operations > 0 {
            let place = self.place_or_insert(column, hash, name);
            self.set(place, hash, count, Source::Relayed);
        } else if let Some(place) = self.place(column, hash, name) {
            self.set(place, hash, count, Source::Direct);
        }
    }

    /// Returns the totals of a column.
    ///
    /// # Panics
    /// If there is no such column.
    pub(crate) fn column_totals(&self, column: u32) -> ColumnTotals {
        let Totals { total, names } = self.replicas[column as usize].totals;
        ColumnTotals { names, value: total.value, operations: total.operations }
    }

    /// Returns the totals of columns.
    pub(crate) fn column_ends(&self, columns: impl IntoIterator<Item = u32>) -> ColumnEnds {
        let end = |column| (ReplicaKey::from(self.id(column)), self.column_totals(column));
        columns.into_iter().map(end).collect()
    }

    /// Returns entries by replica, for a store. Those that are gone have no operations.
    pub(crate) fn column_page(&self, places: impl IntoIterator<Item = Place>) -> ColumnPage {
        let mut columns = std::collections::BTreeMap::<u32, EntryPage>::new();
        for place in places {
            let (key, count) = self.entry(place);
            let entry = Entry { name: key.name(), count, deadline_ms: None };
            columns.entry(self.column_of(place.page)).or_default().push(entry);
        }
        let columns = columns.into_iter().map(|(column, page)| (ReplicaKey::from(self.id(column)), page));
        ColumnPage { columns: columns.collect(), left: 0 }
    }

    /// Returns about `most` entries, but for those of the column `without`, from a page on, and the next page.
    pub(crate) fn column_pages(&self, from: u64, most: usize, without: u32) -> (ColumnPage, Option<u64>) {
        let (mut places, mut next) = (Vec::new(), None);
        let first = usize::try_from(from).unwrap_or(usize::MAX);
        for (index, page) in self.pages.iter().enumerate().skip(first) {
            if places.len() >= most {
                next = Some(index as u64);
                break;
            }
            if page.column != without {
                let page_index = u32::try_from(index).expect("a ledger has fewer than 2^32 pages");
                places.extend(page.entries().map(|(slot, _)| Place { page: page_index, slot }));
            }
        }
        (self.column_page(places), next)
    }

    /// Returns the places of all entries, but for those of the column `without`.
    pub(crate) fn places(&self, without: u32) -> impl Iterator<Item = Place> {
        let pages = (0..).zip(&self.pages).filter(move |(_, page)| page.column != without);
        pages.flat_map(|(index, page)| page.entries().map(move |(slot, _)| Place { page: index, slot }))
    }
}
