//! A TCP proxy for tests of what happens when a network fails: it forwards connections to a target, and can be cut,
//! paused and healed.
//!
//! A proxy has an address before its target does, and keeps it when the target moves, as a process does that is started
//! again on another port. It listens on loopback only. It delays nothing, drops no bytes of a connection that stays
//! open, and does not look into what it forwards.
//!
//! The design is that of [Toxiproxy](https://github.com/Shopify/toxiproxy), without its toxics and inside the test's
//! own process.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! use tcp_proxy::TcpProxy;
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use tokio::net::{TcpListener, TcpStream};
//!
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let proxy = TcpProxy::start().await?;
//! proxy.set_target(listener.local_addr()?);
//!
//! let mut client = TcpStream::connect(proxy.address()).await?;
//! let (mut server, _) = listener.accept().await?;
//! client.write_all(b"hello").await?;
//! server.read_exact(&mut [0; 5]).await?;
//!
//! proxy.cut();
//! assert!(server.read_u8().await.is_err());
//! # Ok(())
//! # }
//! ```

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A TCP proxy on loopback. Its connections end when it is dropped.
#[derive(Debug)]
pub struct TcpProxy {
    address: SocketAddr,
    state: watch::Sender<State>,
    accepted: watch::Receiver<u64>,
    /// The task that accepts connections, and owns those that forward; aborted on drop.
    _accepting: JoinSet<()>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    target: Option<SocketAddr>,
    is_cut: bool,
    is_paused: bool,
    /// Number of times that all connections were closed. A connection of an earlier generation is over, even if the
    /// proxy was healed at once.
    generation: u64,
}

impl TcpProxy {
    /// Starts a proxy without a target: connections wait until it has one.
    ///
    /// # Errors
    /// Those of binding a listener to loopback.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (state, watched) = watch::channel(State::default());
        let (count, accepted) = watch::channel(0);
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, watched, count));
        Ok(Self { address, state, accepted, _accepting: accepting })
    }

    /// Address that clients connect to.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Forwards connections to this address: those that wait for a target, and new ones. Those to another target are
    /// closed.
    pub fn set_target(&self, target: SocketAddr) {
        self.state.send_modify(|state| {
            let former = state.target.replace(target);
            state.generation += u64::from(former.is_some_and(|former| former != target));
        });
    }

    /// Closes all connections, and closes new ones at once, until [`heal`](Self::heal).
    pub fn cut(&self) {
        self.state.send_modify(|state| {
            state.is_cut = true;
            state.generation += 1;
        });
    }

    /// Closes all connections, but not those that come.
    pub fn close_connections(&self) {
        self.state.send_modify(|state| state.generation += 1);
    }

    /// Forwards nothing, and closes nothing, until [`heal`](Self::heal): bytes wait in the buffers of both ends.
    pub fn pause(&self) {
        self.state.send_modify(|state| state.is_paused = true);
    }

    /// Ends a cut and a pause.
    pub fn heal(&self) {
        self.state.send_modify(|state| {
            state.is_cut = false;
            state.is_paused = false;
        });
    }

    /// Number of connections that were accepted so far, forwarded or not.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        *self.accepted.borrow()
    }

    /// Waits until at least `connections` were accepted.
    pub async fn wait_for_accepted(&self, connections: u64) {
        let mut accepted = self.accepted.clone();
        // It cannot be closed: the task that counts lives as long as this proxy.
        let _ = accepted.wait_for(|&accepted| accepted >= connections).await;
    }
}

