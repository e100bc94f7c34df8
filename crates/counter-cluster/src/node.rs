use std::collections::BTreeSet;
use std::hash::Hasher;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use counter_keyspace::{Keyspace, KeyspaceOptions};
use counter_store::{DurabilityError, OpenError, Store};
use ractor_outbox::Fifo;
use ractor_supervision::{ChildSpec, Options, Strategy, SupervisedActor, SupervisorError, SupervisorHandle};
use ractor_transport::{
    Connections, Cookie, Limits, NodeName, NodeServerError, Security, TransportError, TransportOptions,
};
use siphasher::sip128::{Hasher128, SipHasher13};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::acknowledge::HandleStore;
use crate::alarm::Alarm;
use crate::gateway::TransportNetwork;
use crate::hand_over::{HandOverError, complete};
use crate::handle::NodeHandle;
use crate::network::{Inbox, Network};
use crate::opening::{Counting, NodeStoreOptions, Opening, ReplicaOptions};
use crate::replica::ReplicaId;
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
    /// Connections of this process, unless the network is the caller's.
    connections: Option<Connections>,
    handle: NodeHandle,
    /// Nodes that were ever connected.
    ever_connected: watch::Sender<BTreeSet<NodeName>>,
    store: Option<Store>,
    alarm: watch::Receiver<Option<Alarm>>,
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
    /// Directory that keeps what is counted, if any.
    pub store: Option<NodeStoreOptions>,
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
            store: None,
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
    /// The node's store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The first round of the store has failed.
    #[error("store's first round has failed")]
    FirstRound(#[from] DurabilityError),
    /// The node cannot listen for others.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

impl Node {
    /// Starts a node, with no counts or with those of its store. It connects to its peers by itself, and again whenever
    /// a connection ends.
    ///
    /// A process can be one node only: `ractor` has one registry for all actors of a process.
    ///
    /// # Errors
    /// [`NodeError`].
    pub async fn start(options: NodeOptions) -> Result<Self, NodeError> {
        let NodeOptions { name, listen, peers, cookie, security, allow_plaintext, limits, keyspace, store } =
            options;
        let opening = Opening::of(ReplicaOptions {
            name: name.clone(),
            digest_key: key_of(&cookie),
            has_peers: !peers.is_empty(),
            incarnation: None,
            keyspace,
            store: store.map(NodeStoreOptions::open).transpose()?,
        });
        let opening = opening.await?;
        let transport = TransportOptions { name, listen, seeds: peers, security, allow_plaintext, limits };
        let connections: Result<_, NodeError> =
            Connections::start(transport, &cookie, MAX_FRAME_BYTES as u64).await;
        let connections = connections?;
        let network = TransportNetwork::new(connections.transport().peers());
        let node = Self::start_actors(opening, Arc::new(network)).await?;
        Ok(Self { connections: Some(connections), ..node })
    }

    /// Starts a node over a network of the caller's, with no counts or with those of its store.
    ///
    /// A process can be any number of such nodes.
    ///
    /// # Errors
    /// [`NodeError`].
    pub async fn start_on(network: Arc<dyn Network>, options: ReplicaOptions) -> Result<Self, NodeError> {
        Self::start_actors(Opening::of(options).await?, network).await
    }

    async fn start_actors(
        Opening { replication, own }: Opening,
        network: Arc<dyn Network>,
    ) -> Result<Self, NodeError> {
        let (replica, is_alone) = (replication.me().clone(), own.is_alone());
        // The store takes columns from the replicator, which is made of what the store starts.
        let parts = Arc::new(OnceLock::<Replicator>::new());
        let replicator = {
            let parts = Arc::clone(&parts);
            let actor = move || parts.get().expect("it is set before the actor starts").clone();
            SupervisedActor::new("replicator", actor, replication, Fifo::bounded(NonZeroUsize::MIN))
        };
        let outbox = replicator.outbox();
        let Counting { keyspace, store, replicated } = own.start(outbox.clone()).await?;
        let (ever_connected, connected) = (watch::Sender::default(), watch::Sender::default());
        let alarm = replicated.as_ref().map(|store| store.alarm.clone()).unwrap_or_default();
        let handle_store = store.as_ref().map(|store| HandleStore {
            commits: store.commits(),
            sessions: store.sessions().clone(),
            on_disk_failure: store.on_disk_failure(),
            connected: connected.subscribe(),
            alarm: alarm.subscribe(),
        });
        let set = parts.set(Replicator {
            keyspace: keyspace.handle(),
            network: Arc::clone(&network),
            ever_connected: ever_connected.clone(),
            connected,
            store: replicated,
            is_alone,
        });
        set.expect("it is set once");
        let incarnation = (!is_alone).then_some(replica.incarnation);
        let name = replica.node.clone();
        let handle = NodeHandle::new(keyspace.handle(), outbox.clone(), name, incarnation, handle_store);
        // When the replicator restarts, so does the endpoint. Peers notice the new endpoint, and send it what the
        // replicator may have missed.
        let restarts = Options { strategy: Strategy::RestForOne, ..Options::default() };
        let supervisor = SupervisorHandle::start(restarts, vec![replicator.into()]).await?;
        let alarm = alarm.subscribe();
        let node =
            Self { replica, keyspace, supervisor, connections: None, handle, ever_connected, store, alarm };
        let endpoint = (!is_alone).then(|| endpoint(network, outbox));
        match node.open(endpoint).await {
            Ok(()) => Ok(node),
            Err(error) => {
                node.kill().await;
                Err(error)
            }
        }
    }

    /// Lets others send something to the node, once its new replica is durable.
    async fn open(&self, endpoint: Option<ChildSpec>) -> Result<(), NodeError> {
        if let Some(store) = &self.store {
            store.flush().await?;
        }
        if let Some(endpoint) = endpoint {
            self.supervisor.start_child(endpoint).await?;
        }
        Ok(())
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

    /// Returns the address it listens on; `None` over a network of the caller's.
    #[must_use]
    pub const fn local_addr(&self) -> Option<SocketAddr> {
        match &self.connections {
            Some(connections) => Some(connections.transport().local_addr()),
            None => None,
        }
    }

    /// Returns the supervisors of the node's actors, those of its keyspace first, to inspect them or to subscribe to
    /// restarts.
    #[must_use]
    pub const fn supervisors(&self) -> [&SupervisorHandle; 2] {
        [self.keyspace.supervisor(), &self.supervisor]
    }

    /// Waits until the node acknowledges nothing any more, and returns why.
    pub async fn alarmed(&self) -> Alarm {
        let mut alarm = self.alarm.clone();
        let raised = alarm.wait_for(Option::is_some).await;
        match raised.ok().and_then(|alarm| alarm.clone()) {
            Some(alarm) => alarm,
            None => std::future::pending().await,
        }
    }

    /// Ends the node at once, as the end of its process would: it hands over nothing, and what is not durable is lost.
    ///
    /// Returns when its supervisors have ended; the actors that they have started end a moment later.
    pub async fn kill(self) {
        let supervisor = self.supervisor.actor();
        supervisor.kill();
        self.keyspace.kill().await;
        // Without a deadline there is no error.
        let _ = supervisor.wait(None).await;
        self.handle.close();
    }

    /// Hands over to its peers what they lack, then stops.
    ///
    /// Operations that a handle accepts once this has been called may be lost, so stop counting first. A node without
    /// peers has nobody to hand over to, which is no error.
    ///
    /// # Errors
    /// [`HandOverError`] if a peer is absent, or has not acknowledged everything within [`HAND_OVER_DEADLINE`], or the
    /// last round of the store has failed. The node has stopped then, too.
    pub async fn shutdown(self) -> Result<(), HandOverError> {
        // Before peers take anything, it has to be durable, which takes long if the disk has failed.
        let handing_over = timeout(2 * HAND_OVER_DEADLINE, self.handle.hand_over(HAND_OVER_DEADLINE)).await;
        let nodes = handing_over.unwrap_or(Err(HandOverError::Stopped)).or_else(|error| {
            let lacking: Vec<_> =
                self.ever_connected.borrow().iter().map(|node| (node.clone(), false)).collect();
            if lacking.is_empty() { Err(error) } else { Ok(lacking) }
        });
        let seeds = self.connections.iter().flat_map(|connections| connections.transport().seeds());
        let outcome = nodes.and_then(|nodes| complete(&self.replica.node, &nodes, seeds));
        if let Some(connections) = self.connections {
            connections.shutdown().await;
        }
        // The store's last round has what peers have sent, which the replicator holds.
        let stored = match self.store {
            Some(store) => store.shutdown().await.map_err(HandOverError::Store),
            None => Ok(()),
        };
        self.supervisor.shutdown().await;
        self.keyspace.shutdown().await;
        outcome.and(stored)
    }
}

/// Returns the network's endpoint, for a supervisor to start after the replicator.
fn endpoint(network: Arc<dyn Network>, replicator: ReplicatorOutbox) -> ChildSpec {
    ChildSpec::new("endpoint", move |supervisor| {
        let (network, replicator) = (Arc::clone(&network), replicator.actor());
        async move {
            let inbox = Inbox::new(replicator.ok_or("the replicator has not started")?);
            Ok(network.start_endpoint(inbox, supervisor).await?)
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
mod stored_tests;
#[cfg(test)]
mod tests;
