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
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsStream;
use tracing::{debug, info};

use super::shared::{Shared, next_number};
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

/// How a connection ended that `ractor_cluster` has had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// After the peer had proved itself.
    Lost,
    /// Before: by the deadline, by a wrong cookie, or as the second connection between two nodes.
    Unproved,
}

/// The node server has stopped, so there is nobody to have connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ServerGone;

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
    /// Gives the connection to `ractor_cluster`, and returns when it is over. Ends it if the peer has not proved itself
    /// by the deadline.
    pub(super) async fn hand_over(
        &self,
        connection: Connection,
        watch: Watch,
        is_server: bool,
        deadline: Instant,
    ) -> Result<Ended, ServerGone> {
        let Watch { label, proved, cut, mut over } = watch;
        let opened = NodeServerMessage::ConnectionOpenedExternal { stream: Box::new(connection), is_server };
        self.server.cast(opened).map_err(|_| ServerGone)?;

        let mut sessions = self.sessions.clone();
        let proof = timeout_at(deadline, sessions.wait_for(|sessions| sessions.peer(&label).is_some()));
        let peer = tokio::select! {
            proof = proof => match proof {
                Ok(Ok(sessions)) => sessions.peer(&label).map(ToOwned::to_owned),
                Ok(Err(_)) => return Err(ServerGone),
                Err(_) => None,
            },
            _ = &mut over => return Ok(Ended::Unproved),
        };
        let Some(peer) = peer else {
            debug!(connection = label, "no proof of the cookie in time");
            drop(cut);
            let _ = over.await;
            return Ok(Ended::Unproved);
        };
        info!(peer, connection = label, "connected");
        let _ = proved.send(());
        let _ = over.await;
        // Another connection with this peer is welcome only when the node server, too, knows that this one is over.
        let known = sessions.wait_for(|sessions| sessions.peer(&label).is_none()).await;
        info!(peer, connection = label, "connection lost");
        known.map(|_| Ended::Lost).map_err(|_| ServerGone)
    }
}
