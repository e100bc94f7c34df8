use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tracing::{debug, warn};

use super::handshake;
use super::shared::Shared;

/// Between two attempts to accept when the system cannot, as when the process has no file left.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Accepts connections, and has each on a task of its own. Returns never; when dropped, the connections end.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(shared.limits.connections));
    let mut connections = JoinSet::new();
    let mut full = false;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match (accepted, Arc::clone(&places).try_acquire_owned()) {
            (Ok((stream, peer)), Ok(place)) => {
                full = false;
                connections.spawn(serve(stream, peer, place, Arc::clone(&shared)));
            }
            (Ok((_, peer)), Err(_)) => {
                // Once for a crowd: who opens more connections than we take should not fill the log, too.
                if !full {
                    full = true;
                    warn!(%peer, limit = shared.limits.connections, "connection refused: there are too many");
                }
            }
            (Err(error), _) => {
                warn!(%error, "no connection can be accepted");
                sleep(AFTER_FAILURE).await;
            }
        }
    }
}

/// One connection, from its acceptance to its end.
async fn serve(stream: TcpStream, address: SocketAddr, _place: OwnedSemaphorePermit, shared: Arc<Shared>) {
    let deadline = Instant::now() + shared.limits.handshake;
    let introduced = match timeout_at(deadline, handshake::accept(stream, &shared)).await {
        Ok(Ok(introduced)) => introduced,
        Ok(Err(error)) => return warn!(%address, %error, "connection refused"),
        Err(_) => return warn!(%address, "connection refused: no handshake in time"),
    };
    if introduced.peer.name == shared.name {
        return debug!(%address, "connection refused: the peer has this node's name");
    }
    match shared.hand_over(introduced, address, true, sleep_until(deadline)).await {
        Ok(connection) => _ = connection.ended().await,
        Err(error) => warn!(%address, %error, "connection refused"),
    }
}
