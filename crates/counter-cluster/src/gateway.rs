//! The network of production: gateways over the connections of a transport.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ractor::{ActorCell, ActorProcessingErr, RpcReplyPort, SpawnErr};
use ractor_transport::{GatewayConnection, GatewayId, GatewayInbox, Gateways, NodeName, Peers};

use crate::network::{Connection, ConnectionId, Inbox, InboxError, Network};

/// Process group in which the gateways of all nodes find each other.
const GROUP: &str = "counter-cluster gateways";

/// Gateways of the nodes that a transport is connected to.
#[derive(Clone, Debug)]
pub(crate) struct TransportNetwork(Gateways);

impl TransportNetwork {
    pub(crate) const fn new(peers: Peers) -> Self {
        Self(Gateways::new(peers, GROUP))
    }
}

impl Network for TransportNetwork {
    fn start_endpoint(
        &self,
        inbox: Inbox,
        supervisor: ActorCell,
    ) -> BoxFuture<'static, Result<ActorCell, SpawnErr>> {
        let gateways = self.0.clone();
        async move { gateways.start(inbox, supervisor).await }.boxed()
    }

    fn connections(&self) -> Vec<Arc<dyn Connection>> {
        let connection = |connection| -> Arc<dyn Connection> { Arc::new(Remote(connection)) };
        self.0.connections().map(connection).collect()
    }
}

impl GatewayInbox for Inbox {
    fn deliver(
        &self,
        sender: NodeName,
        request: &[u8],
        reply: RpcReplyPort<Vec<u8>>,
    ) -> Result<(), ActorProcessingErr> {
        match Self::deliver(self, sender, request, reply) {
            Err(InboxError::BadMessage(error)) => {
                tracing::warn!(%error, "refused a message from another node");
                Ok(())
            }
            delivered => Ok(delivered?),
        }
    }

    fn connections_changed(&self) -> Result<(), ActorProcessingErr> {
        Ok(Self::connections_changed(self)?)
    }
}

/// Connection to the gateway of another node.
#[derive(Debug)]
struct Remote(GatewayConnection);

impl Connection for Remote {
    fn id(&self) -> ConnectionId {
        let GatewayId { session, actor } = self.0.id();
        ConnectionId(session, actor)
    }

    fn node(&self) -> Option<NodeName> {
        self.0.node()
    }

    fn ask(&self, request: Vec<u8>, deadline: Duration) -> BoxFuture<'static, Option<Vec<u8>>> {
        let connection = self.0.clone();
        async move { connection.ask(&request, deadline).await }.boxed()
    }
}
