//! Strangers with many sockets: they have places for a while, and keep nobody out.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ractor_transport::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio::time::timeout;

use super::hostile::greeting;
use super::logs::Logs;
use super::node::{Setup, patient, soon};

/// Long enough to see that nothing happens.
const QUIET: Duration = Duration::from_millis(300);

/// Connects from an address of this machine, says something, and holds on until the other end does not.
async fn hold_on(from: Ipv4Addr, to: SocketAddr, says: &[u8]) {
    let socket = TcpSocket::new_v4().unwrap();
    let bound = socket.bind((from, 0).into());
    if let (Ok(()), Ok(mut stream)) = (bound, socket.connect(to).await)
        && stream.write_all(says).await.is_ok()
    {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    // Another may come in between, even if nothing of it had to wait.
    tokio::task::yield_now().await;
}

/// Sockets that are opened again as soon as they are closed, until this is dropped, and how often they were.
struct Crowd {
    opened: watch::Receiver<usize>,
    _sockets: JoinSet<()>,
}

impl Crowd {
    fn new(size: usize, to: SocketAddr, from: &'static [Ipv4Addr], says: &[u8]) -> Self {
        let (count, opened) = watch::channel(0);
        let mut sockets = JoinSet::new();
        for &from in from.iter().cycle().take(size) {
            let (count, says) = (count.clone(), says.to_vec());
            sockets.spawn(async move {
                loop {
                    count.send_modify(|opened| *opened += 1);
                    hold_on(from, to, &says).await;
                }
            });
        }
        Self { opened, _sockets: sockets }
    }

    /// Waits until sockets were opened again so often, from now on.
    async fn again(&mut self, times: usize) {
        let now = *self.opened.borrow();
        soon(self.opened.wait_for(|&opened| opened >= now + times)).await.unwrap();
    }
}

/// A node that comes later gets in, from the first of these addresses too, and one that is in stays so.
async fn keeps_nobody_out(size: usize, from: &'static [Ipv4Addr], says: &[u8]) {
    let (logs, begun) = (Logs::capture(), Instant::now());
    let directory = tempfile::tempdir().unwrap();
    let plain = patient(Setup::plain());
    let with_tls = ["a", "old", "new"].map(|name| plain.clone().with_tls(directory.path(), name));
    for [at_a, at_old, at_new] in [[(); 3].map(|()| plain.clone()), with_tls] {
        let mut a = at_a.node("a", &[]).await;
        let mut old = at_old.node("old", &[a.addr()]).await;
        a.proved("old").await;
        old.proved("a").await;

        let mut crowd = Crowd::new(size, a.addr(), from, says);
        crowd.again(2 * size).await;
        let mut new = at_new.node("new", &[a.addr()]).await;
        a.proved("new").await;
        new.proved("a").await;
        crowd.again(size).await;
        let disturbed: Vec<_> = std::iter::from_fn(|| old.events.try_recv().ok()).collect();
        assert_eq!(disturbed, []);
        let later: Vec<_> = std::iter::from_fn(|| new.events.try_recv().ok()).collect();
        assert_eq!(later, []);
        assert_eq!(a.peers().await.len(), 2);
    }
    // The first for each of the two listeners, and then one in ten seconds.
    let most = 2 + begun.elapsed().as_secs() / 10;
    let lines = logs.with(&["too many have not proved themselves"]).len() as u64;
    assert!(lines <= most, "{lines} of {most}");
}

#[tokio::test]
async fn sockets_that_are_reopened_from_one_address_keep_out_nobody_from_there() {
    keeps_nobody_out(200, &[Ipv4Addr::LOCALHOST], b"").await;
}

#[tokio::test]
async fn sockets_that_are_reopened_from_several_addresses_keep_nobody_out() {
    const FROM: &[Ipv4Addr] = &[
        Ipv4Addr::new(127, 0, 0, 1),
        Ipv4Addr::new(127, 0, 0, 2),
        Ipv4Addr::new(127, 0, 0, 3),
        Ipv4Addr::new(127, 0, 0, 4),
        Ipv4Addr::new(127, 0, 0, 5),
    ];
    keeps_nobody_out(500, FROM, b"").await;
}

#[tokio::test]
async fn reopened_sockets_that_greet_like_nodes_keep_nobody_out() {
    keeps_nobody_out(200, &[Ipv4Addr::LOCALHOST], &greeting()).await;
}

#[tokio::test]
async fn of_300_silent_sockets_those_that_came_last_are_held_as_many_as_one_address_may_have() {
    let setup = patient(Setup::plain());
    let a = setup.node("a", &[]).await;
    let mut silent = JoinSet::new();
    for number in 0..300 {
        let mut stream = TcpStream::connect(a.addr()).await.unwrap();
        silent.spawn(async move {
            let _ = stream.read_to_end(&mut Vec::new()).await;
            number
        });
    }
    let mut closed = Vec::new();
    for _ in 0..300 - setup.limits.handshakes_per_address {
        closed.push(soon(silent.join_next()).await.unwrap().unwrap());
    }
    assert!(timeout(QUIET, silent.join_next()).await.is_err());
    closed.sort_unstable();
    assert!(closed.iter().copied().eq(0..300 - setup.limits.handshakes_per_address), "{closed:?}");
}

#[tokio::test]
async fn a_silent_socket_is_closed_at_the_deadline() {
    let setup = Setup::plain();
    let limits = Limits { handshake: Duration::from_millis(200), ..setup.limits };
    let a = Setup { limits, ..setup }.node("a", &[]).await;
    let mut stream = TcpStream::connect(a.addr()).await.unwrap();
    assert_eq!(soon(stream.read_to_end(&mut Vec::new())).await.unwrap(), 0);
}

#[tokio::test]
async fn no_more_peers_are_connected_than_the_limit_and_another_when_one_has_left() {
    let setup = patient(Setup::plain());
    let limits = Limits { connections: 1, ..setup.limits };
    let mut a = Setup { limits, ..setup.clone() }.node("a", &[]).await;
    let mut old = setup.node("old", &[a.addr()]).await;
    a.proved("old").await;
    old.proved("a").await;
    let mut new = setup.node("new", &[a.addr()]).await;
    assert!(timeout(QUIET, new.events.recv()).await.is_err());
    assert_eq!(a.peers().await, ["old@old"]);
    drop(old);
    a.proved("new").await;
    new.proved("a").await;
}
