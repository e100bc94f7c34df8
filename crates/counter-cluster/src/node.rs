use std::collections::BTreeSet;
use std::hash::Hasher;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::{Duration, SystemTime};

use counter_keyspace::{Keyspace, KeyspaceOptions};
use ractor::{Actor, ActorRef};
use ractor_cluster::NodeServerMessage;
use ractor_outbox::Fifo;
use ractor_supervision::{ChildSpec, Options, Strategy, SupervisedActor, SupervisorError, SupervisorHandle};
use ractor_transport::{
    Cookie, Limits, NodeName, NodeServerError, Peers, Security, Transport, TransportError, TransportOptions,
    node_server,
};
use siphasher::sip128::{Hasher128, SipHasher13};
use tokio::sync::watch;

use crate::gateway::Gateway;
use crate::hand_over::{HandOverError, complete};
use crate::handle::NodeHandle;
use crate::replica::ReplicaId;
use crate::replication::Replication;
use crate::replicator::actor::Replicator;
use crate::replicator::message::ReplicatorOutbox;
use crate::wire::MAX_FRAME_BYTES;

/// Maximum time that a node that shuts down waits for its peers to acknowledge everything.
pub const HAND_OVER_DEADLINE: Duration = Duration::from_secs(5);

/// One node of a cluster: a keyspace, and the actors that replicate it.
#[derive(Debug)]
pub struct Node {
    replica: ReplicaId,
    keyspace: Keyspace,
    supervisor: SupervisorHandle,
    server: Server,
    transport: Transport,
    handle: NodeHandle,
    /// Nodes that were ever connected.
    ever_connected: watch::Sender<BTreeSet<NodeName>>,
}

/// `ractor_cluster`'s part of the node, which stops with its owner.
#[derive(Debug)]
struct Server(ActorRef<NodeServerMessage>);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.stop(None);
    }
}

/// Configuration of a [`Node`].
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// Name of this node, unique among the live nodes of the cluster.
    pub name: NodeName,
    /// Address to listen on; port 0 is any free one.
    pub listen: SocketAddr,
    /// Addresses of other nodes, as `host:port`.
    ///
    /// Best are all others. The counts of nodes that are not connected directly are relayed by those that are connected
    /// to both.
    pub peers: Vec<String>,
    /// Secret that all nodes of the cluster share.
    pub cookie: Cookie,
    /// Authentication of peers.
    pub security: Security,
    /// Allows addresses beyond this machine without TLS.
    pub allow_plaintext: bool,
    /// Bounds and deadlines of connections.
    pub limits: Limits,
    /// Configuration of the node's keyspace.
    pub keyspace: KeyspaceOptions,
}

impl NodeOptions {
    /// Configures a node that listens on any free port of the loopback interface, without TLS and without peers.
    #[must_use]
    pub fn new(name: NodeName, cookie: Cookie) -> Self {
        Self {
            name,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            peers: Vec::new(),
            cookie,
            security: Security::Plain,
            allow_plaintext: false,
            limits: Limits::default(),
            keyspace: KeyspaceOptions::default(),
        }
    }
}

