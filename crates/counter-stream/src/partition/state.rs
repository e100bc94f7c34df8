//! State of a partition's actor, which outlives the actor. Pure.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::cut::Cut;
use crate::record::{Position, Record};
use crate::table::{Fork, OwnCut, PartitionTable, Tallies, Total};

use super::message::Standing;

/// Maximum number of durable cuts that are kept for other members.
const RECENT_CUTS: usize = 16;
/// Maximum number of entries in these cuts. The latest is kept however many it has.
const RECENT_ENTRIES: usize = 256 * 1024;

/// Status of a partition, as seen from outside of its actor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionStatus {
    /// Position behind the last record that counts here.
    pub position: Position,
    /// Position up to which that is durable here.
    pub committed: Position,
    /// Numbers of records, by outcome.
    pub tallies: Tallies,
    /// Number of names.
    pub names: u64,
    /// Sum over all names.
    pub total: Total,
    /// Offset of the next record that the log will have, as the owner has last heard. `None` where nobody has.
    pub end: Option<u64>,
    /// True if this member reads the partition.
    pub is_owned: bool,
    /// Why the partition has stopped, if it has.
    pub fork: Option<Fork>,
}

impl PartitionStatus {
    /// Returns the number of offsets that the partition is behind its log, as far as that is known here.
    #[must_use]
    pub fn lag(&self) -> Option<u64> {
        self.end.map(|end| end.saturating_sub(self.position.offset))
    }
}

/// Table of a partition, and what its actor needs besides.
#[derive(Debug)]
pub(crate) struct PartitionState {
    pub(super) table: PartitionTable,
    committed: Position,
    fork: Option<Fork>,
    /// Durable cuts in their order, each of which begins where the one before ends.
    recent: VecDeque<Arc<OwnCut>>,
}

impl PartitionState {
    /// Creates the state of a partition whose table is durable.
    pub(super) fn new(table: PartitionTable) -> Self {
        Self { committed: table.position(), table, fork: None, recent: VecDeque::new() }
    }

    /// Counts a record, unless the partition has stopped.
    pub(super) fn count(&mut self, record: Record<'_>) {
        if self.fork.is_none() {
            self.fork = self.table.count(record).err();
        }
    }

    /// Applies a cut of another member, unless this one reads the partition, and knows best.
    pub(super) fn apply(&mut self, cut: &Cut, is_owned: bool) {
        if self.fork.is_some() {
            return;
        }
        let applied = if is_owned { self.table.compare(cut) } else { self.table.apply(cut).map(drop) };
        self.fork = applied.err();
    }

    /// Returns what the store has yet to commit.
    pub(super) fn take(&mut self, is_complete: bool) -> Option<OwnCut> {
        if is_complete {
            self.table.unconfirm();
        }
        self.table.take()
    }

    /// Notes that a cut is durable.
    pub(super) fn confirm(&mut self, own: Arc<OwnCut>) {
        let Position { offset, .. } = own.cut.to;
        self.table.confirm(offset, own.cut.digest);
        if offset <= self.committed.offset {
            return;
        }
        self.committed = own.cut.to;
        if self.recent.back().is_some_and(|last| last.cut.to.offset != own.cut.from) {
            self.recent.clear();
        }
        self.recent.push_back(own);
        let entries =
            |cuts: &VecDeque<Arc<OwnCut>>| cuts.iter().map(|own| own.cut.changes.len()).sum::<usize>();
        while self.recent.len() > RECENT_CUTS
            || (self.recent.len() > 1 && entries(&self.recent) > RECENT_ENTRIES)
        {
            self.recent.pop_front();
        }
    }

    /// Returns a cut for whoever stands at this offset, if the partition is durable beyond it. The cut may end beyond
    /// what is durable.
    pub(super) fn cut_from(&mut self, offset: u64) -> Option<Arc<Cut>> {
        if offset >= self.committed.offset {
            return None;
        }
        let fits = |own: &&Arc<OwnCut>| own.cut.from <= offset && offset < own.cut.to.offset;
        match self.recent.iter().find(fits) {
            Some(own) => Some(Arc::clone(&own.cut)),
            None => Some(Arc::new(self.table.cut_from(offset))),
        }
    }

    pub(super) const fn committed(&self) -> Position {
        self.committed
    }

    pub(super) fn standing(&mut self) -> Standing {
        Standing { position: self.table.position(), digest: self.table.digest(), fork: self.fork }
    }

    /// Returns what is to be known from outside now.
    pub(super) fn status(&self, before: &PartitionStatus) -> PartitionStatus {
        PartitionStatus {
            position: self.table.position(),
            committed: self.committed,
            tallies: self.table.tallies(),
            names: self.table.names() as u64,
            total: self.table.total(),
            end: before.end,
            is_owned: before.is_owned,
            fork: self.fork,
        }
    }
}
