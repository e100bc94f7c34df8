use std::collections::BTreeMap;

use counter_keyspace::Marks;

use crate::ReplicaId;
use crate::ledger::{BUCKETS, Ledger, Place};
use crate::wire::{BATCH_BYTES, Batch, Entry};

/// How many batches are under way to one peer at most; then changes wait here, each once.
pub const WINDOW: usize = 4;

/// What one peer has yet to acknowledge. Pure.
///
/// Only places are kept: an entry is sent as it stands when its turn comes, and what changes while it waits is sent once.
#[derive(Debug, Default)]
pub struct Link {
    marks: Marks,
    /// How many places were ever taken: the position of the next in the queue.
    taken: u64,
    in_flight: BTreeMap<u64, InFlight>,
    next: u64,
    failures: u64,
}

#[derive(Debug)]
struct InFlight {
    /// The position of its first place.
    position: u64,
    places: Vec<Place>,
}

/// A point in a link's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    position: u64,
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
        self.marks.mark(place.replica * BUCKETS + place.bucket, place.row);
    }

    /// The next batch to send, if something waits and the window has room, and its number.
    pub fn next_batch(&mut self, from: &ReplicaId, ledger: &Ledger) -> Option<(u64, Batch)> {
        if self.in_flight.len() >= WINDOW {
            return None;
        }
        let position = self.taken;
        let (mut places, mut columns, mut bytes) = (Vec::new(), BTreeMap::<usize, Vec<Entry>>::new(), 0);
        while bytes < BATCH_BYTES
            && let Some((part, row)) = self.marks.take()
        {
            self.taken += 1;
            let place = Place { replica: part / BUCKETS, bucket: part % BUCKETS, row };
            let (key, count) = ledger.entry(place);
            // Numbers take up to 10 bytes each, and a length up to 3.
            bytes += key.name().len() + 23;
            columns.entry(place.replica).or_default().push(Entry::new(key.into(), count));
            places.push(place);
        }
        if places.is_empty() {
            return None;
        }
        let columns = columns.into_iter().map(|(replica, entries)| (ledger.id(replica).clone(), entries));
        let batch = Batch { from: from.clone(), columns: columns.collect() };
        let number = self.next;
        self.next += 1;
        self.in_flight.insert(number, InFlight { position, places });
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
        Point { position: self.taken + self.marks.len() as u64, failures: self.failures }
    }

    /// Whether all that was marked before a point has been acknowledged.
    #[must_use]
    pub fn has_reached(&self, point: Point) -> Reached {
        let acknowledged = self.in_flight.values().map(|batch| batch.position).min().unwrap_or(self.taken);
        match () {
            () if self.failures != point.failures => Reached::Lost,
            () if acknowledged >= point.position => Reached::Yes,
            () => Reached::NotYet,
        }
    }

    /// How many entries the peer has not acknowledged.
    #[must_use]
    pub fn lag(&self) -> usize {
        self.marks.len() + self.in_flight.values().map(|batch| batch.places.len()).sum::<usize>()
    }
}
