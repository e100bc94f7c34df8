//! Nodes of one cluster: they connect, agree on one connection, and find each other again.

use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use ractor_cluster::RactorClusterMessage;
use ractor_transport::{Limits, Transport, TransportError};
use tcp_proxy::TcpProxy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::node::{Event, LOCAL, Setup, patient, soon};

/// Many times the longest backoff of these tests: who dials in vain would be heard by then.
const QUIET: Duration = Duration::from_millis(500);

#[tokio::test]
async fn two_nodes_prove_themselves_by_tls_and_cookie() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::plain();
    let mut a = setup.clone().with_tls(directory.path(), "a").node("a", &[]).await;
    let mut b = setup.with_tls(directory.path(), "b").node("b", &[a.addr()]).await;
    a.proved("b").await;
    b.proved("a").await;
    assert_eq!(a.peers().await, ["b@b"]);
    assert_eq!(b.peers().await, ["a@a"]);
}

/// Exists on every node.
struct Everywhere;

#[derive(RactorClusterMessage)]
enum Nothing {
    Nothing,
}

impl Actor for Everywhere {
    type Msg = Nothing;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Nothing>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

#[tokio::test]
async fn after_the_proof_a_peer_may_send_more_than_before() {
    let (actor, _) = Actor::spawn(None, Everywhere, ()).await.unwrap();
    // The nodes tell each other of the group in one frame, at once after the proof.
    ractor::pg::join("g".repeat(300 * 1024), vec![actor.get_cell()]);
    let setup = patient(Setup::plain());
    let mut a = setup.node("a", &[]).await;
    let mut b = setup.node("b", &[a.addr()]).await;
    assert_eq!(soon(a.ready.recv()).await.as_deref(), Some("b@b"));
    assert_eq!(soon(b.ready.recv()).await.as_deref(), Some("a@a"));
    actor.stop(None);
}

#[tokio::test]
async fn nodes_that_dial_each_other_keep_one_connection_and_dial_no_more() {
    let (to_a, to_b) = (TcpProxy::start().await.unwrap(), TcpProxy::start().await.unwrap());
    let setup = Setup::plain();
    let mut a = setup.node("a", &[to_b.address()]).await;
    let mut b = setup.node("b", &[to_a.address()]).await;
    // Both have dialled before either is answered.
    soon(to_a.wait_for_accepted(1)).await;
    soon(to_b.wait_for_accepted(1)).await;
    to_a.set_target(a.addr());
    to_b.set_target(b.addr());
    for round in 1..=3 {
        a.proved("b").await;
        b.proved("a").await;
        while let Ok(event) = timeout(QUIET, a.events.recv()).await {
            assert!(event.is_some());
        }
        assert_eq!(a.peers().await, ["b@b"], "round {round}");
        assert_eq!(b.peers().await, ["a@a"], "round {round}");
        // The one that lost may have dialled once more, before it knew of the other.
        let dials = to_a.accepted() + to_b.accepted();
        assert!((round..=4 * round).contains(&dials), "{dials} dials in {round} rounds");
        assert!(timeout(QUIET, a.events.recv()).await.is_err());
        assert_eq!(to_a.accepted() + to_b.accepted(), dials);
        while b.events.try_recv().is_ok() {}
        to_a.close_connections();
        to_b.close_connections();
    }
}

#[tokio::test]
async fn a_dialler_that_reaches_a_connected_node_leaves_it_at_that_until_the_connection_ends() {
    let (to_a, to_b) = (TcpProxy::start().await.unwrap(), TcpProxy::start().await.unwrap());
    let setup = Setup::plain();
    let mut a = setup.node("a", &[to_b.address()]).await;
    let mut b = setup.node("b", &[to_a.address()]).await;
    to_a.set_target(a.addr());
    a.proved("b").await;
    b.proved("a").await;
    soon(to_b.wait_for_accepted(1)).await;
    to_b.set_target(b.addr());
    // b has a stream that a closes as soon as it has heard b's name; a has not even that.
    assert_eq!(b.next().await, Event::Opened);
    assert_eq!(b.next().await, Event::Ended(None));
    assert!(timeout(QUIET, b.events.recv()).await.is_err());
    assert!(a.events.try_recv().is_err());
    assert_eq!(to_b.accepted(), 1);
    // One of them dials again, whichever comes first.
    to_a.close_connections();
    a.proved("b").await;
    b.proved("a").await;
}

#[tokio::test]
async fn a_seed_that_leads_back_to_the_node_is_dialled_until_it_leads_to_another() {
    let proxy = TcpProxy::start().await.unwrap();
    let setup = Setup::plain();
    let mut a = setup.node("a", &[proxy.address()]).await;
    proxy.set_target(a.addr());
    soon(proxy.wait_for_accepted(4)).await;
    let mut b = setup.node("b", &[]).await;
    proxy.set_target(b.addr());
    a.proved("b").await;
    b.proved("a").await;
    assert_eq!(a.peers().await, ["b@b"]);
}

#[tokio::test]
async fn a_lost_connection_is_dialled_again() {
    let proxy = TcpProxy::start().await.unwrap();
    let setup = Setup::plain();
    let mut a = setup.node("a", &[]).await;
    let mut b = setup.node("b", &[proxy.address()]).await;
    proxy.set_target(a.addr());
    for round in 1..=3 {
        soon(proxy.wait_for_accepted(round)).await;
        a.proved("b").await;
        b.proved("a").await;
        proxy.close_connections();
        assert_eq!(b.ended().await.as_deref(), Some("a@a"));
    }
}

#[tokio::test]
async fn a_transport_that_is_shut_down_takes_its_connections_along_and_frees_its_address() {
    let setup = Setup::plain();
    let mut a = setup.node("a", &[]).await;
    let mut b = setup.node("b", &[a.addr()]).await;
    a.proved("b").await;
    b.proved("a").await;

    let addr = a.addr();
    let elsewhere = Transport::start(setup.options(&a.name, LOCAL, &[]), a.server.clone()).await.unwrap();
    soon(std::mem::replace(&mut a.transport, elsewhere).shutdown()).await;
    assert_eq!(b.ended().await.as_deref(), Some("a@a"));
    let again = setup.options(&a.name, addr, &[]);
    a.transport = Transport::start(again, a.server.clone()).await.unwrap();
    b.proved("a").await;
}

#[tokio::test]
async fn a_peer_that_goes_silent_is_dropped_and_one_that_pings_is_not() {
    let setup = Setup::plain();
    let hasty = Setup { limits: Limits { idle: Duration::from_secs(6), ..setup.limits }, ..setup.clone() };
    let (mute, good) = (TcpProxy::start().await.unwrap(), TcpProxy::start().await.unwrap());
    let mut a = hasty.node("a", &[mute.address(), good.address()]).await;
    let mut b = setup.node("b", &[]).await;
    let mut c = setup.node("c", &[]).await;
    mute.set_target(b.addr());
    a.proved("b").await;
    b.proved("a").await;
    good.set_target(c.addr());
    a.proved("c").await;
    c.proved("a").await;

    let paused = Instant::now();
    mute.pause();
    assert_eq!(a.ended().await.as_deref(), Some("b@b"));
    assert!(paused.elapsed() < Duration::from_secs(15), "{:?}", paused.elapsed());
    assert_eq!(a.peers().await, ["c@c"]);
    assert!(c.events.try_recv().is_err());
}

#[tokio::test]
async fn the_parked_listener_of_a_node_server_lets_nobody_in() {
    let setup = Setup::plain();
    let mut a = setup.node("a", &[]).await;
    let mut b = setup.node("b", &[a.addr()]).await;
    let parked = a.proved("b").await;
    b.proved("a").await;
    let port: u16 = parked.strip_prefix("b:").unwrap().parse().unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(&[0; 64]).await.unwrap();
    let _ = soon(stream.read_to_end(&mut Vec::new())).await;
    assert_eq!(b.peers().await, ["a@a"]);
    assert!(b.events.try_recv().is_err());
}

#[tokio::test]
async fn a_transport_without_an_address_does_not_start() {
    let setup = Setup::plain();
    let a = setup.node("a", &[]).await;
    let start = |listen| Transport::start(setup.options(&a.name, listen, &[]), a.server.clone());
    let open = start("0.0.0.0:0".parse().unwrap()).await.unwrap_err();
    assert!(matches!(open, TransportError::Plaintext { .. }), "{open}");
    let taken = start(a.addr()).await.unwrap_err();
    assert!(matches!(taken, TransportError::Listen { .. }), "{taken}");
}
