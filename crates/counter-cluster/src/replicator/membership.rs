//! Nodes that come and go.

use std::collections::BTreeSet;
use std::sync::Arc;

use counter_store::{DurabilityError, Member};
use ractor::ActorRef;
use tokio::time::Instant;

use super::actor::COMPARE_EVERY;
use super::message::ReplicatorMessage;
use super::state::ReplicatorState;
use super::store::Admission;
use crate::alarm::Alarm;
use crate::network::{Connection, ConnectionId};
use crate::replica::ReplicaId;
use crate::rpc::Unanswered;
use crate::wire::{Identity, Reply, Request, StoreIdentity};

impl ReplicatorState {
    /// Ends the replication by connections that are over, and asks the nodes at the other ends of new ones for their
    /// replicas.
    pub(super) fn update_connections(&mut self, myself: &ActorRef<ReplicatorMessage>) {
        let connections = self.network.connections();
        let present: BTreeSet<_> = connections.iter().map(|connection| connection.id()).collect();
        let over: Vec<_> = self.peers.ids().filter(|id| !present.contains(id)).collect();
        over.into_iter().for_each(|id| self.left(id));
        connections.into_iter().for_each(|connection| self.joined(myself, connection));
    }

    /// Asks the node at the other end of a connection for its replica.
    fn joined(&mut self, myself: &ActorRef<ReplicatorMessage>, connection: Arc<dyn Connection>) {
        let id = connection.id();
        if self.is_alone {
            if !std::mem::replace(&mut self.has_refused, true) {
                tracing::warn!(
                    "a node is refused: this one has a store that has never had a peer; give it one to begin"
                );
            }
            return;
        }
        let Some(peer) = self.peers.add(id, connection) else { return };
        self.identify(myself, peer, move |identity| ReplicatorMessage::Identified(id, identity));
    }

    /// Asks the node at the other end of a connection who it is.
    fn identify(
        &mut self,
        myself: &ActorRef<ReplicatorMessage>,
        peer: u64,
        message: impl FnOnce(Result<Identity, Unanswered>) -> ReplicatorMessage + Send + 'static,
    ) {
        let store = self.store.as_ref().map(|store| store.id.0);
        let identify = Request::Identify { from: self.replication.me().clone(), store };
        self.question(myself, peer, identify, move |answer| {
            message(match answer {
                Ok(Reply::Identity(identity)) => Ok(identity),
                Ok(_) | Err(_) => Err(Unanswered),
            })
        });
    }

    /// Records the store of a node that has answered with its replica, and makes durable what is to be sent to it.
    pub(super) fn identified(
        &mut self,
        myself: &ActorRef<ReplicatorMessage>,
        id: ConnectionId,
        identity: Result<Identity, Unanswered>,
    ) {
        // It may be over meanwhile.
        let connection = self.peers.index_of(id).and_then(|peer| self.peers.connection(peer));
        let Some(connection) = connection else { return };
        let verified = connection.node();
        let identity = identity.ok();
        let identity =
            identity.filter(|identity| verified.is_some_and(|verified| verified == identity.replica.node));
        let Some(Identity { replica, store: theirs }) = identity else {
            tracing::warn!("a node does not say who it is, or not its own name; it is asked again soon");
            self.peers.leave(id);
            return;
        };
        let Some(store) = &self.store else { return self.admitted(myself, id, replica, Ok(None)) };
        let admission = theirs.map_or(Admission::Known, |theirs| store.admit(&replica.node, theirs));
        let member = match admission {
            Admission::Known => None,
            Admission::Record(member) => Some(member),
            Admission::RolledBack => {
                let alarm = Alarm::RolledBack { node: replica.node };
                store.alarm.send_if_modified(|raised| raised.replace(alarm.clone()).is_none());
                self.peers.leave(id);
                return;
            }
            Admission::PeerRolledBack => {
                if self.rolled_back.insert(replica.clone()) {
                    tracing::error!(%replica, "store of this node has been rolled back; nothing is sent to it");
                }
                self.peers.leave(id);
                return;
            }
        };
        let (commits, myself) = (store.commits.clone(), myself.clone());
        self.questions.spawn(async move {
            let recorded = match member.clone() {
                Some(member) => commits.record_member(member).await,
                None => commits.wait().await,
            };
            let _ = myself.cast(ReplicatorMessage::Admitted(id, replica, recorded.map(|()| member)));
        });
    }

    /// Begins to replicate to a node whose store is recorded.
    pub(super) fn admitted(
        &mut self,
        myself: &ActorRef<ReplicatorMessage>,
        id: ConnectionId,
        replica: ReplicaId,
        member: Result<Option<Member>, DurabilityError>,
    ) {
        let Some(peer) = self.peers.index_of(id) else { return };
        let Ok(member) = member else {
            // The disk has failed. It is asked again soon.
            self.peers.leave(id);
            return;
        };
        self.recorded(myself, id, member);
        tracing::info!(%replica, "a node is there");
        self.replication.joined(peer, replica.clone());
        self.ever_connected.send_if_modified(|nodes| nodes.insert(replica.node.clone()));
        self.publish_connected();
        self.peers.identify(peer, replica, Instant::now());
        self.compare_next(myself, peer);
    }

    /// Notes that a store has been recorded. If it has not recorded this one yet, it is asked again soon.
    fn recorded(&self, myself: &ActorRef<ReplicatorMessage>, id: ConnectionId, member: Option<Member>) {
        let (Some(store), Some(member)) = (&self.store, member) else { return };
        if !member.is_mutual {
            myself.send_after(COMPARE_EVERY, move || ReplicatorMessage::IdentifyAgain(id));
        }
        store.recorded(member);
    }

    pub(super) fn identify_again(&mut self, myself: &ActorRef<ReplicatorMessage>, id: ConnectionId) {
        if let Some(peer) = self.peers.index_of(id) {
            self.identify(myself, peer, move |identity| ReplicatorMessage::IdentifiedAgain(id, identity));
        }
    }

    /// Records that a store has recorded this one.
    pub(super) fn identified_again(
        &mut self,
        myself: &ActorRef<ReplicatorMessage>,
        id: ConnectionId,
        identity: Result<Identity, Unanswered>,
    ) {
        let is_mutual = |theirs: &StoreIdentity| theirs.lists_asker;
        let identity = identity.ok().and_then(|identity| Some((identity.replica, identity.store?)));
        let (Some(store), Some((replica, theirs))) = (&self.store, identity) else { return };
        if !is_mutual(&theirs) {
            myself.send_after(COMPARE_EVERY, move || ReplicatorMessage::IdentifyAgain(id));
        } else if let Admission::Record(member) = store.admit(&replica.node, theirs) {
            let store = store.clone();
            self.questions.spawn(async move {
                if store.commits.record_member(member.clone()).await.is_ok() {
                    store.recorded(member);
                }
            });
        }
    }

    /// Ends the replication by a connection that is over.
    fn left(&mut self, id: ConnectionId) {
        let Some((peer, replica)) = self.peers.leave(id) else { return };
        let node = replica.map(|replica| replica.node.clone());
        self.replication.left(peer);
        self.publish_connected();
        if let Some(node) = node {
            tracing::info!(%node, "a node is gone");
        }
    }
}
