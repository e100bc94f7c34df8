use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ractor::{Actor, ActorRef, SpawnErr};
use ractor_cluster::node::NodeConnectionMode;
use ractor_cluster::{IncomingEncryptionMode, NodeServer, NodeServerMessage};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::server::ResolvesServerCertUsingSni;
use tokio_rustls::rustls::{self, ServerConfig};

use crate::cookie::Cookie;
use crate::node_name::NodeName;
use crate::tls;

/// Error of [`node_server`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeServerError {
    /// The actor does not start, such as when no port of this machine is free.
    #[error("node server failed to start")]
    Spawn(#[from] SpawnErr),
    /// The cryptography does not support TLS 1.3.
    #[error("TLS 1.3 is not available")]
    Tls(#[from] rustls::Error),
}

/// Starts `ractor_cluster`'s part of a node, for a [`Transport`](crate::Transport) of the same name.
///
/// It proves the cookie and carries the messages, over the streams that the transport gives it. Stop it by
/// [`ActorCell::stop`](ractor::ActorCell::stop).
///
/// A frame of more than `max_frame_bytes` that arrives ends its connection. Frames that are sent are not limited.
///
/// Its own listener cannot be switched off, and would accept connections without any limit. It is parked instead: on a
/// free port of 127.0.0.1, and with a TLS that has no certificate, so that no handshake ever succeeds there. Peers are
/// told the node's name as its host, because two nodes that name the same host and port would be taken for one.
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

/// Returns the name that `ractor_cluster` gives to the node that [`node_server`] starts.
pub(crate) fn full_name(name: &NodeName) -> String {
    format!("{name}@{name}")
}