async fn accept(listener: TcpListener, state: watch::Receiver<State>, accepted: watch::Sender<u64>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            incoming = listener.accept() => {
                let Ok((client, _)) = incoming else { continue };
                let begun = *state.borrow();
                accepted.send_modify(|accepted| *accepted += 1);
                if !begun.is_cut {
                    connections.spawn(serve(client, begun.generation, state.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Forwards a connection until one end closes it or its generation is over.
async fn serve(client: TcpStream, generation: u64, mut state: watch::Receiver<State>) {
    let is_decided = |state: &State| state.generation != generation || state.target.is_some();
    let Ok(target) = state.wait_for(is_decided).await.map(|state| state.target) else { return };
    let Some(target) = target else { return };
    let mut forwarding = pin!(forward(client, target));
    loop {
        let State { is_paused, generation: current, .. } = *state.borrow_and_update();
        if current != generation {
            return;
        }
        tokio::select! {
            biased;
            changed = state.changed() => if changed.is_err() { return },
            // Not dropped during a pause: it may hold bytes that were read and not yet written.
            () = &mut forwarding, if !is_paused => return,
        }
    }
}

async fn forward(mut client: TcpStream, target: SocketAddr) {
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    let _ = client.set_nodelay(true).and_then(|()| server.set_nodelay(true));
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;

    /// Deadline of everything that is expected to happen.
    const DEADLINE: Duration = Duration::from_secs(10);

    async fn listen() -> TcpListener {
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap()
    }

    /// A proxy with a target, and the target.
    async fn proxied() -> (TcpProxy, TcpListener) {
        let (proxy, target) = (TcpProxy::start().await.unwrap(), listen().await);
        proxy.set_target(target.local_addr().unwrap());
        (proxy, target)
    }

    async fn connect(proxy: &TcpProxy) -> TcpStream {
        TcpStream::connect(proxy.address()).await.unwrap()
    }

    async fn accept_from(target: &TcpListener) -> TcpStream {
        timeout(DEADLINE, target.accept()).await.expect("it is dialled").unwrap().0
    }

    async fn is_closed(stream: &mut TcpStream) -> bool {
        timeout(DEADLINE, stream.read_u8()).await.expect("it is closed or written to").is_err()
    }

    async fn carries(from: &mut TcpStream, to: &mut TcpStream) {
        from.write_u8(7).await.unwrap();
        assert_eq!(timeout(DEADLINE, to.read_u8()).await.expect("it is forwarded").unwrap(), 7);
    }

    #[tokio::test]
    async fn bytes_are_forwarded_both_ways() {
        let (proxy, target) = proxied().await;
        let mut client = connect(&proxy).await;
        let mut server = accept_from(&target).await;
        carries(&mut client, &mut server).await;
        carries(&mut server, &mut client).await;
        drop(client);
        assert!(is_closed(&mut server).await);
    }

    #[tokio::test]
    async fn a_cut_closes_and_refuses_until_it_is_healed() {
        let (proxy, target) = proxied().await;
        let mut client = connect(&proxy).await;
        let mut server = accept_from(&target).await;
        carries(&mut client, &mut server).await;

        proxy.cut();
        assert!(is_closed(&mut client).await);
        assert!(is_closed(&mut server).await);
        assert!(is_closed(&mut connect(&proxy).await).await);

        proxy.heal();
        let mut client = connect(&proxy).await;
        carries(&mut client, &mut accept_from(&target).await).await;
    }

    #[tokio::test]
    async fn a_connection_from_before_a_cut_is_closed_though_the_cut_is_healed_at_once() {
        let (proxy, target) = proxied().await;
        let mut client = connect(&proxy).await;
        carries(&mut client, &mut accept_from(&target).await).await;
        proxy.cut();
        proxy.heal();
        assert!(is_closed(&mut client).await);
    }

    #[tokio::test]
    async fn connections_can_be_closed_without_a_cut() {
        let (proxy, target) = proxied().await;
        let mut client = connect(&proxy).await;
        carries(&mut client, &mut accept_from(&target).await).await;
        proxy.close_connections();
        assert!(is_closed(&mut client).await);
        let mut client = connect(&proxy).await;
        carries(&mut client, &mut accept_from(&target).await).await;
    }

    #[tokio::test]
    async fn a_pause_forwards_nothing_and_loses_nothing() {
        let (proxy, target) = proxied().await;
        let mut client = connect(&proxy).await;
        let mut server = accept_from(&target).await;
        carries(&mut client, &mut server).await;

        proxy.pause();
        client.write_all(&[1; 1000]).await.unwrap();
        let early = timeout(Duration::from_millis(50), server.read_u8()).await;
        assert!(early.is_err(), "{early:?} during a pause");

        proxy.heal();
        let mut received = [0; 1000];
        timeout(DEADLINE, server.read_exact(&mut received)).await.expect("it is forwarded").unwrap();
        assert_eq!(received, [1; 1000]);
        carries(&mut server, &mut client).await;
    }

    #[tokio::test]
    async fn a_connection_waits_for_the_target_and_ends_when_it_moves() {
        let (proxy, first, second) = (TcpProxy::start().await.unwrap(), listen().await, listen().await);
        let mut client = connect(&proxy).await;
        proxy.wait_for_accepted(1).await;
        proxy.set_target(first.local_addr().unwrap());
        carries(&mut client, &mut accept_from(&first).await).await;

        proxy.set_target(second.local_addr().unwrap());
        assert!(is_closed(&mut client).await);
        let mut client = connect(&proxy).await;
        carries(&mut client, &mut accept_from(&second).await).await;
        assert_eq!(proxy.accepted(), 2);
    }

    #[tokio::test]
    async fn a_cut_closes_connections_that_wait_for_a_target() {
        let proxy = TcpProxy::start().await.unwrap();
        let mut client = connect(&proxy).await;
        proxy.wait_for_accepted(1).await;
        proxy.cut();
        assert!(is_closed(&mut client).await);
    }

    #[tokio::test]
    async fn a_dropped_proxy_closes_its_connections_and_its_port() {
        let (proxy, target) = proxied().await;
        let mut client = connect(&proxy).await;
        carries(&mut client, &mut accept_from(&target).await).await;
        let address = proxy.address();
        drop(proxy);
        assert!(is_closed(&mut client).await);
        assert!(TcpStream::connect(address).await.is_err());
    }
}
