//! Accepts connections of the TCP front ends: bounded, counted, and until the server drains.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use crate::service::{Service, ServiceState};
use crate::telemetry::{FrontEnd, Protocol};
use crate::transport::Transport;

/// Time to wait after a connection could not be accepted, as when there are no more file descriptors.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Socket of a front end.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    service: Service,
    front_end: FrontEnd,
    /// Answer to a client that is turned away.
    refusal: &'static [u8],
    slots: Arc<Semaphore>,
}

/// Accepted connection, which takes up one of its front end's slots until it is dropped.
#[derive(Debug)]
pub(crate) struct Stream {
    io: Transport,
    open: Gauge,
    _slot: OwnedSemaphorePermit,
}

impl Listener {
    /// Binds a socket.
    pub(crate) async fn bind(
        address: SocketAddr,
        protocol: Protocol,
        refusal: &'static [u8],
        service: &Service,
    ) -> io::Result<Self> {
        Ok(Self {
            socket: TcpListener::bind(address).await?,
            service: service.clone(),
            front_end: FrontEnd { front_end: protocol },
            refusal,
            slots: Arc::new(Semaphore::new(service.limits().connections)),
        })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Returns the next connection, or `None` once the server drains.
    pub(crate) async fn accept(&mut self) -> Option<(Stream, SocketAddr)> {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.service.reached(ServiceState::Draining) => return None,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((io, peer)) => match self.admit(io) {
                    Some(stream) => return Some((stream, peer)),
                    None => tracing::debug!(%peer, "turned away: too many connections"),
                },
                Err(error) => {
                    tracing::warn!(%error, "failed to accept a connection");
                    sleep(ACCEPT_AGAIN_AFTER).await;
                }
            }
        }
    }

    fn admit(&self, io: TcpStream) -> Option<Stream> {
        let telemetry = self.service.telemetry();
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            telemetry.turned_away.get_or_create(&self.front_end).inc();
            // A new socket has room for a line, so turning a client away needs no waiting. In TLS it would be no line.
            if self.service.tls().is_none() {
                let _ = io.try_write(self.refusal);
            }
            return None;
        };
        telemetry.accepted.get_or_create(&self.front_end).inc();
        let open = telemetry.connections.get_or_create(&self.front_end).clone();
        open.inc();
        // Answers are written in one piece, so nothing is gained by holding them back.
        let _ = io.set_nodelay(true);
        Some(Stream { io: Transport::new(io, self.service.tls()), open, _slot: slot })
    }
}

impl Stream {
    /// Takes no more input than what has arrived, so that reading ends behind that.
    pub(crate) fn stop_input(&self) {
        self.io.stop_input();
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.open.dec();
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
