use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{error, warn};

use super::connection::{Ended, Secured};
use super::greeting;
use super::security::Security;
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
async fn serve(stream: TcpStream, peer: SocketAddr, _place: OwnedSemaphorePermit, shared: Arc<Shared>) {
    let deadline = Instant::now() + shared.limits.handshake;
    let secured = match timeout_at(deadline, welcome(stream, &shared)).await {
        Ok(Ok(secured)) => secured,
        Ok(Err(error)) => return warn!(%peer, %error, "connection refused"),
        Err(_) => return warn!(%peer, "connection refused: no handshake in time"),
    };
    let (connection, watch) = secured.watched(peer, shared.limits.idle);
    match shared.hand_over(connection, watch, true, deadline).await {
        Ok(Ended::Lost) => {}
        Ok(Ended::Unproved) => {
            warn!(%peer, "connection refused: no proof of the cookie, or it is a second one")
        }
        Err(_) => error!(%peer, "connection refused: the node server has stopped"),
    }
}

/// Proves who we are, and lets the peer do so.
async fn welcome(stream: TcpStream, shared: &Shared) -> io::Result<Secured> {
    stream.set_nodelay(true)?;
    match &shared.security {
        Security::Tls(identity) => {
            let mut stream = identity.acceptor().accept(stream).await?;
            greeting::send(&mut stream, &shared.name).await?;
            Ok(Secured::Tls(Box::new(stream.into())))
        }
        Security::Plain => {
            let mut stream = stream;
            greeting::send(&mut stream, &shared.name).await?;
            Ok(Secured::Plain(stream))
        }
    }
}
