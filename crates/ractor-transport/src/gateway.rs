//! Requests between the nodes of a transport: bytes in, bytes out, and the verified name of whoever asks.

use std::fmt;
use std::time::Duration;

use ractor::rpc::CallResult;
use ractor::{
    Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, RpcReplyPort, SpawnErr, SupervisionEvent, pg,
};
use ractor_cluster::RactorClusterMessage;

use crate::node_name::NodeName;
use crate::peers::Peers;
use crate::ticket::Ticket;

/// Gateways of the nodes that a transport is connected to. Clones are the same.
///
/// A gateway is the one actor of a node that other nodes can send messages to. Gateways of the same group find each
/// other by a process group of `ractor_cluster`. Each request carries the [`Ticket`] that the receiving node has issued
/// to the sender, so the receiver knows whom it comes from.
#[derive(Clone, Debug)]
pub struct Gateways {
    peers: Peers,
    group: &'static str,
}

/// Receives what comes to a gateway.
///
/// An error of either function ends the gateway: whoever starts it decides whether there is another.
pub trait GatewayInbox: Send + Sync + 'static {
    /// Takes a request of a peer, whose name is verified as far as the transport's
    /// [`Security`](crate::Security) verifies it. If `reply` is dropped, there is no reply.
    ///
    /// # Errors
    /// Ends the gateway.
    fn deliver(
        &self,
        sender: NodeName,
        request: &[u8],
        reply: RpcReplyPort<Vec<u8>>,
    ) -> Result<(), ActorProcessingErr>;

    /// Learns that gateways of peers have come or gone. Called once at the start, too.
    ///
    /// # Errors
    /// Ends the gateway.
    fn connections_changed(&self) -> Result<(), ActorProcessingErr>;
}

/// Connection to the gateway of a peer. Each gateway that a peer starts is another connection.
#[derive(Clone, Debug)]
pub struct GatewayConnection {
    gateway: ActorRef<GatewayMessage>,
    peers: Peers,
}

/// Identity of a [`GatewayConnection`], which no other one has as long as the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatewayId {
    /// Session of `ractor_cluster`.
    pub session: u64,
    /// Actor at the other end.
    pub actor: u64,
}

/// Message from node to node, understood by the gateway.
#[derive(RactorClusterMessage)]
enum GatewayMessage {
    /// The bytes of a [`Ticket`], then a request, answered by a reply.
    ///
    /// All of it is bytes, so that the gateway refuses a malformed message where the derived code would panic.
    #[rpc]
    Request(Vec<u8>, RpcReplyPort<Vec<u8>>),
}

impl Gateways {
    /// Creates the gateways of a group on a transport with these peers.
    #[must_use]
    pub const fn new(peers: Peers, group: &'static str) -> Self {
        Self { peers, group }
    }

    /// Starts the gateway of this node, linked to a supervisor.
    ///
    /// # Errors
    /// [`SpawnErr`] if the actor does not start.
    pub async fn start(
        &self,
        inbox: impl GatewayInbox,
        supervisor: ActorCell,
    ) -> Result<ActorCell, SpawnErr> {
        let gateway = Gateway(self.clone());
        let (actor, _) = Actor::spawn_linked(None, gateway, Box::new(inbox) as _, supervisor).await?;
        Ok(actor.get_cell())
    }

    /// Returns the present connections, one to each gateway of another node.
    pub fn connections(&self) -> impl Iterator<Item = GatewayConnection> {
        let gateways =
            pg::get_members(&self.group.into()).into_iter().filter(|cell| !cell.get_id().is_local());
        gateways.map(|cell| GatewayConnection { gateway: cell.into(), peers: self.peers.clone() })
    }
}

impl GatewayConnection {
    /// Returns what distinguishes the connection from all others of this process.
    #[must_use]
    pub fn id(&self) -> GatewayId {
        match self.gateway.get_id() {
            ActorId::Remote { node_id: session, pid: actor } => GatewayId { session, actor },
            ActorId::Local(actor) => GatewayId { session: u64::MAX, actor },
        }
    }

    /// Returns the name of the node at the other end; `None` if the connection is over.
    #[must_use]
    pub fn node(&self) -> Option<NodeName> {
        self.peers.peer_of(self.gateway.get_id()).map(|peer| peer.name)
    }

    /// Sends a request, and returns its reply. `None` if there is no reply before the deadline: the peer may have done
    /// as it was asked, or not.
    pub async fn ask(&self, request: &[u8], deadline: Duration) -> Option<Vec<u8>> {
        // The ticket that this node has from there.
        let ticket = self.peers.peer_of(self.gateway.get_id())?.ticket;
        let message = [ticket.as_bytes(), request].concat();
        let answer = self.gateway.call(|reply| GatewayMessage::Request(message, reply), Some(deadline)).await;
        match answer {
            Ok(CallResult::Success(reply)) => Some(reply),
            Ok(CallResult::Timeout | CallResult::SenderError) | Err(_) => None,
        }
    }
}

/// Verifies the sender of each message, and forwards the message.
#[derive(Debug)]
struct Gateway(Gateways);

impl Actor for Gateway {
    type Msg = GatewayMessage;
    type State = Box<dyn GatewayInbox>;
    type Arguments = Self::State;

    async fn pre_start(
        &self,
        myself: ActorRef<GatewayMessage>,
        inbox: Self::State,
    ) -> Result<Self::State, ActorProcessingErr> {
        pg::monitor(self.0.group.into(), myself.get_cell());
        pg::join(self.0.group.into(), vec![myself.get_cell()]);
        inbox.connections_changed()?;
        Ok(inbox)
    }

    async fn handle(
        &self,
        _myself: ActorRef<GatewayMessage>,
        GatewayMessage::Request(bytes, reply): GatewayMessage,
        inbox: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let sender = bytes
            .split_first_chunk()
            .and_then(|(ticket, request)| Some((self.0.peers.verify(Ticket::from_bytes(*ticket))?, request)));
        match sender {
            Some((sender, request)) => inbox.deliver(sender, request, reply),
            // Whoever is refused learns from the reply port that there is no answer.
            None => {
                tracing::warn!("refused a message without a ticket of this node's");
                Ok(())
            }
        }
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<GatewayMessage>,
        event: SupervisionEvent,
        inbox: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ProcessGroupChanged(_) => inbox.connections_changed(),
            // It has no children.
            SupervisionEvent::ActorStarted(_)
            | SupervisionEvent::ActorTerminated(..)
            | SupervisionEvent::ActorFailed(..)
            | SupervisionEvent::PidLifecycleEvent(_) => Ok(()),
        }
    }
}

impl fmt::Debug for dyn GatewayInbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GatewayInbox")
    }
}
