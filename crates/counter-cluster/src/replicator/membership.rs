//! Nodes that come and go.

use ractor::{ActorCell, ActorId, ActorRef, pg};
use tokio::time::Instant;

use super::message::ReplicatorMessage;
use super::state::ReplicatorState;
use crate::replica::ReplicaId;
use crate::rpc::{GROUP, Unanswered};
use crate::wire::{Reply, Request};

impl ReplicatorState {
    /// Asks all gateways that are not among the peers yet for their replicas.
    pub(super) fn look_for_gateways(&mut self, myself: &ActorRef<ReplicatorMessage>) {
        pg::get_members(&GROUP.into()).into_iter().for_each(|cell| self.joined(myself, cell));
    }

    /// Asks a gateway that has appeared for its replica.
    pub(super) fn joined(&mut self, myself: &ActorRef<ReplicatorMessage>, cell: ActorCell) {
        let id = cell.get_id();
        if id.is_local() {
            return;
        }
        let Some(peer) = self.peers.add(id, cell.into()) else { return };
        let identify = Request::Identify { from: self.replication.me().clone() };
        self.question(myself, peer, identify, move |answer| {
            let replica = match answer {
                Ok(Reply::Identity(replica)) => Ok(replica),
                Ok(
                    Reply::Merged(_)
                    | Reply::Differing(_)
                    | Reply::Examined(_)
                    | Reply::Entries(_)
                    | Reply::Flushed,
                )
                | Err(_) => Err(Unanswered),
            };
            ReplicatorMessage::Identified(id, replica)
        });
    }

    /// Begins to replicate to a gateway that has answered with its replica.
    pub(super) fn identified(
        &mut self,
        myself: &ActorRef<ReplicatorMessage>,
        id: ActorId,
        replica: Result<ReplicaId, Unanswered>,
    ) {
        // It may have left meanwhile.
        let Some(peer) = self.peers.index_of(id) else { return };
        let verified = self.tickets.peer_of(id);
        let Some(replica) =
            replica.ok().filter(|replica| verified.is_some_and(|verified| verified.name == replica.node))
        else {
            tracing::warn!("a node does not say who it is, or not its own name; it is asked again soon");
            self.peers.leave(id);
            return;
        };
        tracing::info!(%replica, "a node is there");
        self.replication.joined(peer, replica.clone());
        self.ever_connected.send_if_modified(|nodes| nodes.insert(replica.node.clone()));
        self.peers.identify(peer, replica, Instant::now());
        self.compare_next(myself, peer);
    }

    /// Ends the replication to a gateway that is gone.
    pub(super) fn left(&mut self, id: ActorId) {
        let Some((peer, replica)) = self.peers.leave(id) else { return };
        self.replication.left(peer);
        if let Some(ReplicaId { node, .. }) = replica {
            tracing::info!(%node, "a node is gone");
        }
    }
}
