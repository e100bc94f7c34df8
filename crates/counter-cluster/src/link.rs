mod queue;

use std::collections::BTreeMap;

use mutations::Mutation;

use crate::ledger::{Ledger, Place};
use crate::replica::ReplicaId;
use crate::wire::{BATCH_BYTES, Batch, COLUMN_BYTES, ENTRY_BYTES, Entry};
pub(crate) use queue::PlaceQueue;

/// Maximum number of unacknowledged batches to one peer. At the limit, changes wait here, each once.
pub const WINDOW: usize = 4;

/// Entries that one peer has yet to acknowledge. Pure.
///
/// Only their places are kept: an entry is sent with the value it has when its turn comes, and an entry that changes
/// while it waits is sent once.
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

/// Position in a link's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    turn: u64,
    failures: u64,
}

/// Progress of a link towards a [`Checkpoint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Everything that was marked before has been acknowledged.
    Reached,
    /// Something that was marked before has not been acknowledged yet.
    Pending,
    /// Something failed to arrive and is sent again at an unknown time, or the link is gone.
    Lost,
}

impl Link {
    /// Marks an entry that the peer lacks.
    pub fn mark(&mut self, place: Place) {
        self.queue.push(place);
    }

    /// Returns the next batch to send and its number, or `None` if nothing waits or the window is full.
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

    /// Notes that a batch has arrived.
    pub fn acknowledged(&mut self, number: u64) {
        self.in_flight.remove(&number);
    }

    /// Notes that a batch may not have arrived, and marks its entries again.
    pub fn failed(&mut self, number: u64) {
        if let Some(InFlight { places, .. }) = self.in_flight.remove(&number) {
            self.failures += u64::from(!Mutation::FailedBatchOvertaken.is_planted());
            places.into_iter().for_each(|place| self.mark(place));
        }
    }

    /// Returns the position behind everything that is marked now.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint { turn: self.queue.end(), failures: self.failures }
    }

    /// Returns the progress towards a checkpoint of this link.
    #[must_use]
    pub fn progress(&self, checkpoint: Checkpoint) -> Progress {
        let acknowledged =
            self.in_flight.values().map(|batch| batch.turn).min().unwrap_or_else(|| self.queue.turn());
        match () {
            () if self.failures != checkpoint.failures => Progress::Lost,
            () if acknowledged >= checkpoint.turn => Progress::Reached,
            () => Progress::Pending,
        }
    }

    /// Returns the number of entries that the peer has not acknowledged.
    #[must_use]
    pub fn lag(&self) -> usize {
        self.queue.len() + self.in_flight.values().map(|batch| batch.places.len()).sum::<usize>()
    }
}
