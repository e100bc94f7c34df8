//! Bytes of a connection, encrypted or not.

use std::fmt;
use std::io;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nix::sys::socket::{Shutdown, shutdown};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tokio_rustls::Accept;
use tokio_rustls::server::TlsStream;

use crate::tls::Tls;

/// Time for a client to complete the handshake of TLS.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// Connection of a client. The handshake of TLS is made when it is read or written for the first time, so that
/// accepting does not wait for it.
#[derive(Debug)]
pub(crate) enum Transport {
    Plain(TcpStream),
    Handshake(Box<Handshake>),
    Tls(Box<TlsStream<TcpStream>>),
    /// The handshake has failed.
    Failed,
}

pub(crate) struct Handshake {
    accept: Accept<TcpStream>,
    deadline: Pin<Box<Sleep>>,
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake").finish_non_exhaustive()
    }
}

impl Transport {
    pub(crate) fn new(stream: TcpStream, tls: Option<&Tls>) -> Self {
        match tls {
            None => Self::Plain(stream),
            Some(tls) => {
                let accept = tls.acceptor().accept(stream);
                Self::Handshake(Box::new(Handshake { accept, deadline: Box::pin(sleep(HANDSHAKE_DEADLINE)) }))
            }
        }
    }

    /// Takes no more input than what has arrived: reading ends behind that. To ask for it without waiting would not do,
    /// because the runtime may not have heard yet of what has arrived.
    pub(crate) fn stop_input(&self) {
        let socket = match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
            // What has arrived is no request.
            Self::Handshake(_) | Self::Failed => return,
        };
        if let Err(error) = shutdown(socket.as_raw_fd(), Shutdown::Read) {
            tracing::debug!(%error, "connection has ended already");
        }
    }

    /// Completes the handshake, if there is one to complete.
    fn poll_handshake(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self::Handshake(handshake) = self else { return Poll::Ready(Ok(())) };
        let accepted = match Pin::new(&mut handshake.accept).poll(context) {
            Poll::Ready(accepted) => accepted,
            Poll::Pending => {
                ready!(handshake.deadline.as_mut().poll(context));
                Err(io::Error::new(io::ErrorKind::TimedOut, "handshake takes too long"))
            }
        };
        match accepted {
            Ok(stream) => *self = Self::Tls(Box::new(stream)),
            Err(error) => {
                *self = Self::Failed;
                return Poll::Ready(Err(error));
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Error of a connection without a stream.
fn not_connected<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_handshake(context))?;
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Handshake(_) | Self::Failed => not_connected(),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_handshake(context))?;
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Handshake(_) | Self::Failed => not_connected(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
            Self::Handshake(_) | Self::Failed => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Handshake(_) | Self::Failed => Poll::Ready(Ok(())),
        }
    }
}
