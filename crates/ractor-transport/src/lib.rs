//! Connections between the nodes of a `ractor_cluster`: mutual TLS, deadlines, limits, and reconnecting.
//!
//! `ractor_cluster` carries messages to actors of other nodes, but its own listener and dialler have no deadlines, no
//! limits and no reconnecting. A [`Transport`] accepts and dials connections in its place, and gives it only streams
//! that the transport watches.
//!
//! - **Authentication.** With [`Security::Tls`], both ends prove a certificate of the cluster's own authority by TLS
//!   1.3 ([`Identity`], [`certificates`]), and the name in the certificate is the peer's name. Then `ractor_cluster`
//!   makes both ends prove that they know the [`Cookie`]. Without TLS, only addresses of this machine are allowed by
//!   default, and a peer's name is its own claim.
//! - **Limits.** [`Limits`] bounds the number of connections, the number of those that are not authenticated yet, the
//!   time until they are, and the time that a peer may be silent. A stranger that takes every place of the
//!   unauthenticated keeps nobody out: each newcomer takes the place of an older connection, once that one had time to
//!   authenticate. Of what a peer sends before that, no more than 64 KiB are read.
//! - **Reconnecting.** Every seed is dialled again whenever its connection ends, with jittered backoff, until the
//!   transport is dropped. A seed is not dialled while its node is connected by another connection.
//!
//! # Names and tickets
//!
//! On a new connection the dialler sends a greeting (inside TLS, if there is TLS), and the accepting end answers with
//! its own. A greeting has a name and a [`Ticket`].
//!
//! - The **name** must be the one in the certificate, and the one that the peer later gives to `ractor_cluster`;
//!   otherwise the connection is refused. It tells the dialler which node it has reached. `ractor_cluster` alone would
//!   only refuse a second connection to the same node, without a name, and that node would be dialled for ever.
//! - The **ticket** authenticates messages, whose sender `ractor_cluster` does not tell. A peer puts the ticket that
//!   the receiver has issued to it into each request, and [`Peers::verify`] returns the peer's name as long as that
//!   connection lives. [`Peers::peer_of`] returns the peer that a remote actor is on, with the ticket to present there.
//!
//! A node that has a certificate and the cookie can only speak in its own name. It can still open sessions in the name
//! of another node until that is noticed, and so interrupt the other node's connection.
//!
//! # Limitations
//!
//! It does not discover nodes: there is a list of seeds, one node each. A message in flight on a connection that ends
//! is lost.
//!
//! # Example
//!
//! Two nodes of one process, without TLS:
//!
//! ```
//! use std::net::SocketAddr;
//!
//! use ractor_cluster::NodeServerMessage;
//! use ractor_transport::{Cookie, Limits, Security, Transport, TransportOptions, node_server};
//!
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
//! let cookie = Cookie::generate();
//! let options = |name: &str, seeds| {
//!     Ok::<_, Box<dyn std::error::Error>>(TransportOptions {
//!         name: name.parse()?,
//!         listen: SocketAddr::from(([127, 0, 0, 1], 0)),
//!         seeds,
//!         security: Security::Plain,
//!         allow_plaintext: false,
//!         limits: Limits::default(),
//!     })
//! };
//! let a = options("a", Vec::new())?;
//! let server_a = node_server(&a.name, &cookie, 1024 * 1024).await?;
//! let transport_a = Transport::start(a, server_a.clone()).await?;
//!
//! let b = options("b", vec![transport_a.local_addr().to_string()])?;
//! let server_b = node_server(&b.name, &cookie, 1024 * 1024).await?;
//! let transport_b = Transport::start(b, server_b.clone()).await?;
//!
//! let is_connected = async || {
//!     let sessions = ractor::call_t!(server_a, NodeServerMessage::GetSessions, 1_000)?;
//!     let mut peers = sessions.into_values().filter_map(|session| session.peer_name);
//!     Ok::<_, Box<dyn std::error::Error>>(peers.any(|peer| peer.name == "b@b"))
//! };
//! while !is_connected().await? {
//!     tokio::task::yield_now().await;
//! }
//!
//! transport_b.shutdown().await;
//! transport_a.shutdown().await;
//! server_b.stop(None);
//! server_a.stop(None);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod accept;
mod certificates;
mod certified;
mod connection;
mod connections;
mod cookie;
mod dial;
mod files;
mod gateway;
mod greeting;
mod handshake;
mod limits;
mod node_name;
mod peers;
mod random;
mod secured;
mod security;
mod sequence;
mod server;
mod session;
mod shared;
mod slots;
mod ticket;
mod tls;
mod transport;

pub use certificates::{CertificateError, certificates};
pub use certified::CLUSTER_DNS_NAME;
pub use connections::Connections;
pub use cookie::{Cookie, CookieError, MIN_COOKIE_CHARS};
pub use files::{FileError, read_certificates, read_key, read_secret};
pub use gateway::{GatewayConnection, GatewayId, GatewayInbox, Gateways};
pub use limits::Limits;
pub use node_name::{BadNodeName, MAX_NODE_NAME_BYTES, NodeName};
pub use peers::{Peer, Peers};
pub use security::{PlaintextRefused, Security};
pub use server::{NodeServerError, node_server};
pub use ticket::Ticket;
pub use tls::{Identity, IdentityError};
pub use transport::{Seed, Transport, TransportError, TransportOptions};
