//! Operations of a pipeline, in a form that costs no allocation per name.

use std::ops::Range;

use counter_keyspace::Operation;
use counter_protocol::{CounterName, NameTooLong};

/// Operations on counters, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    /// Names, one after the other.
    names: Vec<u8>,
    /// Operations, each with the offset in `names` at which its name ends.
    operations: Vec<(usize, Operation)>,
}

impl Batch {
    /// Appends an operation.
    pub(crate) fn push(&mut self, name: &[u8], operation: Operation) -> Result<(), NameTooLong> {
        CounterName::check_len(name.len())?;
        self.names.extend_from_slice(name);
        self.operations.push((self.names.len(), operation));
        Ok(())
    }

    /// Appends all operations of another batch.
    pub(crate) fn append(&mut self, other: &Self) {
        let offset = self.names.len();
        self.names.extend_from_slice(&other.names);
        self.operations.extend(other.operations.iter().map(|(end, operation)| (offset + end, *operation)));
    }

    /// Removes the operations behind the first `len`.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.operations.truncate(len);
        self.names.truncate(self.operations.last().map_or(0, |(end, _)| *end));
    }

    /// Removes all operations, and gives back memory beyond what usual pipelines need.
    pub(crate) fn clear(&mut self) {
        self.truncate(0);
        self.names.shrink_to(4096);
        self.operations.shrink_to(64);
    }

    pub(crate) const fn len(&self) -> usize {
        self.operations.len()
    }

    /// Returns the operations with these indices.
    pub(crate) fn range(&self, range: Range<usize>) -> impl ExactSizeIterator<Item = (&[u8], Operation)> {
        let mut start = range.start.checked_sub(1).map_or(0, |before| self.operations[before].0);
        self.operations[range].iter().map(move |(end, operation)| {
            let name = &self.names[start..*end];
            start = *end;
            (name, *operation)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_the_operations_in_order_and_refuses_long_names() {
        let (mut batch, mut other) = (Batch::default(), Batch::default());
        batch.push(b"ab", Operation::Get).unwrap();
        batch.push(b"", Operation::Add(1)).unwrap();
        other.push(b"c", Operation::Ttl).unwrap();
        assert!(other.push(&[0; CounterName::MAX_BYTES + 1], Operation::Get).is_err());
        batch.append(&other);
        let all: Vec<_> = batch.range(1..3).collect();
        assert_eq!(all, [(&b""[..], Operation::Add(1)), (b"c", Operation::Ttl)]);
        batch.truncate(1);
        assert_eq!((batch.len(), batch.names.len()), (1, 2));
        assert_eq!(batch.range(0..1).collect::<Vec<_>>(), [(&b"ab"[..], Operation::Get)]);
    }
}
