//! Questions to other nodes, and the message that carries them.

use std::time::Duration;

use ractor::rpc::CallResult;
use ractor::{ActorRef, RpcReplyPort};
use ractor_cluster::RactorClusterMessage;
use ractor_transport::Peers;

use crate::wire::{Reply, Request, decode, encode};

/// Process group in which the gateways of all nodes find each other.
pub(crate) const GROUP: &str = "counter-cluster gateways";

/// Maximum time until another node answers.
pub(crate) const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

/// Message from node to node, understood by the gateway.
#[derive(RactorClusterMessage)]
pub(crate) enum GatewayMessage {
    /// A [`Ticket`](ractor_transport::Ticket) of the sender with a [`Request`], answered by a [`Reply`].
    ///
    /// Both are bytes, so that the gateway refuses a malformed message where the derived code would panic.
    #[rpc]
    Request(Vec<u8>, RpcReplyPort<Vec<u8>>),
}

/// Error: another node has not answered. It may have done as it was asked, or not.
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
