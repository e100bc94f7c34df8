//! A replication whose node has a store: what the store has yet to commit of other replicas.

use std::collections::BTreeSet;

use counter_store::{ColumnEnds, ColumnPage};

use super::Replication;
use crate::ledger::{Ledger, Place};
use crate::link::PlaceQueue;
use crate::replica::ReplicaId;

/// Maximum length of the names in a page of a round, in bytes. The last name may exceed it.
const PAGE_NAME_BYTES: usize = 1 << 20;

/// Position of the store in its rounds, which travels with each of its requests. Pages that it has not got are handed
/// out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StorePosition {
    /// Number of the round, from 1 on. Each attempt at a round has another.
    round: u64,
    /// Number of pages of this round that have arrived.
    pages: u32,
    /// Last round that is durable, 0 if none is.
    confirmed: u64,
    /// Number of times that the store has asked for everything.
    resets: u64,
}

/// Entries that the store has yet to commit, each once. Pure.
#[derive(Debug, Default)]
pub(crate) struct StoreQueue {
    queue: PlaceQueue,
    position: StorePosition,
    last_page: Vec<Place>,
    earlier_pages: Vec<Place>,
}

impl Default for StorePosition {
    fn default() -> Self {
        Self { round: 1, pages: 0, confirmed: 0, resets: 0 }
    }
}

impl StorePosition {
    /// Notes that a page has arrived.
    pub(crate) const fn arrived(&mut self) {
        self.pages += 1;
    }

    /// Begins the next round after one that is durable.
    pub(crate) const fn confirm(&mut self) {
        self.confirmed = self.round;
        self.retry();
    }

    /// Begins a round anew.
    pub(crate) const fn retry(&mut self) {
        self.round += 1;
        self.pages = 0;
    }

    /// Begins a round with everything.
    pub(crate) const fn reset(&mut self) {
        self.resets += 1;
        self.retry();
    }
}

impl StoreQueue {
    /// Adds an entry that has changed.
    pub(super) fn push(&mut self, place: Place) {
        self.queue.push(place);
    }

    /// Follows the store to a position. Returns true if it has asked for everything.
    fn advance(&mut self, to: StorePosition) -> bool {
        let is_reset = to.resets != self.position.resets;
        if to.round != self.position.round {
            let handed_out = self.earlier_pages.drain(..).chain(self.last_page.drain(..));
            if to.confirmed < self.position.round {
                handed_out.for_each(|place| self.queue.push(place));
            }
        } else if to.pages < self.position.pages {
            // The answer was lost.
            self.last_page.drain(..).for_each(|place| self.queue.push(place));
        }
        self.earlier_pages.append(&mut self.last_page);
        // With the page that is about to be handed out.
        self.position = StorePosition { pages: to.pages + 1, ..to };
        is_reset
    }

    fn take(&mut self, most: usize, ledger: &Ledger) -> &[Place] {
        let mut name_bytes = 0;
        while self.last_page.len() < most
            && (name_bytes < PAGE_NAME_BYTES || most == usize::MAX)
            && let Some(place) = self.queue.pop()
        {
            name_bytes += ledger.entry(place).0.name().len();
            self.last_page.push(place);
        }
        &self.last_page
    }
}

impl Replication {
    /// Makes a node that has recovered a ledger from its store. `None` if that has no room for another replica.
    pub(crate) fn recovered(me: ReplicaId, ledger: Ledger) -> Option<Self> {
        Self::over(me, ledger, Some(StoreQueue::default()))
    }

    /// Returns true if others hold more of this incarnation than its store has committed.
    #[must_use]
    pub const fn is_overtaken(&self) -> bool {
        self.is_overtaken
    }

    /// Returns about `most` entries that the store has yet to commit.
    pub(crate) fn pull_columns(&mut self, position: StorePosition, most: usize) -> ColumnPage {
        let Some(store) = &mut self.store else { return ColumnPage::default() };
        if store.advance(position) {
            self.ledger.places(self.mine).for_each(|place| store.push(place));
        }
        let page = self.ledger.column_page(store.take(most, &self.ledger).iter().copied());
        ColumnPage { left: store.queue.len(), ..page }
    }

    /// Returns all the rest of the store's round, and the totals of the columns that have changed in it.
    pub(crate) fn finish_columns(&mut self, position: StorePosition) -> (ColumnPage, ColumnEnds) {
        let page = self.pull_columns(position, usize::MAX);
        let handed_out =
            self.store.iter().flat_map(|store| store.earlier_pages.iter().chain(&store.last_page));
        let changed: BTreeSet<_> = handed_out.map(|place| self.ledger.column_of(place.page)).collect();
        (page, self.ledger.column_ends(changed))
    }

    /// Returns about `most` entries of others for a snapshot, and the position of the next ones.
    pub(crate) fn snapshot_columns(&self, from: u64, most: usize) -> (ColumnPage, Option<u64>) {
        self.ledger.column_pages(from, most, self.mine)
    }
}

#[cfg(test)]
mod tests;
