//! Connections between nodes: who may connect, how long anything may take, and how a lost connection comes back.
//!
//! `ractor_cluster` brings messages to other nodes, but its own listener and dialler have no deadlines, no limits and
//! no reconnecting. So a [`Transport`] accepts and dials by itself, and hands over only streams that it watches:
//!
//! - **Who.** With [`Security::Tls`], both ends prove a certificate of the cluster's own authority, by TLS 1.3
//!   ([`Identity`], [`certificates`]), and the name in it is the peer's name. Then `ractor_cluster` makes both prove
//!   that they know the [`Cookie`]. Without TLS, only addresses of this machine are allowed, unless forced, and a
//!   peer's name is its own claim.
//! - **How much.** [`Limits`] has a number of connections, another of those that have not proved themselves, a deadline
//!   for all proofs, and a time after which silence counts as death. A stranger that takes all places of the unproved
//!   keeps nobody out: each newcomer has the place of an older one, after that had time to prove itself. What a peer
//!   sends before its proof is left unread beyond 64 KiB.
//! - **For ever.** Every seed is dialled again whenever its connection ends, with jittered backoff, until the transport
//!   is dropped; but not while the node there is connected to us by another connection.
//!
//! On a new connection the dialler sends a greeting (inside TLS, if there is TLS), and the accepting end answers with
//! its own. A greeting has a name and a [`Ticket`].
//!
//! - The **name** must be that of the certificate, and the one that the peer later gives to `ractor_cluster`;
//!   otherwise the connection is refused. The dialler knows by it whom it has reached before `ractor_cluster` sees the
//!   stream, which alone would tell only that it refused a second connection, not to whom; that node would then be
//!   dialled for ever.
//! - The **ticket** is for messages, whose sender `ractor_cluster` does not tell: a peer presents in each request the
//!   ticket that it has from the receiver, and [`Peers::verify`] gives the name that belongs to it, as long as that
//!   connection lives. [`Peers::peer_of`] tells which ticket to present to a remote actor, and which node that actor
//!   is on.
//!
//! A node that has a certificate and the cookie is trusted this far: it can only speak in its own name, but it can open
//! sessions in another's for the moment until that is noticed, and so interrupt the other's connection.
//!
//! What this does not do: it does not find nodes (there is a list of seeds, one node each), and a message in flight on
//! a connection that ends is gone.

mod accept;
mod certificates;
mod certified;
mod connection;
mod cookie;
mod dial;
mod files;
mod greeting;
mod handshake;
mod limits;
mod peers;
mod random;
mod security;
mod server;
mod shared;
mod slots;
mod ticket;
mod tls;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use ractor::ActorRef;
use ractor_cluster::NodeServerMessage;
use ractor_supervision::OwnedTask;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

pub use certificates::{CertificateError, certificates};
pub use cookie::{Cookie, CookieError, MIN_COOKIE_CHARS};
pub use limits::Limits;
pub use peers::{Peer, Peers};
pub use security::{PlaintextRefused, Security};
pub use server::{NodeServerError, node_server};
pub use ticket::Ticket;
pub use tls::{CLUSTER_DNS_NAME, Identity, IdentityError};

use crate::NodeName;
use crate::hand_over::Seed;
use shared::{Shared, next_number};

/// Listens for peers and dials the seeds, until it is dropped. Then its connections end too.
#[derive(Debug)]
pub struct Transport {
    local_addr: SocketAddr,
    peers: Peers,
    subscription: String,
    server: ActorRef<NodeServerMessage>,
    /// The seeds, and what the node at each has said to be called.
    seeds: Vec<(String, watch::Receiver<Option<NodeName>>)>,
    /// The listener and the diallers.
    tasks: Vec<OwnedTask>,
    /// Resolves when nothing of it is left.
    stopped: oneshot::Receiver<Infallible>,
}

/// Where a [`Transport`] listens, and whom it dials.
#[derive(Clone, Debug)]
pub struct TransportOptions {
    /// This node's name, the same that its [`node_server`] has.
    pub name: NodeName,
    /// Where to listen; port 0 is any free one.
    pub listen: SocketAddr,
    /// Whom to dial: `host:port` of one node each. A host's name is looked up anew for every attempt.
    pub seeds: Vec<String>,
    /// How peers prove who they are.
    pub security: Security,
    /// Allows [`Security::Plain`] beyond this machine (`--allow-plaintext`).
    pub plaintext_anywhere: bool,
    /// How many, and how long.
    pub limits: Limits,
}

/// Why there is no transport.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// It would be open to anyone on the network.
    #[error("listening on {listen} is refused")]
    Plaintext {
        /// Where it was to listen.
        listen: SocketAddr,
        /// The rule.
        #[source]
        source: PlaintextRefused,
    },
    /// The address is taken, not of this machine, or not allowed.
    #[error("no listening on {listen}: choose another address or port")]
    Listen {
        /// Where it was to listen.
        listen: SocketAddr,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// The node server has stopped.
    #[error("the node server has stopped")]
    ServerGone,
}

impl Transport {
    /// Listens, and starts to dial the seeds. The streams go to `server`, which must come from [`node_server`] with the
    /// same name, and have no other transport.
    ///
    /// # Errors
    ///
    /// If [`Security`] forbids the address, it cannot be listened on, or the server has stopped.
    pub async fn start(
        options: TransportOptions,
        server: ActorRef<NodeServerMessage>,
    ) -> Result<Self, TransportError> {
        let TransportOptions { name, listen, seeds, security, plaintext_anywhere, limits } = options;
        security
            .check(listen.ip(), plaintext_anywhere)
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
            plaintext_anywhere,
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

    /// Ends the transport like dropping it, and returns when its listener, its diallers and its part of all connections
    /// are gone: the address is free again. The node server hears of the lost connections a moment later.
    pub async fn shutdown(mut self) {
        self.tasks.clear();
        let _ = (&mut self.stopped).await;
    }

    /// The seeds as they are known now.
    pub(crate) fn seeds(&self) -> impl Iterator<Item = Seed> {
        self.seeds
            .iter()
            .map(|(address, named)| Seed { address: address.clone(), node: named.borrow().clone() })
    }

    /// Where it listens; with the real port, if it was to be any.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The connected peers, and their tickets.
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
