//! One connection: a stream that `ractor_cluster` reads and writes, and that ends when the peer is silent, does not
//! prove itself in time, or its [`Watch`] is dropped.

mod halves;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ractor_cluster::{BoxRead, BoxWrite, ClusterBidiStream, NodeServerMessage};
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsStream;
use tracing::info;

use super::handshake::Introduced;
use super::peers::{Entry, ServerGone};
use super::server::full_name;
use super::shared::{Shared, next_number};
use crate::NodeName;
use halves::{ReadHalf, WriteHalf};

/// `ractor_cluster` reads a length of 8 bytes and then pieces of 8 KiB, each by a system call if nothing lies between.
const READ_BUFFER_BYTES: usize = 32 * 1024;

/// A TCP connection after whatever it takes to know the peer's certificate.
#[derive(Debug)]
pub(super) enum Secured {
    Tls(Box<TlsStream<TcpStream>>),
    Plain(TcpStream),
}

/// The stream for `ractor_cluster`.
pub(super) struct Connection {
    label: String,
    reader: BoxRead,
    writer: BoxWrite,
}

/// Our side of a [`Connection`]; dropping it ends the connection.
#[derive(Debug)]
pub(super) struct Watch {
    label: String,
    /// Lets the peer send more than a proof takes.
    proved: oneshot::Sender<()>,
    /// Never sent: when it is dropped, the reader fails.
    cut: oneshot::Sender<Infallible>,
    /// Resolves when `ractor_cluster` has dropped both halves.
    over: oneshot::Receiver<Infallible>,
}

/// A connection whose peer has proved itself; dropping it ends the connection.
#[derive(Debug)]
pub(super) struct Proved {
    entry: Entry,
    node: NodeName,
    cut: oneshot::Sender<Infallible>,
    over: oneshot::Receiver<Infallible>,
}

/// A peer has not proved itself to `ractor_cluster`.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unproved {
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
    #[error("the node server has stopped")]
    ServerGone,
}

impl From<ServerGone> for Unproved {
    fn from(_: ServerGone) -> Self {
        Self::ServerGone
    }
}

impl Secured {
    /// Makes it a stream for `ractor_cluster`.
    pub(super) fn watched(self, peer: SocketAddr, idle: Duration) -> (Connection, Watch) {
        let label = format!("{peer}#{}", next_number());
        match self {
            Self::Tls(stream) => {
                let (reader, writer) = tokio::io::split(*stream);
                watched(label, reader, writer, idle)
            }
            Self::Plain(stream) => {
                let (reader, writer) = stream.into_split();
                watched(label, reader, writer, idle)
            }
        }
    }
}

/// Puts both halves under watch. Writes need no buffer, since `ractor_cluster` collects what is queued and writes it at
/// once.
fn watched<R, W>(label: String, reader: R, writer: W, idle: Duration) -> (Connection, Watch)
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let (proved, when_proved) = oneshot::channel();
    let (cut, when_cut) = oneshot::channel();
    let (open, over) = oneshot::channel();
    let open = Arc::new(open);
    let reader = ReadHalf::new(reader, idle, when_proved, when_cut, Arc::clone(&open));
    let connection = Connection {
        label: label.clone(),
        reader: Box::new(BufReader::with_capacity(READ_BUFFER_BYTES, reader)),
        writer: Box::new(WriteHalf::new(writer, idle, open)),
    };
    (connection, Watch { label, proved, cut, over })
}

impl ClusterBidiStream for Connection {
    fn split(self: Box<Self>) -> (BoxRead, BoxWrite) {
        (self.reader, self.writer)
    }

    fn peer_label(&self) -> Option<String> {
        Some(self.label.clone())
    }
}

impl Shared {
    /// Gives a connection to `ractor_cluster`, and returns when the peer has proved itself. If it has not until `end`,
    /// the connection is over, for the reason that this gives.
    pub(super) async fn hand_over(
        &self,
        introduced: Introduced,
        address: SocketAddr,
        is_server: bool,
        end: impl Future<Output = Unproved>,
    ) -> Result<Proved, Unproved> {
        let Introduced { stream, peer, issued } = introduced;
        let node = peer.name.clone();
        let (connection, Watch { label, proved, cut, mut over }) = stream.watched(address, self.limits.idle);
        let entry = self.peers.enter(label, peer, issued);
        let opened = NodeServerMessage::ConnectionOpenedExternal { stream: Box::new(connection), is_server };
        self.server.cast(opened).map_err(|_| ServerGone)?;

        let refused = tokio::select! {
            // Who has proved itself is not refused for what came at the same time.
            biased;
            claimed = entry.proved() => match claimed? {
                claimed if claimed == full_name(&node) => {
                    info!(%node, connection = entry.label(), "connected");
                    let _ = proved.send(());
                    return Ok(Proved { entry, node, cut, over });
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
}

impl Proved {
    /// Returns when the connection is over.
    pub(super) async fn ended(self) -> Result<(), ServerGone> {
        let Self { entry, node, cut, over } = self;
        let _ = over.await;
        // Another connection with this peer is welcome only when the node server, too, knows that this one is over.
        let known = entry.unproved().await;
        info!(%node, connection = entry.label(), "connection lost");
        drop(cut);
        known
    }
}
