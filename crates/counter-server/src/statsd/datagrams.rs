//! Datagrams: UDP and Unix sockets.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UdpSocket, UnixDatagram};
use tokio::time::sleep;

use super::intake::{Intake, Metrics, Rejection};
use super::receive::{Receiver, Socket};
use crate::service::{Service, ServiceState};

/// Time to wait after datagrams could not be received.
const RECEIVE_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Maximum number of batches that are received after the server has begun to drain, in case senders do not stop.
const LAST_BATCHES: usize = 1024;

/// Front end for datagrams. Its socket receives from the start, also while counters are loaded.
#[derive(Debug)]
pub(crate) struct Datagrams {
    receiver: Receiver,
    service: Service,
    metrics: Metrics,
    local_addr: Option<SocketAddr>,
    /// Removed when the front end ends.
    file: Option<SocketFile>,
}

/// File of a Unix socket, which is removed with this.
#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::debug!(%error, "socket file was not removed");
        }
    }
}

impl Datagrams {
    /// Receives from a UDP socket.
    pub(crate) async fn udp(address: SocketAddr, service: &Service, metrics: &Metrics) -> io::Result<Self> {
        let socket = UdpSocket::bind(address).await?;
        let local_addr = Some(socket.local_addr()?);
        Ok(Self { local_addr, ..Self::new(Socket::Udp(socket), service, metrics) })
    }

    /// Receives from a Unix socket at this path. The socket of a process that has ended is replaced.
    pub(crate) fn unix(path: &Path, service: &Service, metrics: &Metrics) -> io::Result<Self> {
        remove_stale(path)?;
        let socket = UnixDatagram::bind(path)?;
        let file = Some(SocketFile(path.to_owned()));
        Ok(Self { file, ..Self::new(Socket::Unix(socket), service, metrics) })
    }

    fn new(socket: Socket, service: &Service, metrics: &Metrics) -> Self {
        let (service, metrics) = (service.clone(), metrics.clone());
        Self { receiver: Receiver::new(socket), service, metrics, local_addr: None, file: None }
    }

    /// Returns the address of a UDP socket.
    pub(crate) const fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr
    }

    /// Counts until the server drains, and then what has arrived.
    pub(crate) async fn run(mut self) {
        self.service.reached(ServiceState::Ready).await;
        let Ok(counters) = self.service.counters() else { return };
        let mut intake = Intake::new(counters, self.metrics);
        loop {
            let received = tokio::select! {
                biased;
                () = self.service.reached(ServiceState::Draining) => break,
                received = self.receiver.receive() => received,
            };
            match received {
                Ok(dropped) => count(&mut intake, &self.receiver, dropped).await,
                Err(error) => {
                    tracing::warn!(%error, "failed to receive datagrams");
                    sleep(RECEIVE_AGAIN_AFTER).await;
                }
            }
        }
        // Nobody finds the socket any more.
        drop(self.file);
        for _ in 0..LAST_BATCHES {
            let Ok(dropped) = self.receiver.try_receive() else { break };
            count(&mut intake, &self.receiver, dropped).await;
        }
    }
}

async fn count(intake: &mut Intake, receiver: &Receiver, dropped: u64) {
    let datagrams = receiver.datagrams();
    intake.metrics().datagrams(datagrams.len() as u64, dropped);
    for datagram in datagrams {
        match datagram {
            Some(lines) => intake.count(lines).await,
            None => intake.metrics().reject(Rejection::TooLong),
        }
    }
}

/// Removes a socket that nobody receives from any more.
fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    if is_socket {
        let connected = std::os::unix::net::UnixDatagram::unbound()?.connect(path);
        if connected.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}
