use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{debug, warn};

use super::connection::{Proved, Unproved};
use super::handshake::{self, HandshakeError};
use super::shared::Shared;
use super::slots::{Slot, Slots};

/// Between two attempts to accept when the system cannot, as when the process has no file left.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Between two warnings of a crowd.
const BETWEEN_WARNINGS: Duration = Duration::from_secs(10);

/// Why a connection does not become one of a peer.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("the peer has this node's name")]
    OwnName,
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error(transparent)]
    Unproved(#[from] Unproved),
}

/// Accepts connections, and has each on a task of its own. Returns never; when dropped, the connections end.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let peers = Arc::new(Semaphore::new(shared.limits.connections));
    let strangers = Slots::new(shared.limits.handshakes, shared.limits.handshakes_per_address);
    let mut connections = JoinSet::new();
    let mut crowd = Crowd::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((_, address)) if peers.available_permits() == 0 => {
                crowd.warn(address, "connection refused: there are too many");
            }
            Ok((stream, address)) => {
                let slot = strangers.enter(address.ip());
                connections.spawn(serve(stream, address, slot, Arc::clone(&peers), Arc::clone(&shared)));
                if strangers.are_crowded() {
                    crowd.warn(address, "connections closed: too many have not proved themselves");
                    strangers.make_room().await;
                }
            }
            Err(error) => {
                warn!(%error, "no connection can be accepted");
                sleep(AFTER_FAILURE).await;
            }
        }
    }
}

/// One connection, from its acceptance to its end.
async fn serve(
    stream: TcpStream,
    address: SocketAddr,
    mut slot: Slot,
    peers: Arc<Semaphore>,
    shared: Arc<Shared>,
) {
    match prove(stream, address, &mut slot, &shared).await {
        Ok(connection) => match peers.try_acquire() {
            Ok(_place) => {
                drop(slot);
                let _ = connection.ended().await;
            }
            Err(_) => warn!(%address, "connection closed: there are too many"),
        },
        // Of these a stranger makes as many as it likes.
        Err(reason @ (Refused::Unproved(Unproved::Evicted) | Refused::OwnName)) => {
            debug!(%address, %reason, "connection refused")
        }
        Err(reason) => warn!(%address, %reason, "connection refused"),
    }
}

/// Returns when the peer has proved itself. It may take as long as the deadline and its place allow.
async fn prove(
    stream: TcpStream,
    address: SocketAddr,
    slot: &mut Slot,
    shared: &Shared,
) -> Result<Proved, Refused> {
    let deadline = Instant::now() + shared.limits.handshake;
    let introduced = tokio::select! {
        introduced = handshake::accept(stream, shared) => introduced?,
        reason = end(deadline, slot) => return Err(reason.into()),
    };
    if introduced.peer.name == shared.name {
        return Err(Refused::OwnName);
    }
    slot.introduced();
    Ok(shared.hand_over(introduced, address, true, end(deadline, slot)).await?)
}

/// Waits until a connection that has not proved itself has to go.
async fn end(deadline: Instant, slot: &mut Slot) -> Unproved {
    match timeout_at(deadline, slot.evicted()).await {
        Ok(()) => Unproved::Evicted,
        Err(_) => Unproved::Late,
    }
}

/// Warns of crowds, but now and then only: who opens more connections than there may be should not fill the log, too.
#[derive(Default)]
struct Crowd {
    warned: Option<Instant>,
}

impl Crowd {
    fn warn(&mut self, address: SocketAddr, message: &str) {
        let now = Instant::now();
        if self.warned.is_none_or(|warned| now - warned >= BETWEEN_WARNINGS) {
            self.warned = Some(now);
            warn!(%address, "{message}");
        }
    }
}
