use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{debug, warn};

use crate::handshake::{self, HandshakeError};
use crate::session::{Session, Unproved};
use crate::shared::Shared;
use crate::slots::{Slot, Slots};

/// Pause after a failure to accept, as when the process has no file left.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Minimum interval between two warnings of a crowd.
const BETWEEN_WARNINGS: Duration = Duration::from_secs(10);

/// Reason for which a connection is refused.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("the peer has this node's name")]
    OwnName,
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error(transparent)]
    Unproved(#[from] Unproved),
}

/// Accepts connections, and serves each on a task of its own.
///
/// It never returns. When it is dropped, the connections end.
pub(crate) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
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
                crowd.warn(address, "connection refused: connection limit reached");
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

/// Serves one connection, from its acceptance to its end.
async fn serve(
    stream: TcpStream,
    address: SocketAddr,
    mut slot: Slot,
    peers: Arc<Semaphore>,
    shared: Arc<Shared>,
) {
    match prove(stream, address, &mut slot, &shared).await {
        Ok(session) => match peers.try_acquire() {
            Ok(_place) => {
                drop(slot);
                let _ = session.ended().await;
            }
            Err(_) => warn!(%address, "connection closed: connection limit reached"),
        },
        // Of these a stranger makes as many as it likes.
        Err(reason @ (Refused::Unproved(Unproved::Evicted) | Refused::OwnName)) => {
            debug!(%address, %reason, "connection refused")
        }
        Err(reason) => warn!(%address, %reason, "connection refused"),
    }
}

/// Returns when the peer has authenticated, or when its deadline has passed or its place is lost.
async fn prove(
    stream: TcpStream,
    address: SocketAddr,
    slot: &mut Slot,
    shared: &Shared,
) -> Result<Session, Refused> {
    let deadline = Instant::now() + shared.limits.handshake;
    let introduced = tokio::select! {
        introduced = handshake::accept(stream, shared) => introduced?,
        reason = end(deadline, slot) => return Err(reason.into()),
    };
    if introduced.peer.name == shared.name {
        return Err(Refused::OwnName);
    }
    slot.introduced();
    Ok(Session::open(shared, introduced, address, true, end(deadline, slot)).await?)
}

/// Waits until a connection whose peer has not authenticated has to be closed.
async fn end(deadline: Instant, slot: &mut Slot) -> Unproved {
    match timeout_at(deadline, slot.evicted()).await {
        Ok(()) => Unproved::Evicted,
        Err(_) => Unproved::Late,
    }
}

/// Warns of crowds at bounded intervals, so that too many connections do not fill the log, too.
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
