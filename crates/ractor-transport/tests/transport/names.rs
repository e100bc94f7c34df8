//! Names of peers in their certificates, greetings and sessions, and the tickets that stand for them.

use ractor::ActorId;
use ractor_cluster::NodeServerMessage;
use ractor_transport::Peer;
use tcp_proxy::TcpProxy;
use tokio::sync::mpsc;

use super::logs::Logs;
use super::node::{Setup, TestNode, patient, soon};

/// A remote actor of each peer.
async fn actors(node: &TestNode) -> Vec<ActorId> {
    let sessions = ractor::call_t!(node.server, NodeServerMessage::GetSessions, 10_000).unwrap();
    sessions.into_keys().map(|node_id| ActorId::Remote { node_id, pid: 1 }).collect()
}

/// The one peer of a node.
async fn only_peer(node: &TestNode) -> Peer {
    let [actor] = actors(node).await[..] else { panic!("it has one peer") };
    node.transport.peers().peer_of(actor).expect("the peer is known")
}

/// Waits until something is so.
async fn until(mut is_so: impl FnMut() -> bool) {
    soon(async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_ticket_gives_the_name_of_the_peer_that_presents_it_as_long_as_they_are_connected() {
    let directory = tempfile::tempdir().unwrap();
    let plain = patient(Setup::plain());
    let with_tls = ["a", "b"].map(|name| plain.clone().with_tls(directory.path(), name));
    for [at_a, at_b] in [[plain.clone(), plain], with_tls] {
        let proxy = TcpProxy::start().await.unwrap();
        let mut a = at_a.node("a", &[]).await;
        let mut b = at_b.node("b", &[proxy.address()]).await;
        proxy.set_target(a.addr());
        a.proved("b").await;
        b.proved("a").await;

        let (b_at_a, a_at_b) = (only_peer(&a).await, only_peer(&b).await);
        let (known_to_a, known_to_b) = (a.transport.peers(), b.transport.peers());
        assert_eq!((b_at_a.name.as_str(), a_at_b.name.as_str()), ("b", "a"));
        assert_eq!(known_to_a.verify(a_at_b.ticket).as_ref(), Some(&b.name));
        assert_eq!(known_to_b.verify(b_at_a.ticket).as_ref(), Some(&a.name));
        assert_eq!(known_to_a.verify(b_at_a.ticket), None);

        let actors = actors(&a).await;
        proxy.close_connections();
        a.ended().await;
        until(|| known_to_a.verify(a_at_b.ticket).is_none()).await;
        assert_eq!(known_to_a.peer_of(actors[0]), None);
        a.proved("b").await;
        b.proved("a").await;
        let again = only_peer(&b).await;
        assert!(again.name == a_at_b.name && again.ticket != a_at_b.ticket);
        assert_eq!(known_to_a.verify(again.ticket).as_ref(), Some(&b.name));
    }
}

#[tokio::test]
async fn who_greets_by_another_name_than_its_certificates_is_refused_and_named_in_the_log() {
    let (directory, logs) = (tempfile::tempdir().unwrap(), Logs::capture());
    let plain = patient(Setup::plain());
    let [good, bad] = ["a", "b"].map(|name| plain.clone().with_tls(directory.path(), name));
    let (to_a, to_liar) = (TcpProxy::start().await.unwrap(), TcpProxy::start().await.unwrap());
    let mut a = good.node("a", &[to_liar.address()]).await;
    let liar = bad.node("c", &[to_a.address()]).await;
    to_a.set_target(a.addr());
    to_liar.set_target(liar.addr());
    soon(to_a.wait_for_accepted(3)).await;
    soon(to_liar.wait_for_accepted(3)).await;
    // Not even ractor_cluster has seen it.
    assert!(a.events.try_recv().is_err());
    let told = ["has the certificate of node b", "calls itself c"];
    until(|| !logs.with(&[&told[..], &["connection refused"]].concat()).is_empty()).await;
    assert_eq!(logs.with(&[&told[..], &["seed"]].concat()).len(), 1);
}

#[tokio::test]
async fn whose_session_has_another_name_than_its_greeting_is_cut_off_and_named_in_the_log() {
    let (directory, logs) = (tempfile::tempdir().unwrap(), Logs::capture());
    let plain = patient(Setup::plain());
    let with_tls = ["a", "b"].map(|name| plain.clone().with_tls(directory.path(), name));
    for [good, bad] in [[plain.clone(), plain], with_tls] {
        for a_dials in [false, true] {
            let proxy = TcpProxy::start().await.unwrap();
            let seeds = [proxy.address()];
            let (a_seeds, liar_seeds) = if a_dials { (&seeds[..], &[][..]) } else { (&[][..], &seeds[..]) };
            let mut a = good.node("a", a_seeds).await;
            let liar = bad.node_as("b", "victim", liar_seeds).await;
            proxy.set_target(if a_dials { liar.addr() } else { a.addr() });
            for _ in 0..2 {
                a.proved("victim").await;
                assert_eq!(a.ended().await.as_deref(), Some("victim@victim"));
            }
            soon(proxy.wait_for_accepted(3)).await;
            let told = if a_dials { "not connected" } else { "connection refused" };
            until(|| !logs.with(&[told, "node b calls itself \"victim@victim\""]).is_empty()).await;
        }
    }
}

#[tokio::test]
async fn a_node_does_not_fill_the_log_about_a_seed_that_leads_back_to_it() {
    let logs = Logs::capture();
    let proxy = TcpProxy::start().await.unwrap();
    let mut a = Setup::plain().node("a", &[proxy.address()]).await;
    proxy.set_target(a.addr());
    soon(proxy.wait_for_accepted(10)).await;
    assert_eq!(logs.with(&[]).len(), 1);
    assert_eq!(logs.with(&["seed", "has this node's name"]).len(), 1);
    assert!(a.events.try_recv().is_err_and(|error| error == mpsc::error::TryRecvError::Empty));
}