/// Error of [`Node::start`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// One of the node's actors did not start.
    #[error("node's actors failed to start")]
    Actors(#[from] SupervisorError),
    /// The node server did not start.
    #[error(transparent)]
    Server(#[from] NodeServerError),
    /// The node cannot listen for others.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

impl Node {
    /// Starts a node with no counts. It connects to its peers by itself, and again whenever a connection ends.
    ///
    /// A process can be one node only: `ractor` has one registry for all actors of a process.
    ///
    /// # Errors
    /// [`NodeError`].
    pub async fn start(options: NodeOptions) -> Result<Self, NodeError> {
        let NodeOptions { name, listen, peers, cookie, security, allow_plaintext, limits, keyspace } =
            options;
        let server = Server(node_server(&name, &cookie, MAX_FRAME_BYTES as u64).await?);
        let transport =
            TransportOptions { name: name.clone(), listen, seeds: peers, security, allow_plaintext, limits };
        let transport = Transport::start(transport, server.0.clone()).await?;
        let keyspace = Keyspace::start(keyspace).await?;
        let me = ReplicaId::new(name, SystemTime::now());
        let replication = Replication::new(me.clone(), key_of(&cookie));
        let ever_connected = watch::Sender::default();
        let replicator = Replicator {
            keyspace: keyspace.handle(),
            tickets: transport.peers(),
            ever_connected: ever_connected.clone(),
        };
        let no_items = Fifo::bounded(NonZeroUsize::MIN);
        let replicator =
            SupervisedActor::new("replicator", move || replicator.clone(), replication, no_items);
        let handle = NodeHandle::new(keyspace.handle(), replicator.outbox());
        let gateway = gateway(transport.peers(), replicator.outbox());
        // When the replicator restarts, so does the gateway. Peers notice the new gateway, and send it what the
        // replicator may have missed.
        let restarts = Options { strategy: Strategy::RestForOne, ..Options::default() };
        let supervisor = SupervisorHandle::start(restarts, vec![replicator.into(), gateway]).await?;
        Ok(Self { replica: me, keyspace, supervisor, server, transport, handle, ever_connected })
    }

    /// Returns a handle with outboxes of its own.
    #[must_use]
    pub fn handle(&self) -> NodeHandle {
        self.handle.clone()
    }

    /// Returns the name of the node.
    #[must_use]
    pub const fn name(&self) -> &NodeName {
        &self.replica.node
    }

    /// Returns this incarnation of the node, by which its peers identify it.
    #[must_use]
    pub const fn replica(&self) -> &ReplicaId {
        &self.replica
    }

    /// Returns the address it listens on.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.transport.local_addr()
    }

    /// Hands over to its peers what they lack, then stops.
    ///
    /// Operations that a handle accepts once this has been called may be lost, so stop counting first. A node without
    /// peers has nobody to hand over to, which is no error.
    ///
    /// # Errors
    /// [`HandOverError`] if a peer is absent, or has not acknowledged everything within [`HAND_OVER_DEADLINE`]. The
    /// node has stopped then, too.
    pub async fn shutdown(self) -> Result<(), HandOverError> {
        let nodes = self.handle.hand_over(HAND_OVER_DEADLINE).await.or_else(|error| {
            let lacking: Vec<_> =
                self.ever_connected.borrow().iter().map(|node| (node.clone(), false)).collect();
            if lacking.is_empty() { Err(error) } else { Ok(lacking) }
        });
        let outcome = nodes.and_then(|nodes| complete(&self.replica.node, &nodes, self.transport.seeds()));
        self.transport.shutdown().await;
        self.server.0.stop(None);
        let _ = self.server.0.wait(None).await;
        self.supervisor.shutdown().await;
        self.keyspace.shutdown().await;
        outcome
    }
}

/// Returns the gateway, for a supervisor to start after the replicator.
fn gateway(tickets: Peers, replicator: ReplicatorOutbox) -> ChildSpec {
    let gateway = Gateway(tickets);
    ChildSpec::new("gateway", move |supervisor| {
        let (gateway, replicator) = (gateway.clone(), replicator.actor());
        async move {
            let replicator = replicator.ok_or("the replicator has not started")?;
            let (actor, _task) = Actor::spawn_linked(None, gateway, replicator, supervisor).await?;
            Ok(actor.get_cell())
        }
    })
}

/// Returns the key of the ledger's digests: the same on all nodes of a cluster, and unknown to others.
fn key_of(cookie: &Cookie) -> [u64; 2] {
    let mut hasher = SipHasher13::new();
    hasher.write(cookie.as_str().as_bytes());
    let hash = hasher.finish128();
    [hash.h1, hash.h2]
}

#[cfg(test)]
mod tests {
    use counter_protocol::CounterName;
    use ractor::RpcReplyPort;
    use tokio::sync::oneshot;

    use super::*;
    use crate::ledger::Total;
    use crate::replicator::message::ReplicatorMessage;
    use crate::wire::{Batch, Entry, Reply, Request, decode};

    async fn node(name: &str) -> Node {
        Node::start(NodeOptions::new(name.parse().unwrap(), Cookie::generate())).await.unwrap()
    }

    /// Asks as another node would. `None` if it is refused.
    async fn ask(node: &Node, sender: &str, request: Request) -> Option<Reply> {
        let (reply, answer) = oneshot::channel();
        let asked = ReplicatorMessage::Asked(sender.parse().unwrap(), request, RpcReplyPort::from(reply));
        node.handle.replicator().expect("it has started").cast(asked).expect("it runs");
        Some(decode::<Reply>(&answer.await.ok()?).expect("it makes sense"))
    }

    /// As if another node had told it.
    async fn tell(node: &Node, batch: Batch) {
        let sender = batch.from.node.to_string();
        assert_eq!(ask(node, &sender, Request::Merge(batch)).await, Some(Reply::Merged(Vec::new())));
    }

    #[tokio::test]
    async fn a_request_in_the_name_of_another_node_is_refused() {
        let node = node("refuses").await;
        let from = ReplicaId { node: "other".parse().unwrap(), incarnation: 1 };
        let entry = Entry { of: CounterName::from_static("a"), value: 1, operations: 1 };
        let batch = Batch { from: from.clone(), columns: vec![(from.clone(), vec![entry])] };
        for request in [Request::Merge(batch.clone()), Request::Flush { from: from.clone() }] {
            assert_eq!(ask(&node, "mallory", request).await, None);
        }
        assert_eq!(node.handle().status().await.unwrap().total(), Total::default());
        tell(&node, batch).await;
        assert_eq!(node.handle().status().await.unwrap().total().operations, 1);
        node.shutdown().await.unwrap();
    }

    #[tokio::test]
    async fn a_shutdown_names_nodes_that_are_absent_and_all_if_nothing_can_be_handed_over() {
        let nodes = [node("absent").await, node("stopped").await];
        for node in &nodes {
            // Before it is known, and again once its successor has started.
            for _ in 0..2 {
                node.ever_connected.send_modify(|nodes| _ = nodes.insert("other".parse().unwrap()));
                let before = node.handle.replicator().unwrap();
                before.kill();
                before.wait(None).await.unwrap();
                node.handle().status().await.unwrap();
            }
        }
        let [absent, stopped] = nodes;
        let other = vec!["other".parse().unwrap()];
        assert_eq!(absent.handle.refresh(None, HAND_OVER_DEADLINE).await.unwrap(), other);
        let lacking = Err(HandOverError::Lacking { nodes: other, never_connected: Vec::new() });
        assert_eq!(absent.shutdown().await, lacking);
        stopped.supervisor.shutdown().await;
        assert_eq!(stopped.shutdown().await, lacking);
    }

    #[tokio::test]
    async fn a_replicator_that_is_killed_goes_on_with_what_it_knew() {
        let node = node("killed").await;
        let other = ReplicaId { node: "other".parse().unwrap(), incarnation: 1 };
        let handle = node.handle();
        for n in 1..=5_i64 {
            let entry =
                Entry { of: CounterName::from_static("a"), value: 10 * n, operations: n.unsigned_abs() };
            tell(&node, Batch { from: other.clone(), columns: vec![(other.clone(), vec![entry])] }).await;
            handle.keyspace().increment("a", 1).await.unwrap();
            let before = handle.replicator().unwrap();
            before.kill();
            before.wait(None).await.unwrap();
            let total = Total { value: i128::from(11 * n), operations: 2 * u128::from(n.unsigned_abs()) };
            assert_eq!(handle.value("a").await.unwrap().total, total);
            assert_eq!(handle.status().await.unwrap().total(), total);
        }
        node.shutdown().await.unwrap();
    }
}
