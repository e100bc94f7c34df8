use std::collections::VecDeque;
use std::num::NonZeroUsize;

use ractor_outbox::Batch;

use crate::record::{Content, Record, Stamp};

/// Records that wait for a partition's actor, in the order of their offsets, up to a capacity.
///
/// Their names are in one buffer, so that a record needs no allocation of its own.
#[derive(Debug)]
pub(crate) struct Records {
    waiting: VecDeque<Waiting>,
    names: Vec<u8>,
    /// Length of the names that have been taken out, at the beginning of the buffer.
    taken_bytes: usize,
    capacity: NonZeroUsize,
}

#[derive(Debug)]
struct Waiting {
    offset: u64,
    leader_epoch: Option<u32>,
    /// `None` for a record that counts nothing.
    counts: Option<Counts>,
}

/// Content of a record, without the name.
#[derive(Debug)]
struct Counts {
    name_bytes: usize,
    amount: i64,
    operations: u64,
    stamp: Option<Stamp>,
}

impl Records {
    pub(crate) const fn bounded(capacity: NonZeroUsize) -> Self {
        Self { waiting: VecDeque::new(), names: Vec::new(), taken_bytes: 0, capacity }
    }

    /// Removes and returns the oldest record.
    pub(crate) fn pop(&mut self) -> Option<Record<'_>> {
        let Waiting { offset, leader_epoch, counts } = self.waiting.pop_front()?;
        let content = match counts {
            None => Content::Skipped,
            Some(Counts { name_bytes, amount, operations, stamp }) => {
                let (_, names) = self.names.split_at(self.taken_bytes);
                let (name, _) = names.split_at(name_bytes);
                self.taken_bytes += name_bytes;
                Content::Count { name: name.into(), amount, operations, stamp }
            }
        };
        Some(Record { offset, leader_epoch, content })
    }
}

impl Batch for Records {
    type Item<'a> = Record<'a>;

    fn push<'a>(&mut self, record: Self::Item<'a>) -> Result<(), Self::Item<'a>> {
        if self.waiting.len() >= self.capacity.get() {
            return Err(record);
        }
        let Record { offset, leader_epoch, content } = record;
        let counts = match content {
            Content::Skipped => None,
            Content::Count { name, amount, operations, stamp } => {
                self.names.extend_from_slice(&name);
                Some(Counts { name_bytes: name.len(), amount, operations, stamp })
            }
        };
        self.waiting.push_back(Waiting { offset, leader_epoch, counts });
        Ok(())
    }

    fn len(&self) -> u64 {
        self.waiting.len() as u64
    }

    fn empty(&self) -> Self {
        Self::bounded(self.capacity)
    }

    fn put_back(&mut self, mut older: Self) {
        let (_, names) = self.names.split_at(self.taken_bytes);
        older.names.extend_from_slice(names);
        older.waiting.append(&mut self.waiting);
        *self = older;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(offset: u64, name: &str) -> Record<'_> {
        let content = Content::Count { name: name.as_bytes().into(), amount: 1, operations: 1, stamp: None };
        Record { offset, leader_epoch: None, content }
    }

    #[test]
    fn records_keep_their_names_and_their_order_when_they_are_put_back() {
        let skipped = Record { content: Content::Skipped, ..record(2, "") };
        let mut taken = Records::bounded(NonZeroUsize::new(3).unwrap());
        for record in [record(0, "a"), record(1, "long"), skipped.clone()] {
            taken.push(record).unwrap();
        }
        assert_eq!(taken.push(record(3, "full")), Err(record(3, "full")));
        let mut records = taken.empty();
        assert_eq!(taken.pop(), Some(record(0, "a")));
        records.push(record(3, "later")).unwrap();
        records.put_back(taken);
        assert_eq!(records.len(), 3);
        assert_eq!(records.pop(), Some(record(1, "long")));
        assert_eq!(records.pop(), Some(skipped));
        assert_eq!(records.pop(), Some(record(3, "later")));
        assert_eq!(records.pop(), None);
    }
}
