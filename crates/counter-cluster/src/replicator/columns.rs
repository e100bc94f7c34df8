//! Source from which a node's store takes the entries of other replicas.

use counter_keyspace::KeyspaceError;
use counter_store::{ColumnEnds, ColumnPage, Columns};
use ractor::RpcReplyPort;

use super::message::{ReplicatorMessage, ReplicatorOutbox};
use crate::replication::{Replication, StorePosition};

/// Columns of the replicator, for the store.
#[derive(Debug)]
pub(crate) struct StoreColumns {
    replicator: ReplicatorOutbox,
    position: StorePosition,
}

/// Question of the store, which does no harm twice.
pub(crate) enum ColumnsRequest {
    /// Returns about this number of entries of other replicas that the store has yet to commit.
    Pull(StorePosition, usize, RpcReplyPort<ColumnPage>),
    /// Returns the rest of them, and the totals of their columns.
    Finish(StorePosition, RpcReplyPort<(ColumnPage, ColumnEnds)>),
    /// Returns about this number of entries of other replicas from a position on, and the position of the next ones.
    Snapshot(u64, usize, RpcReplyPort<(ColumnPage, Option<u64>)>),
}

impl ColumnsRequest {
    /// Answers from what the node knows.
    pub(super) fn answer(self, replication: &mut Replication) {
        match self {
            Self::Pull(position, most, reply) => _ = reply.send(replication.pull_columns(position, most)),
            Self::Finish(position, reply) => _ = reply.send(replication.finish_columns(position)),
            Self::Snapshot(from, most, reply) => _ = reply.send(replication.snapshot_columns(from, most)),
        }
    }
}

impl StoreColumns {
    pub(crate) fn new(replicator: ReplicatorOutbox) -> Self {
        Self { replicator, position: StorePosition::default() }
    }
}

impl Columns for StoreColumns {
    async fn pull(&mut self, most: usize) -> Result<ColumnPage, KeyspaceError> {
        let position = self.position;
        let question = |reply| ReplicatorMessage::Columns(ColumnsRequest::Pull(position, most, reply));
        let page = self.replicator.call(question).await?;
        self.position.arrived();
        Ok(page)
    }

    async fn finish(&mut self) -> Result<(ColumnPage, ColumnEnds), KeyspaceError> {
        let position = self.position;
        let question = |reply| ReplicatorMessage::Columns(ColumnsRequest::Finish(position, reply));
        let finished = self.replicator.call(question).await?;
        self.position.arrived();
        Ok(finished)
    }

    fn confirm(&mut self) {
        self.position.confirm();
    }

    fn retry(&mut self) {
        self.position.retry();
    }

    fn reset(&mut self) {
        self.position.reset();
    }

    async fn snapshot_page(
        &mut self,
        from: u64,
        most: usize,
    ) -> Result<(ColumnPage, Option<u64>), KeyspaceError> {
        let question = |reply| ReplicatorMessage::Columns(ColumnsRequest::Snapshot(from, most, reply));
        Ok(self.replicator.call(question).await?)
    }
}
