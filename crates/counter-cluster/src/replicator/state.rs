use std::collections::BTreeSet;
use std::sync::Arc;

use counter_keyspace::{Feed, KeyspaceHandle};
use counter_protocol::CounterName;
use ractor::{ActorRef, RpcReplyPort};
use ractor_supervision::Lease;
use ractor_transport::NodeName;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use super::acknowledging::Acknowledging;
use super::actor::Replicator;
use super::message::ReplicatorMessage;
use super::own::OwnChanges;
use super::peers::{Latest, Peers};
use super::store::NodeStore;
use crate::ledger::{Ranking, Total};
use crate::link::{Checkpoint, Progress};
use crate::network::{Connection, Network};
use crate::replica::ReplicaId;
use crate::replication::Replication;
use crate::rpc::{ANSWER_DEADLINE, Unanswered, ask};
use crate::status::{ClusterStatus, PeerStatus};
use crate::wire::{Reply, Request};

/// State of the replicator. Its links to peers are in [`Replication`], by the index that a peer has here.
pub(crate) struct ReplicatorState {
    pub(super) replication: Lease<Replication>,
    pub(super) keyspace: KeyspaceHandle,
    /// Changes of the node's own counters. Each incarnation of the actor begins with all counters.
    pub(super) feed: Feed,
    /// Way to the node's peers.
    pub(super) network: Arc<dyn Network>,
    /// Nodes that are or were connected to this incarnation of the actor.
    pub(super) peers: Peers<Arc<dyn Connection>>,
    /// Nodes that were ever connected, to any incarnation of this actor.
    pub(super) ever_connected: watch::Sender<BTreeSet<NodeName>>,
    /// The node's store, if it has one and replicates.
    pub(super) store: Option<NodeStore>,
    /// True if the node replicates with nobody.
    pub(super) is_alone: bool,
    /// True once a node has been refused for that, which is logged once.
    pub(super) has_refused: bool,
    /// Number of nodes that are connected.
    connected: watch::Sender<usize>,
    /// Replicas whose stores have been rolled back, each of which is logged once.
    pub(super) rolled_back: BTreeSet<ReplicaId>,
    pub(super) own: OwnChanges,
    pub(super) acknowledging: Acknowledging,
    waiters: Vec<Waiter>,
    /// Questions to other nodes, each with a deadline. They end with this actor.
    pub(super) questions: JoinSet<()>,
}

/// Somebody who waits until a peer has everything that it lacked at some point.
struct Waiter {
    peer: u64,
    /// `None` until it is known what the peer lacks.
    checkpoint: Option<Checkpoint>,
    complete: oneshot::Sender<()>,
}

impl ReplicatorState {
    /// Makes the state of a replicator that has no peers yet.
    pub(super) fn new(replication: Lease<Replication>, replicator: Replicator) -> Self {
        let Replicator { keyspace, network, ever_connected, connected, store, is_alone } = replicator;
        connected.send_replace(0);
        Self {
            replication,
            feed: keyspace.follow(),
            keyspace,
            network,
            peers: Peers::default(),
            ever_connected,
            store,
            is_alone,
            has_refused: false,
            connected,
            rolled_back: BTreeSet::new(),
            own: OwnChanges::default(),
            acknowledging: Acknowledging::default(),
            waiters: Vec::new(),
            questions: JoinSet::new(),
        }
    }

    /// Asks a peer on a task of its own, and sends the message that is made of its answer to this actor.
    pub(super) fn question(
        &mut self,
        myself: &ActorRef<ReplicatorMessage>,
        peer: u64,
        request: Request,
        message: impl FnOnce(Result<Reply, Unanswered>) -> ReplicatorMessage + Send + 'static,
    ) {
        let (myself, connection) = (myself.clone(), self.peers.connection(peer).cloned());
        self.questions.spawn(async move {
            let answer = match connection {
                Some(connection) => ask(&*connection, request, ANSWER_DEADLINE).await,
                None => Err(Unanswered),
            };
            let _ = myself.cast(message(answer));
        });
    }

