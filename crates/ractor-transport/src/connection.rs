//! One connection: a stream that `ractor_cluster` reads and writes, and that ends when the peer is silent, or its
//! [`Watch`] is dropped.

mod halves;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ractor_cluster::{BoxRead, BoxWrite, ClusterBidiStream};
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::sync::oneshot;

use crate::secured::Secured;
use crate::sequence::next_number;
use halves::{ReadHalf, WriteHalf};

/// `ractor_cluster` reads a length of 8 bytes and then pieces of 8 KiB, each by a system call without a buffer.
const READ_BUFFER_BYTES: usize = 32 * 1024;

/// The stream for `ractor_cluster`.
pub(crate) struct Connection {
    label: String,
    reader: BoxRead,
    writer: BoxWrite,
}

/// This node's hold on a [`Connection`]; dropping it ends the connection.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) label: String,
    /// Lets the peer send more than a proof takes.
    pub(crate) proved: oneshot::Sender<()>,
    /// Never sent: when it is dropped, the reader fails.
    pub(crate) cut: oneshot::Sender<Infallible>,
    /// Resolves when `ractor_cluster` has dropped both halves.
    pub(crate) over: oneshot::Receiver<Infallible>,
}

impl Connection {
    /// Makes a stream for `ractor_cluster`, and the hold on it.
    pub(crate) fn new(stream: Secured, peer: SocketAddr, idle: Duration) -> (Self, Watch) {
        let label = format!("{peer}#{}", next_number());
        match stream {
            Secured::Tls(stream) => {
                let (reader, writer) = tokio::io::split(*stream);
                Self::watched(label, reader, writer, idle)
            }
            Secured::Plain(stream) => {
                let (reader, writer) = stream.into_split();
                Self::watched(label, reader, writer, idle)
            }
        }
    }

    /// Writes need no buffer, since `ractor_cluster` collects what is queued and writes it at once.
    fn watched<R, W>(label: String, reader: R, writer: W, idle: Duration) -> (Self, Watch)
    where
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Unpin + Send + 'static,
    {
        let (proved, when_proved) = oneshot::channel();
        let (cut, when_cut) = oneshot::channel();
        let (open, over) = oneshot::channel();
        let open = Arc::new(open);
        let reader = ReadHalf::new(reader, idle, when_proved, when_cut, Arc::clone(&open));
        let connection = Self {
            label: label.clone(),
            reader: Box::new(BufReader::with_capacity(READ_BUFFER_BYTES, reader)),
            writer: Box::new(WriteHalf::new(writer, idle, open)),
        };
        (connection, Watch { label, proved, cut, over })
    }
}

impl ClusterBidiStream for Connection {
    fn split(self: Box<Self>) -> (BoxRead, BoxWrite) {
        (self.reader, self.writer)
    }

    fn peer_label(&self) -> Option<String> {
        Some(self.label.clone())
    }
}
