use ractor::{Actor, ActorProcessingErr, ActorRef, pg};
use ractor_transport::{Peers, Ticket};

use crate::replicator::message::ReplicatorMessage;
use crate::rpc::{GROUP, GatewayMessage};
use crate::wire::{Request, decode};

/// The one actor of a node that other nodes can send messages to.
///
/// It verifies the sender of each message, decodes the message, and forwards it to the replicator.
#[derive(Clone, Debug)]
pub(crate) struct Gateway(pub(crate) Peers);

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