    /// Returns a receiver that resolves when a peer has everything that it lacks now, with an error if the connection
    /// ends before.
    pub(super) fn when_complete(&mut self, peer: u64) -> oneshot::Receiver<()> {
        let (complete, when) = oneshot::channel();
        self.waiters.push(Waiter { peer, checkpoint: self.replication.checkpoint(peer), complete });
        when
    }

    /// Resolves the receivers of peers that have everything, or that are gone.
    pub(super) fn notify_waiters(&mut self) {
        for mut waiter in std::mem::take(&mut self.waiters) {
            let Waiter { peer, checkpoint, .. } = &mut waiter;
            *checkpoint = checkpoint.or_else(|| self.replication.checkpoint(*peer));
            let progress = match *checkpoint {
                Some(checkpoint) => self.replication.progress(*peer, checkpoint),
                None if self.replication.has_joined(*peer) => Progress::Pending,
                None => Progress::Lost,
            };
            match progress {
                Progress::Reached => _ = waiter.complete.send(()),
                Progress::Pending => self.waiters.push(waiter),
                // Dropping the sender is the error that the receiver gets.
                Progress::Lost => {}
            }
        }
    }

    /// Returns the indices of all peers that are connected and identified.
    pub(super) fn indices(&self) -> Vec<u64> {
        self.replication.peers().map(|(peer, _)| peer).collect()
    }

    /// Returns the nodes that were ever connected, and are not now, or have not said yet who they are.
    pub(super) fn absent(&self) -> Vec<NodeName> {
        let connected: BTreeSet<_> = self.replication.peers().map(|(_, replica)| &replica.node).collect();
        let mut known = self.ever_connected.borrow().clone();
        known.extend(self.network.connections().iter().filter_map(|connection| connection.node()));
        known.into_iter().filter(|node| !connected.contains(node)).collect()
    }

    /// Returns the sum of a name's entries of other replicas.
    pub(super) fn others(&self, name: &CounterName) -> Total {
        let entries = self.replication.ledger().entries(name);
        entries.filter(|(id, _)| *id != self.replication.me()).map(|(_, count)| count).collect()
    }

    /// Looks for the largest values, a step now, and the next once other messages have had their turn.
    pub(super) fn rank(
        &self,
        myself: &ActorRef<ReplicatorMessage>,
        mut ranking: Ranking,
        reply: RpcReplyPort<Vec<(CounterName, Total)>>,
    ) {
        if self.replication.ledger().rank(&mut ranking) {
            let _ = reply.send(ranking.into_largest());
        } else {
            let _ = myself.cast(ReplicatorMessage::Rank(ranking, reply));
        }
    }

    /// Returns the status of the cluster.
    pub(super) fn status(&self) -> ClusterStatus {
        let ledger = self.replication.ledger();
        let replicas = ledger.replicas().map(|(id, totals)| (id.clone(), totals)).collect();
        let refused = self.replication.refused();
        let forks = ledger.forks().map(|(id, forks)| (id.clone(), forks)).collect();
        let alarm = self.store.as_ref().and_then(|store| store.alarm.borrow().clone());
        ClusterStatus { names: ledger.names(), replicas, peers: self.peer_statuses(), refused, forks, alarm }
    }

    /// Returns the node whose incarnation this is, if it is known.
    pub(super) fn node_of(&self, incarnation: u64) -> Option<NodeName> {
        let replicas = self.replication.ledger().replicas().map(|(id, _)| id);
        let mut all = replicas.chain(self.replication.peers().map(|(_, id)| id));
        all.find(|id| id.incarnation == incarnation).map(|id| id.node.clone())
    }

    /// Publishes the number of nodes that are connected.
    pub(super) fn publish_connected(&self) {
        let nodes: BTreeSet<_> = self.replication.peers().map(|(_, id)| &id.node).collect();
        self.connected.send_replace(nodes.len());
    }

    /// Returns the status of each other node, in the order of names.
    pub(super) fn peer_statuses(&self) -> Vec<PeerStatus> {
        let status = |Latest { replica, index, last_heard_from }: Latest<'_>| PeerStatus {
            node: replica.node.clone(),
            replica: replica.clone(),
            is_up: index.is_some(),
            last_heard_from: last_heard_from.elapsed(),
            lag: index.map_or(0, |peer| self.replication.lag(peer)),
        };
        self.peers.latest().into_iter().map(status).collect()
    }
}
