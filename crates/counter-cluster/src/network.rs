//! Interface between a node and the network to its peers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use ractor::{ActorCell, ActorRef, RpcReplyPort, SpawnErr};
use ractor_transport::NodeName;

use crate::replicator::message::ReplicatorMessage;
use crate::wire::{BadMessage, Request, decode};

/// Way from a node to its peers and back.
///
/// [`Node::start`](crate::Node::start) uses `ractor_cluster` over the connections of [`ractor_transport`].
/// [`Node::start_on`](crate::Node::start_on) takes any other network, such as a simulated one.
///
/// Messages may be lost, delayed, repeated and reordered: all requests are idempotent, and a request without a reply is
/// made again. A network has to be right about one thing, the name of the node that a request comes from.
pub trait Network: fmt::Debug + Send + Sync {
    /// Starts the node's endpoint, an actor with this supervisor. It passes requests of peers to `inbox`, and tells it
    /// whenever peers have come or gone.
    ///
    /// Each endpoint is another connection for the node's peers, who have lost the earlier one.
    fn start_endpoint(
        &self,
        inbox: Inbox,
        supervisor: ActorCell,
    ) -> BoxFuture<'static, Result<ActorCell, SpawnErr>>;

    /// Returns the present connections, one to each endpoint of another node.
    fn connections(&self) -> Vec<Arc<dyn Connection>>;
}

/// Connection of a node to the endpoint of a peer.
pub trait Connection: fmt::Debug + Send + Sync {
    /// Returns what distinguishes the connection from all others that the node ever has.
    fn id(&self) -> ConnectionId;

    /// Returns the verified name of the node at the other end; `None` if the connection is over.
    fn node(&self) -> Option<NodeName>;

    /// Sends a request, and returns its reply. `None` if there is no reply before the deadline: the peer may have done
    /// as it was asked, or not.
    fn ask(&self, request: Vec<u8>, deadline: Duration) -> BoxFuture<'static, Option<Vec<u8>>>;
}

/// Identity of a [`Connection`]: two numbers with a meaning for the network only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64, pub u64);

/// Entrance of a node for what comes from its [`Network`]. Clones are the same.
#[derive(Clone, Debug)]
pub struct Inbox(ActorRef<ReplicatorMessage>);

/// Error of an [`Inbox`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InboxError {
    /// The request makes no sense. It is not answered.
    #[error(transparent)]
    BadMessage(#[from] BadMessage),
    /// The node has stopped, or is about to start another endpoint.
    #[error("node has stopped, or starts another endpoint")]
    Closed,
}

impl Inbox {
    pub(crate) const fn new(replicator: ActorRef<ReplicatorMessage>) -> Self {
        Self(replicator)
    }

    /// Passes a request of a peer to the node. `sender` is the peer's name, as verified by the network.
    ///
    /// The reply goes to `reply`. If that is dropped, there is none: the node refuses the request, or is about to stop.
    ///
    /// # Errors
    /// [`InboxError`].
    pub fn deliver(
        &self,
        sender: NodeName,
        request: &[u8],
        reply: RpcReplyPort<Vec<u8>>,
    ) -> Result<(), InboxError> {
        let request = decode::<Request>(request)?;
        self.0.cast(ReplicatorMessage::Asked(sender, request, reply)).map_err(|_| InboxError::Closed)
    }

    /// Tells the node that its peers have come or gone.
    ///
    /// # Errors
    /// [`InboxError::Closed`].
    pub fn connections_changed(&self) -> Result<(), InboxError> {
        self.0.cast(ReplicatorMessage::ConnectionsChanged).map_err(|_| InboxError::Closed)
    }
}
