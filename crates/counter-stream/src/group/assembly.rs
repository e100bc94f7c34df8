//! Cuts that have arrived in part. Pure.

use std::collections::HashMap;
use std::hash::Hash;

use crate::cut::{Changes, Cut};
use crate::record::PartitionId;

use super::wire::{Chunk, CutHead};

/// Cuts of which chunks have arrived: at most one from each sender for each partition. Nobody sees them until they are
/// whole.
#[derive(Debug)]
pub(super) struct Assemblies<S> {
    parts: HashMap<(S, PartitionId), Part>,
}

#[derive(Debug)]
struct Part {
    head: CutHead,
    /// Number of chunks that have arrived.
    chunks: u32,
    changes: Changes,
}

/// Outcome of a chunk.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Assembled {
    /// The cut is whole.
    Whole(Cut),
    /// More has to follow.
    Part,
    /// The chunk does not follow the last one: the sender has to begin anew.
    Broken,
}

impl<S: Clone + Eq + Hash> Assemblies<S> {
    pub(super) fn new() -> Self {
        Self { parts: HashMap::new() }
    }

    /// Takes a chunk. The first one of a cut replaces what was there of another.
    pub(super) fn push(&mut self, sender: S, chunk: Chunk) -> Assembled {
        let Chunk { partition, head, index, is_last, changes } = chunk;
        let key = (sender, partition);
        let earlier = self.parts.remove(&key);
        let mut part = match earlier {
            _ if index == 0 => Part { head, chunks: 0, changes: Changes::default() },
            Some(part) if part.head == head && part.chunks == index => part,
            _ => return Assembled::Broken,
        };
        part.changes.append(changes);
        part.chunks += 1;
        if is_last {
            return Assembled::Whole(part.head.with(part.changes));
        }
        self.parts.insert(key, part);
        Assembled::Part
    }

    /// Forgets what senders that are gone have sent.
    pub(super) fn retain(&mut self, is_there: impl Fn(&S) -> bool) {
        self.parts.retain(|(sender, _), _| is_there(sender));
    }
}
