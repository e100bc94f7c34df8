use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use ractor::ActorRef;
use ractor_cluster::NodeServerMessage;
use ractor_supervision::OwnedTask;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

use crate::limits::Limits;
use crate::node_name::NodeName;
use crate::peers::Peers;
use crate::security::{PlaintextRefused, Security};
use crate::sequence::next_number;
use crate::shared::Shared;
use crate::{accept, dial};

/// Listener and diallers of a node. Dropping it ends them and their connections.
#[derive(Debug)]
pub struct Transport {
    local_addr: SocketAddr,
    peers: Peers,
    subscription: String,
    server: ActorRef<NodeServerMessage>,
    /// Address of each seed, and the name that the node there has given.
    seeds: Vec<(String, watch::Receiver<Option<NodeName>>)>,
    /// The listener and the diallers.
    tasks: Vec<OwnedTask>,
    /// Resolves when all tasks and connections have ended.
    stopped: oneshot::Receiver<Infallible>,
}

/// Configuration of a [`Transport`].
#[derive(Clone, Debug)]
pub struct TransportOptions {
    /// Name of this node, the same that its [`node_server`](crate::node_server) has.
    pub name: NodeName,
    /// Address to listen on; port 0 is any free one.
    pub listen: SocketAddr,
    /// Addresses to dial: `host:port` of one node each. A host's name is looked up anew for every attempt.
    pub seeds: Vec<String>,
    /// Authentication of peers.
    pub security: Security,
    /// Allows [`Security::Plain`] beyond this machine.
    pub allow_plaintext: bool,
    /// Bounds and deadlines of connections.
    pub limits: Limits,
}

/// A node that a [`Transport`] dials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    /// Its address, as `host:port`.
    pub address: String,
    /// Name that the node there has given, if one has ever answered. Without TLS it is only claimed.
    pub node: Option<NodeName>,
}

/// Error of [`Transport::start`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The listener would be open to anyone on the network.
    #[error("listening on {listen} refused")]
    Plaintext {
        /// The configured address.
        listen: SocketAddr,
        /// The reason.
        #[source]
        source: PlaintextRefused,
    },
    /// The address is in use, not one of this machine, or not permitted.
    #[error("{listen} is not available to listen on: choose another address or port")]
    Listen {
        /// The configured address.
        listen: SocketAddr,
        /// Error of the operating system.
        #[source]
        source: io::Error,
    },
    /// The node server has stopped.
    #[error("node server has stopped")]
    ServerGone,
}

impl Transport {
    /// Starts to listen, and to dial the seeds.
    ///
    /// The streams go to `server`. It must come from [`node_server`](crate::node_server) with the same name, and have
    /// no other transport.
    ///
    /// # Errors
    ///
    /// If [`Security`] forbids the address, it cannot be listened on, or the server has stopped.
    pub async fn start(
        options: TransportOptions,
        server: ActorRef<NodeServerMessage>,
    ) -> Result<Self, TransportError> {
        let TransportOptions { name, listen, seeds, security, allow_plaintext, limits } = options;
        security
            .check(listen.ip(), allow_plaintext)
            .map_err(|source| TransportError::Plaintext { listen, source })?;
        let failed = |source| TransportError::Listen { listen, source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let local_addr = listener.local_addr().map_err(failed)?;

        let peers = Peers::default();
        let subscription = Box::new(peers.subscription());
        let id = format!("transport {}", next_number());
        let subscribe = NodeServerMessage::SubscribeToEvents { id: id.clone(), subscription };
        server.cast(subscribe).map_err(|_| TransportError::ServerGone)?;

        let (running, stopped) = oneshot::channel();
        let shared = Arc::new(Shared {
            name,
            server: server.clone(),
            peers: peers.clone(),
            security,
            allow_plaintext,
            limits,
            running,
        });
        let dial = |seed: String| {
            let (name, named) = watch::channel(None);
            let task = tokio::spawn(dial::keep_connected(seed.clone(), name, Arc::clone(&shared)));
            ((seed, named), task.into())
        };
        let (seeds, mut tasks): (Vec<_>, Vec<_>) = seeds.into_iter().map(dial).unzip();
        tasks.push(tokio::spawn(accept::accept(listener, shared)).into());
        Ok(Self { local_addr, peers, subscription: id, server, seeds, tasks, stopped })
    }

    /// Ends the transport like dropping it, and returns when the listener, the diallers and the transport's part of all
    /// connections are gone.
    ///
    /// The address is free again then. The node server learns of the lost connections a moment later.
    pub async fn shutdown(mut self) {
        self.tasks.clear();
        let _ = (&mut self.stopped).await;
    }

    /// Returns the configured seeds, with the names that their nodes have given until now.
    pub fn seeds(&self) -> impl Iterator<Item = Seed> {
        self.seeds
            .iter()
            .map(|(address, named)| Seed { address: address.clone(), node: named.borrow().clone() })
    }

    /// Returns the address it listens on, with the port that was chosen if the configured one was 0.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Returns a view of the connected peers and their tickets.
    #[must_use]
    pub fn peers(&self) -> Peers {
        self.peers.clone()
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        let _ = self.server.cast(NodeServerMessage::UnsubscribeToEvents(self.subscription.clone()));
    }
}
