use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ractor::{Actor, ActorRef, SpawnErr};
use ractor_cluster::node::NodeConnectionMode;
use ractor_cluster::{IncomingEncryptionMode, NodeServer, NodeServerMessage};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::server::ResolvesServerCertUsingSni;
use tokio_rustls::rustls::{self, ServerConfig};

use super::cookie::Cookie;
use super::tls;
use crate::NodeName;

/// Why there is no node server.
#[derive(Debug, thiserror::Error)]
pub enum NodeServerError {
    /// The actor does not start, such as when no port of this machine is free.
    #[error("the node server does not start")]
    Spawn(#[from] SpawnErr),
    /// The cryptography does not know TLS 1.3.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
}

/// Starts `ractor_cluster`'s part of a node: it proves the cookie and carries the messages, over the streams that a
/// [`Transport`](super::Transport) gives it. Stop it by [`ActorCell::stop`](ractor::ActorCell::stop).
///
/// A frame of more than `max_frame_bytes` ends the connection that it came by; it does not limit what is sent.
///
/// Its own listener cannot be switched off, and would take connections without any limit. So it is parked: on a free
/// port of 127.0.0.1, and with a TLS that has no certificate, so that no handshake ever succeeds there. Peers are told
/// the node's name as its host, because two nodes that name the same host and port would be taken for one.
///
/// # Errors
///
/// If the actor does not start.
pub async fn node_server(
    name: &NodeName,
    cookie: &Cookie,
    max_frame_bytes: u64,
) -> Result<ActorRef<NodeServerMessage>, NodeServerError> {
    let nobody = ServerConfig::builder_with_provider(tls::provider())
        .with_protocol_versions(tls::VERSIONS)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
    let server = NodeServer::new(
        0,
        cookie.as_str().into(),
        name.as_str().into(),
        name.as_str().into(),
        Some(IncomingEncryptionMode::Tls(TlsAcceptor::from(Arc::new(nobody)))),
        Some(NodeConnectionMode::Isolated),
    )
    .with_listen_addr(IpAddr::V4(Ipv4Addr::LOCALHOST))
    .with_max_inbound_frame_size(max_frame_bytes);
    let (server, _) = Actor::spawn(None, server, ()).await?;
    Ok(server)
}

/// What `ractor_cluster` calls the node that [`node_server`] starts.
pub(super) fn full_name(name: &NodeName) -> String {
    format!("{name}@{name}")
}
