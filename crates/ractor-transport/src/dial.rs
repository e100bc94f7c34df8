use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpStream, lookup_host};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tracing::{debug, error, info, warn};

use crate::handshake::{self, HandshakeError};
use crate::node_name::NodeName;
use crate::peers::ServerGone;
use crate::security::PlaintextRefused;
use crate::session::{Session, Unproved};
use crate::shared::Shared;

/// Outcome of an attempt that has reached a node.
enum Attempt {
    /// There was a session with that node, which is over.
    Lost(NodeName),
    /// The node did not prove the cookie.
    Unproved(NodeName, Unproved),
    /// The node is connected already.
    Connected(NodeName),
    /// The node there has this node's name.
    Ourselves,
}

/// Reason for which no node was reached.
#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error("name not found")]
    Lookup(#[source] io::Error),
    #[error(transparent)]
    Plaintext(PlaintextRefused),
    #[error("no answer in time")]
    Timeout,
    #[error("no connection")]
    Connect(#[source] io::Error),
    #[error("handshake failed")]
    Handshake(#[source] HandshakeError),
    #[error("node server has stopped")]
    ServerGone,
}

impl From<ServerGone> for DialError {
    fn from(_: ServerGone) -> Self {
        Self::ServerGone
    }
}

/// Dials a seed whenever the node there is not connected, and publishes the name that this node gives.
///
/// It returns only if the node server has stopped.
pub(crate) async fn keep_connected(seed: String, name: watch::Sender<Option<NodeName>>, shared: Arc<Shared>) {
    let mut failures = 0_u32;
    loop {
        let reached = match attempt(&seed, &name, &shared).await {
            Ok(Attempt::Lost(node)) => {
                failures = 0;
                Some(node)
            }
            Ok(Attempt::Unproved(node, reason)) => {
                // Two that dial each other at the same time have two connections, of which one is refused.
                if !shared.peers.connected(&node) {
                    complain(&seed, failures, &reason.to_string());
                }
                Some(node)
            }
            Ok(Attempt::Connected(node)) => {
                failures = 0;
                debug!(seed, %node, "connected already");
                Some(node)
            }
            Ok(Attempt::Ourselves) => {
                // What the seed's name means may change, so this is no reason to give it up.
                complain(&seed, failures, "the node there has this node's name");
                None
            }
            Err(DialError::ServerGone) => {
                return error!(seed, "not dialled again: node server has stopped");
            }
            Err(error) => {
                complain(&seed, failures, &with_sources(&error));
                None
            }
        };
        failures = failures.saturating_add(1);
        if pause(failures, reached.as_ref(), &shared).await.is_err() {
            return;
        }
    }
}

/// Waits before the next attempt: for as long as the node there is connected, and then for the backoff.
///
/// Of two nodes that lose each other, one usually comes first, and the other finds itself connected.
async fn pause(failures: u32, node: Option<&NodeName>, shared: &Shared) -> Result<(), ServerGone> {
    loop {
        // The first wait of this backoff is none, as a supervisor wants it.
        sleep(shared.limits.backoff.delay(failures.saturating_add(1), fastrand::f64())).await;
        let Some(node) = node else { return Ok(()) };
        if !shared.peers.connected(node) {
            return Ok(());
        }
        shared.peers.disconnected(node).await?;
    }
}

/// Warns of the first failure of a row; the rest are debug messages.
fn complain(seed: &str, failures: u32, reason: &str) {
    if failures == 0 {
        warn!(seed, %reason, "not connected; further attempts follow");
    } else {
        debug!(seed, %reason, failures, "still not connected");
    }
}

/// Connects to a seed, and returns when the connection is over.
async fn attempt(
    seed: &str,
    name: &watch::Sender<Option<NodeName>>,
    shared: &Shared,
) -> Result<Attempt, DialError> {
    let connected = timeout(shared.limits.connect, connect(seed, shared));
    let (stream, peer) = connected.await.map_err(|_| DialError::Timeout)??;
    let deadline = Instant::now() + shared.limits.handshake;
    let introduced = timeout_at(deadline, handshake::connect(stream, shared))
        .await
        .map_err(|_| DialError::Timeout)?
        .map_err(DialError::Handshake)?;
    let node = introduced.peer.name.clone();
    name.send_replace(Some(node.clone()));
    if node == shared.name {
        return Ok(Attempt::Ourselves);
    }
    if shared.peers.connected(&node) {
        return Ok(Attempt::Connected(node));
    }
    info!(seed, %node, %peer, "dialled");
    let end = async {
        sleep_until(deadline).await;
        Unproved::Late
    };
    match Session::open(shared, introduced, peer, false, end).await {
        Ok(session) => {
            session.ended().await?;
            Ok(Attempt::Lost(node))
        }
        Err(Unproved::ServerGone) => Err(DialError::ServerGone),
        Err(reason) => Ok(Attempt::Unproved(node, reason)),
    }
}

/// Opens a TCP connection to the first of the seed's addresses that may be dialled and answers.
async fn connect(seed: &str, shared: &Shared) -> Result<(TcpStream, SocketAddr), DialError> {
    let mut refused = None;
    let mut allowed = Vec::new();
    for address in lookup_host(seed).await.map_err(DialError::Lookup)? {
        match shared.security.check(address.ip(), shared.allow_plaintext) {
            Ok(()) => allowed.push(address),
            Err(error) => refused = Some(error),
        }
    }
    if let (true, Some(refused)) = (allowed.is_empty(), refused) {
        return Err(DialError::Plaintext(refused));
    }
    let stream = TcpStream::connect(&*allowed).await.map_err(DialError::Connect)?;
    let peer = stream.peer_addr().map_err(DialError::Connect)?;
    Ok((stream, peer))
}

/// Returns an error and its sources in one line.
fn with_sources(error: &DialError) -> String {
    let mut line = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        line = format!("{line}: {error}");
        source = error.source();
    }
    line
}
