//! The network of production: gateways find each other in a process group of `ractor_cluster`.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ractor::rpc::CallResult;
use ractor::{
    Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, RpcReplyPort, SpawnErr, SupervisionEvent, pg,
};
use ractor_cluster::RactorClusterMessage;
use ractor_transport::{NodeName, Peers, Ticket};

use crate::network::{Connection, ConnectionId, Inbox, InboxError, Network};
use crate::wire::{encode, split};

/// Process group in which the gateways of all nodes find each other.
const GROUP: &str = "counter-cluster gateways";

/// Message from node to node, understood by the gateway.
#[derive(RactorClusterMessage)]
enum GatewayMessage {
    /// A [`Ticket`] of the sender with a [`Request`](crate::Request), answered by a [`Reply`](crate::Reply).
    ///
    /// Both are bytes, so that the gateway refuses a malformed message where the derived code would panic.
    #[rpc]
    Request(Vec<u8>, RpcReplyPort<Vec<u8>>),
}

/// Gateways of the nodes that a transport is connected to.
#[derive(Clone, Debug)]
pub(crate) struct Gateways(pub(crate) Peers);

impl Network for Gateways {
    fn start_endpoint(
        &self,
        inbox: Inbox,
        supervisor: ActorCell,
    ) -> BoxFuture<'static, Result<ActorCell, SpawnErr>> {
        let gateway = Gateway(self.0.clone());
        async move { Ok(Actor::spawn_linked(None, gateway, inbox, supervisor).await?.0.get_cell()) }.boxed()
    }

    fn connections(&self) -> Vec<Arc<dyn Connection>> {
        let gateways = pg::get_members(&GROUP.into()).into_iter().filter(|cell| !cell.get_id().is_local());
        let connection = |cell: ActorCell| -> Arc<dyn Connection> {
            Arc::new(Remote { gateway: cell.into(), peers: self.0.clone() })
        };
        gateways.map(connection).collect()
    }
}

/// The one actor of a node that other nodes can send messages to.
///
/// It verifies the sender of each message, and forwards it to the replicator.
struct Gateway(Peers);

impl Actor for Gateway {
    type Msg = GatewayMessage;
    type State = Inbox;
    type Arguments = Inbox;

    async fn pre_start(
        &self,
        myself: ActorRef<GatewayMessage>,
        inbox: Inbox,
    ) -> Result<Inbox, ActorProcessingErr> {
        pg::monitor(GROUP.into(), myself.get_cell());
        pg::join(GROUP.into(), vec![myself.get_cell()]);
        inbox.connections_changed()?;
        Ok(inbox)
    }

    async fn handle(
        &self,
        _myself: ActorRef<GatewayMessage>,
        GatewayMessage::Request(bytes, reply): GatewayMessage,
        inbox: &mut Inbox,
    ) -> Result<(), ActorProcessingErr> {
        // Whoever is refused learns from the reply port that there is no answer.
        let delivered = match split::<Ticket>(&bytes) {
            Ok((ticket, request)) => match self.0.verify(ticket) {
                Some(sender) => inbox.deliver(sender, request, reply),
                None => {
                    tracing::warn!("refused a message without a ticket of this node's");
                    Ok(())
                }
            },
            Err(error) => Err(error.into()),
        };
        match delivered {
            Err(InboxError::BadMessage(error)) => {
                tracing::warn!(%error, "refused a message from another node");
                Ok(())
            }
            Ok(()) | Err(InboxError::Closed) => Ok(delivered?),
        }
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<GatewayMessage>,
        event: SupervisionEvent,
        inbox: &mut Inbox,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ProcessGroupChanged(_) => Ok(inbox.connections_changed()?),
            // It has no children.
            SupervisionEvent::ActorStarted(_)
            | SupervisionEvent::ActorTerminated(..)
            | SupervisionEvent::ActorFailed(..)
            | SupervisionEvent::PidLifecycleEvent(_) => Ok(()),
        }
    }
}

/// Connection to the gateway of another node.
#[derive(Debug)]
struct Remote {
    gateway: ActorRef<GatewayMessage>,
    peers: Peers,
}

impl Connection for Remote {
    fn id(&self) -> ConnectionId {
        match self.gateway.get_id() {
            ActorId::Remote { node_id, pid } => ConnectionId(node_id, pid),
            ActorId::Local(pid) => ConnectionId(u64::MAX, pid),
        }
    }

    fn node(&self) -> Option<NodeName> {
        self.peers.peer_of(self.gateway.get_id()).map(|peer| peer.name)
    }

    fn ask(&self, request: Vec<u8>, deadline: Duration) -> BoxFuture<'static, Option<Vec<u8>>> {
        // The ticket that this node has from there.
        let peer = self.peers.peer_of(self.gateway.get_id());
        let gateway = self.gateway.clone();
        async move {
            let mut bytes = encode(&peer?.ticket);
            bytes.extend(request);
            let answer = gateway.call(|reply| GatewayMessage::Request(bytes, reply), Some(deadline)).await;
            match answer {
                Ok(CallResult::Success(bytes)) => Some(bytes),
                Ok(CallResult::Timeout | CallResult::SenderError) | Err(_) => None,
            }
        }
        .boxed()
    }
}
