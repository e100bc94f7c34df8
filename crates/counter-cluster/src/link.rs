mod queue;

use std::collections::BTreeMap;

use crate::ReplicaId;
use crate::ledger::{Ledger, Place};
use crate::wire::{BATCH_BYTES, Batch, COLUMN_BYTES, ENTRY_BYTES, Entry};
pub(crate) use queue::PlaceQueue;

/// How many batches are under way to one peer at most; then changes wait here, each once.
pub const WINDOW: usize = 4;

/// What one peer has yet to acknowledge. Pure.
///
/// Only places are kept: an entry is sent as it stands when its turn comes, and what changes while it waits is sent once.
#[derive(Debug, Default)]
pub struct Link {
    queue: PlaceQueue,
    in_flight: BTreeMap<u64, InFlight>,
    next: u64,
    failures: u64,
}

#[derive(Debug)]
struct InFlight {
    /// The turn of its first place.
    turn: u64,
    places: Vec<Place>,
}

/// A point in a link's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    turn: u64,
    failures: u64,
}

/// Whether a link has come past a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// All that was marked before has been acknowledged.
    Yes,
    /// Not yet.
    NotYet,
    /// Something failed to arrive and is sent again, who knows when.
    Lost,
}

impl Link {
    /// The peer lacks what stands there.
    pub fn mark(&mut self, place: Place) {
        self.queue.push(place);
    }

    /// The next batch to send, if something waits and the window has room, and its number.
    pub fn next_batch(&mut self, from: &ReplicaId, ledger: &Ledger) -> Option<(u64, Batch)> {
        if self.in_flight.len() >= WINDOW {
            return None;
        }
        let turn = self.queue.turn();
        let (mut places, mut columns, mut bytes) = (Vec::new(), BTreeMap::<u32, Vec<Entry>>::new(), 0);
        while bytes < BATCH_BYTES
            && let Some(place) = self.queue.pop()
        {
            let (key, count) = ledger.entry(place);
            let column = columns.entry(ledger.column_of(place.page)).or_default();
            bytes += key.name().len() + ENTRY_BYTES + if column.is_empty() { COLUMN_BYTES } else { 0 };
            column.push(Entry::new(key.into(), count));
            places.push(place);
        }
        if places.is_empty() {
            return None;
        }
        let columns = columns.into_iter().map(|(column, entries)| (ledger.id(column).clone(), entries));
        let batch = Batch { from: from.clone(), columns: columns.collect() };
        let number = self.next;
        self.next += 1;
        self.in_flight.insert(number, InFlight { turn, places });
        Some((number, batch))
    }

    /// A batch has arrived.
    pub fn acknowledged(&mut self, number: u64) {
        self.in_flight.remove(&number);
    }

    /// A batch may not have arrived: what was in it waits again.
    pub fn failed(&mut self, number: u64) {
        if let Some(InFlight { places, .. }) = self.in_flight.remove(&number) {
            self.failures += 1;
            places.into_iter().for_each(|place| self.mark(place));
        }
    }

    /// Behind all that is marked now.
    #[must_use]
    pub fn end(&self) -> Point {
        Point { turn: self.queue.end(), failures: self.failures }
    }

    /// Whether all that was marked before a point has been acknowledged.
    #[must_use]
    pub fn has_reached(&self, point: Point) -> Reached {
        let acknowledged =
            self.in_flight.values().map(|batch| batch.turn).min().unwrap_or_else(|| self.queue.turn());
        match () {
            () if self.failures != point.failures => Reached::Lost,
            () if acknowledged >= point.turn => Reached::Yes,
            () => Reached::NotYet,
        }
    }

    /// How many entries the peer has not acknowledged.
    #[must_use]
    pub fn lag(&self) -> usize {
        self.queue.len() + self.in_flight.values().map(|batch| batch.places.len()).sum::<usize>()
    }
}
