//! The tasks around the actors: one accepts connections, and one per connection reads.

use std::io::ErrorKind::WouldBlock;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::time::Duration;

use anyhow::Result;
use counter_keyspace::KeyspaceHandle;
use ractor::{Actor, ActorRef};
use ractor_outbox::{Fifo, Outbox};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::connection::{Client, Connection, ConnectionMessage, End};

/// Maximum number of bytes per read.
const CHUNK_BYTES: usize = 16 * 1024;
/// Maximum number of chunks that wait for the actor. Beyond it nothing is read, and TCP makes the client wait.
const CHUNKS_WAITING: NonZeroUsize = NonZeroUsize::new(2).expect("it is not zero");
/// Wait after a connection could not be accepted, mostly because too many files are open.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// Time between the end of accepting and that of reading. Requests that arrive in it are answered.
const LAST_CALL: Duration = Duration::from_millis(50);
/// Limits of a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Maximum number of connections. Beyond it, a client gets an error and is turned away.
    pub(crate) connections: usize,
    /// Maximum time for a client to send nothing.
    pub(crate) idle: Duration,
    /// Maximum time for a client to receive a piece of its answers.
    pub(crate) slow_after: Duration,
    /// Maximum time that a stopping server waits for its connections before it kills them.
    pub(crate) drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let [idle, slow_after, drain] = [300, 5, 10].map(Duration::from_secs);
        Self { connections: 15_000, idle, slow_after, drain }
    }
}

/// Serves until `stop` is ready, then accepts no more, answers the requests that have arrived, and closes. Returns
/// the number of connections that took too long for that and were killed. All else is counted in the counters
/// themselves.
pub(crate) async fn serve(
    listener: TcpListener,
    counters: KeyspaceHandle,
    limits: Limits,
    stop: impl Future<Output = ()>,
) -> Result<usize> {
    let (drain, draining) = watch::channel(false);
    let (mut connections, mut most_at_once, mut stop) = (JoinSet::new(), 0, pin!(stop));
    loop {
        tokio::select! {
            // In this order, so that connections that have ended do not count against new ones.
            biased;
            () = &mut stop => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) if connections.len() < limits.connections => {
                    connections.spawn(connection(socket, counters.clone(), limits, draining.clone()));
                    counters.increment("server:accepted", 1).await?;
                    if connections.len() > most_at_once {
                        most_at_once += 1;
                        counters.increment("server:most_at_once", 1).await?;
                    }
                }
                Ok((socket, _)) => {
                    // A new socket has room for a line, so turning a client away needs no waiting.
                    let _ = socket.try_write(b"-ERR too many connections\r\n");
                    counters.increment("server:turned_away", 1).await?;
                }
                Err(_) => sleep(ACCEPT_AGAIN_AFTER).await,
            },
        }
    }
    drop(listener);
    sleep(LAST_CALL).await;
    drain.send_replace(true);
    let _ = timeout(limits.drain, async { while connections.join_next().await.is_some() {} }).await;
    let killed = connections.len();
    connections.shutdown().await;
    Ok(killed)
}

/// Connection's actor, killed when this is dropped.
struct Owned(ActorRef<ConnectionMessage>);

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.kill();
    }
}

async fn connection(
    socket: TcpStream,
    counters: KeyspaceHandle,
    Limits { idle, slow_after, .. }: Limits,
    draining: watch::Receiver<bool>,
) {
    // Answers are written in one piece, so nothing is gained by holding them back.
    let _ = socket.set_nodelay(true);
    let (from_client, socket) = socket.into_split();
    let client = Client { counters, socket, slow_after, unfinished: Vec::new(), requests: 0 };
    let Ok((actor, mut task)) = Actor::spawn(None, Connection, client).await else { return };
    let actor = Owned(actor);
    let outbox = Outbox::new(Fifo::bounded(CHUNKS_WAITING), actor.0.clone());
    tokio::select! {
        end = read(from_client, &outbox, idle, draining) => {
            // Behind all that was read, so that it is answered first.
            let _ = actor.0.cast(ConnectionMessage::Ended(end));
            let _ = task.await;
        }
        _ = &mut task => {}
    }
}

/// Forwards input to the actor. It holds no memory for an idle client.
async fn read(
    socket: OwnedReadHalf,
    outbox: &Outbox<Fifo<Vec<u8>>, ConnectionMessage>,
    idle: Duration,
    mut draining: watch::Receiver<bool>,
) -> End {
    loop {
        let last = tokio::select! {
            ready = timeout(idle, socket.readable()) => match ready {
                Ok(_) => false,
                Err(_) => return "server:idle",
            },
            _ = draining.wait_for(|draining| *draining) => true,
        };
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        match socket.try_read_buf(&mut chunk) {
            Ok(1..) if outbox.send(chunk).await.is_ok() => {}
            Err(error) if error.kind() == WouldBlock && !last => {}
            Err(error) if error.kind() == WouldBlock => return "server:drained",
            Ok(_) | Err(_) => return "server:closed",
        }
    }
}
