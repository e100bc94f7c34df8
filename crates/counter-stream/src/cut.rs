//! Cuts: all that has changed in a partition between two offsets, as it stands at the later one.

use counter_protocol::CounterName;
use serde::{Deserialize, Serialize};

use crate::record::Position;
use crate::table::{Counted, Digest, Producer, ProducerId, Tallies};

/// Maximum length of an entry on the wire, in bytes, besides its name.
pub(crate) const ENTRY_BYTES: usize = 50;

/// All that has changed in a partition from one offset to another, as it stands there.
///
/// Whoever stands anywhere between the two can apply it, as a whole, and stands where it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Offset where it begins.
    pub from: u64,
    /// Digest at `from`, where known.
    pub digest_from: Option<Digest>,
    /// Position where it ends.
    pub to: Position,
    /// Digest at `to`.
    pub digest: Digest,
    /// Numbers of records before `to`, by outcome.
    pub tallies: Tallies,
    /// Changes from `from` to `to`.
    pub changes: Changes,
}

/// Entries as they stand at the end of a cut.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Names, one after the other.
    names: Vec<u8>,
    counts: Vec<NamedCount>,
    /// Producers and what they have sent.
    pub producers: Vec<(ProducerId, Producer)>,
}

/// Entry of [`Changes`] without its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct NamedCount {
    name_bytes: u32,
    value: i128,
    operations: u64,
    as_of: u64,
}

impl Cut {
    /// Returns an empty cut at a position, for comparison.
    pub(crate) fn mark(position: Position, digest: Digest) -> Self {
        let (tallies, changes) = Default::default();
        Self { from: position.offset, digest_from: Some(digest), to: position, digest, tallies, changes }
    }
}

impl Changes {
    /// Appends a counter.
    pub(crate) fn push(&mut self, name: &[u8], Counted { value, operations, as_of, .. }: Counted) {
        let name_bytes = u32::try_from(name.len()).expect("names are short");
        self.names.extend_from_slice(name);
        self.counts.push(NamedCount { name_bytes, value, operations, as_of });
    }

    /// Returns the counters in the order in which they were pushed, and as they are in memory.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], Counted)> {
        self.counts.iter().scan(0_usize, |start, count| {
            let end = *start + count.name_bytes as usize;
            let name = self.names.get(*start..end)?;
            *start = end;
            let NamedCount { value, operations, as_of, .. } = *count;
            Some((name, Counted { value, operations, as_of, is_wide: false }))
        })
    }

    /// Appends what else has changed.
    pub(crate) fn append(&mut self, mut later: Self) {
        self.names.append(&mut later.names);
        self.counts.append(&mut later.counts);
        self.producers.append(&mut later.producers);
    }

    /// Returns the same changes in pieces of about this many bytes, at least one.
    pub(crate) fn pieces(&self, bytes: usize) -> impl Iterator<Item = Self> {
        let (mut names, mut producers) = (self.iter(), self.producers.iter());
        let mut is_first = true;
        std::iter::from_fn(move || {
            let (mut piece, mut len_bytes) = (Self::default(), 0);
            while len_bytes < bytes
                && let Some((name, counted)) = names.next()
            {
                piece.push(name, counted);
                len_bytes += name.len() + ENTRY_BYTES;
            }
            while len_bytes < bytes
                && let Some(producer) = producers.next()
            {
                piece.producers.push(*producer);
                len_bytes += ENTRY_BYTES;
            }
            (!piece.is_empty() || std::mem::take(&mut is_first)).then(|| {
                is_first = false;
                piece
            })
        })
    }

    /// Returns true if the names are as many and as long as the entries say, and none is too long.
    pub(crate) fn is_well_formed(&self) -> bool {
        let lengths = self.counts.iter().map(|count| count.name_bytes as usize);
        lengths.clone().all(|len| len <= CounterName::MAX_BYTES) && lengths.sum::<usize>() == self.names.len()
    }

    /// Returns the number of entries.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.counts.len() + self.producers.len()
    }

    /// Returns true if nothing has changed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
