//! A partition of this member: its actor, and what is known of it.

mod actor;
mod message;
mod records;
mod state;

use std::num::NonZeroUsize;
use std::sync::Arc;

use counter_keyspace::EntryPage;
use ractor::RpcReplyPort;
use ractor_outbox::{CallError, Outbox};
use ractor_supervision::{ChildSpec, SupervisedActor};
use tokio::sync::watch;

use crate::cut::Cut;
use crate::record::{PartitionId, Position};
use crate::table::{OwnCut, PartitionTable, Total};

use actor::PartitionActor;
use message::{CountersPage, Names, PartitionMessage, Question};
use records::Records;
use state::PartitionState;

pub(crate) use message::Standing;
pub use state::PartitionStatus;

/// Maximum number of records that wait for a partition's actor. At the bound, its source pauses.
pub const RECORDS_WAITING: NonZeroUsize = NonZeroUsize::new(4096).expect("it is not zero");

/// Outbox of a partition's actor.
pub(crate) type PartitionOutbox = Outbox<Records, PartitionMessage>;

/// Handle on the actor of a partition. A clone has an outbox of its own.
#[derive(Clone, Debug)]
pub(crate) struct Partition {
    pub(crate) id: Arc<PartitionId>,
    pub(crate) outbox: PartitionOutbox,
    pub(crate) status: watch::Sender<PartitionStatus>,
    pub(crate) committed: watch::Sender<Position>,
}

impl Partition {
    /// Creates a partition that goes on from a table, and the actor that a supervisor has to start.
    pub(crate) fn new(id: PartitionId, table: PartitionTable) -> (Self, ChildSpec) {
        let state = PartitionState::new(table);
        let status = watch::Sender::new(state.status(&PartitionStatus::default()));
        let committed = watch::Sender::new(status.borrow().committed);
        let actor = PartitionActor {
            id: id.to_string().into(),
            status: status.clone(),
            committed: committed.clone(),
        };
        let records = Records::bounded(RECORDS_WAITING);
        let supervised = SupervisedActor::new(id.to_string(), move || actor.clone(), state, records);
        let outbox = supervised.outbox();
        (Self { id: Arc::new(id), outbox, status, committed }, supervised.into())
    }

    /// Returns all that the store has yet to commit, or the whole table, if there is anything.
    pub(crate) async fn take(&self, is_complete: bool) -> Result<Option<Arc<OwnCut>>, CallError> {
        self.ask(|reply| Question::Take(is_complete, reply)).await
    }

    /// Tells the partition that a cut is durable. If that gets lost, the next cut is larger.
    pub(crate) fn confirm(&self, own: &Arc<OwnCut>) {
        if let Some(actor) = self.outbox.actor() {
            let _ = actor.cast(PartitionMessage::Confirm(Arc::clone(own)));
        }
    }

    /// Returns a page of all that the store holds of the table, and the index of the next.
    pub(crate) async fn page(&self, from: u32, most: usize) -> Result<(EntryPage, Option<u32>), CallError> {
        self.ask(|reply| Question::GetStored(from, most, reply)).await
    }

    /// Returns a cut that begins at this offset or before, if the partition is beyond it.
    pub(crate) async fn cut_from(&self, offset: u64) -> Result<Option<Arc<Cut>>, CallError> {
        self.ask(|reply| Question::GetCut(offset, reply)).await
    }

    /// Applies a cut of another member if it fits, and returns where the partition stands then.
    pub(crate) async fn apply(&self, cut: &Arc<Cut>) -> Result<Standing, CallError> {
        self.ask(|reply| Question::Apply(Arc::clone(cut), reply)).await
    }

    /// Compares where another member stands with this one, if both stand at the same offset.
    pub(crate) async fn compare(&self, other: &Standing) -> Result<(), CallError> {
        let mark = Arc::new(Cut::mark(other.position, other.digest));
        self.apply(&mark).await.map(drop)
    }

    /// Returns where the partition stands, behind all records that were sent through this handle.
    pub(crate) async fn standing(&self) -> Result<Standing, CallError> {
        self.ask(Question::GetStanding).await
    }

    /// Returns what counters add up to here.
    pub(crate) async fn values(&self, names: &Names) -> Result<Vec<Option<Total>>, CallError> {
        self.ask(|reply| Question::GetValues(Arc::clone(names), reply)).await
    }

    /// Returns about `most` counters from an index on, and the index of the next.
    pub(crate) async fn counters(&self, from: u32, most: usize) -> Result<CountersPage, CallError> {
        self.ask(|reply| Question::GetCounters(from, most, reply)).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl Fn(RpcReplyPort<T>) -> Question + Send + Sync,
    ) -> Result<T, CallError> {
        self.outbox.call(|reply| PartitionMessage::Question(question(reply))).await
    }
}

#[cfg(test)]
mod tests;
