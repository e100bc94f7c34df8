//! A connection in the hands of `ractor_cluster`: the peer proves the cookie there, or the connection ends.

use std::convert::Infallible;
use std::net::SocketAddr;

use ractor_cluster::NodeServerMessage;
use tokio::sync::oneshot;
use tracing::info;

use crate::connection::{Connection, Watch};
use crate::handshake::Introduced;
use crate::node_name::NodeName;
use crate::peers::{Entry, ServerGone};
use crate::server::full_name;
use crate::shared::Shared;

/// A connection whose peer has proved the cookie; dropping it ends the connection.
#[derive(Debug)]
pub(crate) struct Session {
    entry: Entry,
    node: NodeName,
    cut: oneshot::Sender<Infallible>,
    over: oneshot::Receiver<Infallible>,
}

/// Reason why a peer has not proved the cookie to `ractor_cluster`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unproved {
    /// The cookie is a wrong one, or this is the second connection between two nodes.
    #[error("no proof of the cookie")]
    NoProof,
    #[error("no proof in time")]
    Late,
    #[error("another connection has its place")]
    Evicted,
    /// One of its names is not its own.
    #[error("node {node} calls itself {claimed:?} in its session")]
    OtherName { node: NodeName, claimed: String },
    #[error("node server has stopped")]
    ServerGone,
}

impl From<ServerGone> for Unproved {
    fn from(_: ServerGone) -> Self {
        Self::ServerGone
    }
}

impl Session {
    /// Gives a connection to `ractor_cluster`, and returns when the peer has proved the cookie.
    ///
    /// If `end` resolves before, the connection ends for the reason that it gives.
    pub(crate) async fn open(
        shared: &Shared,
        introduced: Introduced,
        address: SocketAddr,
        is_server: bool,
        end: impl Future<Output = Unproved>,
    ) -> Result<Self, Unproved> {
        let Introduced { stream, peer, issued } = introduced;
        let node = peer.name.clone();
        let (connection, watch) = Connection::new(stream, address, shared.limits.idle);
        let Watch { label, proved, cut, mut over } = watch;
        let entry = shared.peers.enter(label, peer, issued);
        let opened = NodeServerMessage::ConnectionOpenedExternal { stream: Box::new(connection), is_server };
        shared.server.cast(opened).map_err(|_| ServerGone)?;

        let refused = tokio::select! {
            // A proof wins over a reason to refuse that comes at the same time.
            biased;
            claimed = entry.proved() => match claimed? {
                claimed if claimed == full_name(&node) => {
                    info!(%node, connection = entry.label(), "connected");
                    let _ = proved.send(());
                    return Ok(Self { entry, node, cut, over });
                }
                claimed => Unproved::OtherName { node, claimed },
            },
            _ = &mut over => return Err(Unproved::NoProof),
            reason = end => reason,
        };
        drop(cut);
        let _ = over.await;
        Err(refused)
    }

    /// Returns when the connection is over.
    pub(crate) async fn ended(self) -> Result<(), ServerGone> {
        let Self { entry, node, cut, over } = self;
        let _ = over.await;
        // Another connection with this peer is welcome only when the node server, too, knows that this one is over.
        let known = entry.unproved().await;
        info!(%node, connection = entry.label(), "connection lost");
        drop(cut);
        known
    }
}
