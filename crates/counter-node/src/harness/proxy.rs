//! A wire between two nodes that can be cut. It has an address before the node at its end does, and keeps it when that
//! node is started anew elsewhere.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context;
use ractor_supervision::OwnedTask;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A TCP proxy on this machine. Its connections end when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    wire: watch::Sender<Wire>,
    _accept: OwnedTask,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wire {
    target: Option<SocketAddr>,
    is_cut: bool,
    /// How often it was cut: a connection from before a cut is over, even if the wire was healed at once.
    cuts: u64,
}

impl Proxy {
    /// A proxy that leads nowhere yet.
    ///
    /// # Errors
    /// If there is no free port.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.context("failed to listen for a proxy")?;
        let address = listener.local_addr().context("failed to listen for a proxy")?;
        let (wire, watched) = watch::channel(Wire::default());
        let accept = tokio::spawn(accept(listener, watched));
        Ok(Self { address, wire, _accept: accept.into() })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// New connections go there.
    pub fn lead_to(&self, target: SocketAddr) {
        self.wire.send_modify(|wire| wire.target = Some(target));
    }

    /// Closes all connections, and refuses new ones.
    pub fn cut(&self) {
        self.wire.send_modify(|wire| {
            wire.is_cut = true;
            wire.cuts += 1;
        });
    }

    /// Accepts connections again.
    pub fn heal(&self) {
        self.wire.send_modify(|wire| wire.is_cut = false);
    }
}

async fn accept(listener: TcpListener, wire: watch::Receiver<Wire>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                connections.spawn(carry(stream, wire.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Carries bytes both ways until one end is closed, or the wire is cut or led elsewhere.
async fn carry(mut near: TcpStream, mut wire: watch::Receiver<Wire>) {
    let begun = *wire.borrow_and_update();
    let Some(target) = begun.target.filter(|_| !begun.is_cut) else { return };
    let through = async {
        let Ok(mut far) = TcpStream::connect(target).await else { return };
        let _ = near.set_nodelay(true).and_then(|()| far.set_nodelay(true));
        let _ = copy_bidirectional(&mut near, &mut far).await;
    };
    tokio::select! {
        () = through => {}
        _ = wire.wait_for(|wire| *wire != begun) => {}
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_cut_closes_and_refuses_until_it_is_healed() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let proxy = Proxy::start().await.unwrap();
        proxy.lead_to(listener.local_addr().unwrap());

        let mut near = TcpStream::connect(proxy.address()).await.unwrap();
        let (mut far, _) = listener.accept().await.unwrap();
        near.write_u8(1).await.unwrap();
        assert_eq!(far.read_u8().await.unwrap(), 1);

        proxy.cut();
        assert!(near.read_u8().await.is_err());
        assert!(far.read_u8().await.is_err());
        let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(refused.read_u8().await.is_err());

        proxy.heal();
        let mut near = TcpStream::connect(proxy.address()).await.unwrap();
        let (mut far, _) = listener.accept().await.unwrap();
        far.write_u8(2).await.unwrap();
        assert_eq!(near.read_u8().await.unwrap(), 2);
    }
}
