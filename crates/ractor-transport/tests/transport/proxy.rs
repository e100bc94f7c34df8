//! A wire that a test can freeze or cut: it has an address before the node behind it does.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::node::{LOCAL, soon};

pub(crate) struct Proxy {
    addr: SocketAddr,
    wire: watch::Sender<Wire>,
    dials: watch::Receiver<usize>,
    /// Aborted when dropped.
    _accept: JoinSet<()>,
}

#[derive(Clone, Copy, Default)]
struct Wire {
    target: Option<SocketAddr>,
    frozen: bool,
    cuts: u64,
}

impl Proxy {
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind(LOCAL).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let wire = watch::Sender::new(Wire::default());
        let (dialled, dials) = watch::channel(0);
        let mut accept = JoinSet::new();
        let watched = wire.subscribe();
        accept.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                dialled.send_modify(|dials| *dials += 1);
                connections.spawn(carry(stream, watched.clone()));
            }
        });
        Self { addr, wire, dials, _accept: accept }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Connections, also those until now, go to this address.
    pub(crate) fn lead_to(&self, target: SocketAddr) {
        self.wire.send_modify(|wire| wire.target = Some(target));
    }

    /// Carries nothing any more, and closes nothing.
    pub(crate) fn freeze(&self) {
        self.wire.send_modify(|wire| wire.frozen = true);
    }

    /// Closes the connections there are.
    pub(crate) fn cut(&self) {
        self.wire.send_modify(|wire| wire.cuts += 1);
    }

    /// Returns the number of times it was dialled.
    pub(crate) fn dials(&self) -> usize {
        *self.dials.borrow()
    }

    /// Waits until it was dialled `dials` times.
    pub(crate) async fn dialled(&mut self, dials: usize) {
        soon(self.dials.wait_for(|&count| count >= dials)).await.unwrap();
    }
}

async fn carry(mut near: TcpStream, mut wire: watch::Receiver<Wire>) {
    let cuts = wire.borrow().cuts;
    let Ok(target) = wire.wait_for(|wire| wire.target.is_some()).await.map(|wire| wire.target) else {
        return;
    };
    let Ok(mut far) = TcpStream::connect(target.unwrap()).await else { return };
    loop {
        let now = *wire.borrow_and_update();
        if now.cuts > cuts {
            return;
        }
        tokio::select! {
            _ = copy_bidirectional(&mut near, &mut far), if !now.frozen => return,
            changed = wire.changed() => if changed.is_err() { return },
        }
    }
}
