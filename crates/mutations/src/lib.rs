//! Bugs that can be planted, to see whether the simulation finds them.
//!
//! Compiled without `--cfg mutations`, [`Mutation::is_planted`] is a constant `false`, and nothing is left of a planted
//! bug. With it, a program chooses one by `plant`.

#[cfg(mutations)]
use std::sync::atomic::{AtomicUsize, Ordering};

/// A bug that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// A round is acknowledged though it is not synced.
    AcknowledgeBeforeSync,
    /// Other nodes are told of counts that are not durable yet.
    ReplicateBeforeCommit,
    /// A batch of another node is acknowledged before it is merged.
    AcknowledgeBeforeMerge,
    /// A connection begins without a comparison of what the node holds already.
    CompareBeforeLoading,
    /// A node that starts again goes on under the number of an incarnation that is over.
    ReuseIncarnation,
    /// A batch that has failed does not count as a step back for those who wait behind it.
    FailedBatchOvertaken,
    /// A snapshot takes the place of the log before the round that completes it is durable.
    PublishSnapshotEarly,
    /// A recovered log is served though it may not be durable.
    ServeUnsyncedLog,
    /// An outbox that is dropped while its batch is in the actor's hands drops what comes back.
    DropOutboxWithBatch,
    /// The record of a session is in a later round than what it has counted.
    SessionInLaterRound,
    /// The record of a session is written behind all of a request's counts.
    SessionAfterCounts,
    /// The removals in an answer that is lost are not handed out again.
    RemovalLostWithAnswer,
    /// A snapshot has counters that the log does not know, and that are removed without a trace.
    RemovedCounterReappears,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::AcknowledgeBeforeSync,
        Self::ReplicateBeforeCommit,
        Self::AcknowledgeBeforeMerge,
        Self::CompareBeforeLoading,
        Self::ReuseIncarnation,
        Self::FailedBatchOvertaken,
        Self::PublishSnapshotEarly,
        Self::ServeUnsyncedLog,
        Self::DropOutboxWithBatch,
        Self::SessionInLaterRound,
        Self::SessionAfterCounts,
        Self::RemovalLostWithAnswer,
        Self::RemovedCounterReappears,
    ];

    /// Returns the mutation of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mutation| format!("{mutation:?}") == name)
    }

    /// Returns true if this bug is planted.
    #[cfg(not(mutations))]
    #[inline]
    #[must_use]
    pub const fn is_planted(self) -> bool {
        false
    }

    /// Returns true if this bug is planted.
    #[cfg(mutations)]
    #[inline]
    #[must_use]
    pub fn is_planted(self) -> bool {
        PLANTED.load(Ordering::Relaxed) == self as usize
    }
}

/// The bug that is planted, as a number.
#[cfg(mutations)]
static PLANTED: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Plants a bug, in place of an earlier one, or none.
#[cfg(mutations)]
pub fn plant(mutation: Option<Mutation>) {
    PLANTED.store(mutation.map_or(usize::MAX, |mutation| mutation as usize), Ordering::Relaxed);
}
