use std::time::Duration;

use ractor::rpc::CallResult;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, pg};
use ractor_cluster::RactorClusterMessage;

use crate::replicator::ReplicatorMessage;
use crate::transport::{Peers, Ticket};
use crate::wire::{Reply, Request, decode, encode};

/// The group in which the gateways of all nodes find each other.
pub(crate) const GROUP: &str = "counter-cluster gateways";

/// How long another node may take to answer.
pub(crate) const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

/// The one actor of a node that other nodes can speak to.
///
/// It verifies who speaks, understands what they say, and hands it to the replicator.
#[derive(Clone, Debug)]
pub(crate) struct Gateway(pub(crate) Peers);

/// What goes from node to node.
#[derive(RactorClusterMessage)]
pub(crate) enum GatewayMessage {
    /// A [`Ticket`] of the sender's with a [`Request`], and the [`Reply`] to it, as bytes: so what cannot be read is
    /// refused here, and not by a panic.
    #[rpc]
    Request(Vec<u8>, RpcReplyPort<Vec<u8>>),
}

impl Actor for Gateway {
    type Msg = GatewayMessage;
    type State = ActorRef<ReplicatorMessage>;
    type Arguments = ActorRef<ReplicatorMessage>;

    async fn pre_start(
        &self,
        myself: ActorRef<GatewayMessage>,
        replicator: ActorRef<ReplicatorMessage>,
    ) -> Result<ActorRef<ReplicatorMessage>, ActorProcessingErr> {
        pg::join(GROUP.into(), vec![myself.get_cell()]);
        Ok(replicator)
    }

    async fn handle(
        &self,
        _myself: ActorRef<GatewayMessage>,
        GatewayMessage::Request(bytes, reply): GatewayMessage,
        replicator: &mut ActorRef<ReplicatorMessage>,
    ) -> Result<(), ActorProcessingErr> {
        // Whoever is refused learns from the reply port that there is no answer.
        match decode::<(Ticket, Request)>(&bytes) {
            Ok((ticket, request)) => match self.0.verify(ticket) {
                Some(sender) => replicator.cast(ReplicatorMessage::Asked(sender, request, reply))?,
                None => tracing::warn!("refused a message without a ticket of this node's"),
            },
            Err(error) => tracing::warn!(%error, "refused a message from another node"),
        }
        Ok(())
    }
}

/// Another node has not answered: it may have done what was asked of it, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unanswered;

/// Asks another node's gateway, with the ticket that this node has from there.
pub(crate) async fn ask(
    peers: &Peers,
    gateway: ActorRef<GatewayMessage>,
    request: Request,
    deadline: Duration,
) -> Result<Reply, Unanswered> {
    let ticket = peers.peer_of(gateway.get_id()).ok_or(Unanswered)?.ticket;
    let bytes = encode(&(ticket, request));
    let answer = gateway.call(|reply| GatewayMessage::Request(bytes, reply), Some(deadline)).await;
    match answer {
        Ok(CallResult::Success(bytes)) => decode(&bytes).map_err(|_| Unanswered),
        Ok(CallResult::Timeout | CallResult::SenderError) | Err(_) => Err(Unanswered),
    }
}
