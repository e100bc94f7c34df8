//! Questions of a server in front of a node.

use std::sync::Arc;
use std::time::Duration;

use counter_keyspace::KeyspaceError;
use counter_protocol::CounterName;
use counter_store::Committed;
use tokio::sync::watch;

use crate::handle::NodeHandle;
use crate::ledger::Total;
use crate::replica::ReplicaId;
use crate::replicator::message::ReplicatorMessage;
use crate::replicator::question::{Question, Scan};

impl NodeHandle {
    /// Returns the incarnation of the node, by which its sessions are known. `None` if it does not replicate, because
    /// its store has never had a peer.
    #[must_use]
    pub fn replica(&self) -> Option<ReplicaId> {
        self.incarnation.map(|incarnation| ReplicaId { node: self.name.clone(), incarnation })
    }

    /// Returns how far the node's store has come, if it has one.
    #[must_use]
    pub fn committed(&self) -> Option<watch::Receiver<Committed>> {
        self.store.as_ref().map(|store| store.commits.committed())
    }

    /// Returns the counts of other replicas that have arrived, for each of these names. Earlier incarnations of this
    /// node are other replicas.
    ///
    /// # Errors
    /// [`KeyspaceError`] if the node has stopped.
    pub async fn others_of(&self, names: Arc<[CounterName]>) -> Result<Vec<Total>, KeyspaceError> {
        self.ask(|reply| ReplicatorMessage::Question(Question::OthersOf(Arc::clone(&names), reply))).await
    }

    /// Returns up to `most` names that begin with `prefix` with their sums over all replicas, from a position on, and
    /// the position of the next page. A page may have fewer.
    ///
    /// Position 0 is the beginning; no later page has it. A scan has each name once that was counted here, through this
    /// handle, or had arrived before it began. A position has 40 bits.
    ///
    /// # Errors
    /// [`KeyspaceError`] if the node has stopped.
    pub async fn scan(
        &self,
        from: u64,
        most: usize,
        prefix: &[u8],
    ) -> Result<(Vec<(CounterName, Total)>, Option<u64>), KeyspaceError> {
        if from == 0 {
            // What was sent through this handle is applied then.
            self.keyspace().flush().await?;
        }
        let scan = Scan { from, most: most.max(1), prefix: prefix.into() };
        self.ask(|reply| ReplicatorMessage::Question(Question::Scan(scan.clone(), reply))).await
    }

    /// Waits until `nodes` other nodes have received everything that was sent through this handle before, whether it is
    /// durable there or not, or until this time has passed. Returns the number of those that have.
    ///
    /// # Errors
    /// [`KeyspaceError`] if the node has stopped.
    pub async fn received(&self, nodes: usize, within: Duration) -> Result<usize, KeyspaceError> {
        self.keyspace().flush().await?;
        self.ask(|reply| ReplicatorMessage::Question(Question::Received(nodes, within, reply))).await
    }

    /// Waits until `nodes` other nodes have committed everything that was sent through this handle before, or until
    /// this time or 10 s have passed. Returns the number of those that have.
    ///
    /// # Errors
    /// [`KeyspaceError`] if the node has stopped.
    pub async fn copies(&self, nodes: usize, within: Duration) -> Result<usize, KeyspaceError> {
        self.keyspace().flush().await?;
        self.ask(|reply| ReplicatorMessage::GetCopies(nodes, within, reply)).await
    }
}
