use std::path::Path;

use counter_keyspace::{KeyspaceError, Operation, Outcome, SessionError};
use counter_protocol::CounterName;
use counter_store::StoreOptions;

use super::tests::{ask, tell};
use super::*;
use crate::durability::{AcknowledgeError, Durability};
use crate::ledger::{MAX_REPLICAS, Total};
use crate::wire::{Batch, Entry, Identity, Reply, Request, StoreIdentity};

/// A peer that is never there.
const NOBODY: &str = "127.0.0.1:1";

fn options(name: &str, dir: &Path, peers: &[&str]) -> NodeOptions {
    let store =
        NodeStoreOptions { dir: dir.join("data"), options: StoreOptions::default(), accept_rollback: false };
    NodeOptions {
        peers: peers.iter().map(ToString::to_string).collect(),
        store: Some(store),
        ..NodeOptions::new(name.parse().unwrap(), Cookie::generate())
    }
}

async fn start(name: &str, dir: &Path, peers: &[&str]) -> Node {
    Node::start(options(name, dir, peers)).await.unwrap()
}

/// Shuts a node down that cannot hand over to the peer that is never there.
async fn stop(node: Node) {
    assert!(matches!(node.shutdown().await, Ok(()) | Err(HandOverError::Lacking { .. })));
}

fn other() -> ReplicaId {
    ReplicaId { node: "other".parse().unwrap(), incarnation: 1 }
}

fn batch(of: &ReplicaId, value: i64, operations: u64) -> Batch {
    let entry = Entry { of: CounterName::from_static("a"), value, operations };
    Batch { from: other(), columns: vec![(of.clone(), vec![entry])] }
}

async fn total(node: &Node) -> (i128, usize) {
    let replicas = node.handle().status().await.unwrap().replicas;
    let counted = replicas.iter().filter(|(_, totals)| totals.names > 0).count();
    (node.handle().value("a").await.unwrap().total.value, counted)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_start_is_a_new_replica_and_what_was_counted_before_stays() {
    let dir = tempfile::tempdir().unwrap();
    let mut incarnations = Vec::new();
    for life in 1..=3 {
        let node = start("restarts", dir.path(), &[NOBODY]).await;
        incarnations.push(node.replica().incarnation);
        assert_eq!(total(&node).await, (life - 1, usize::try_from(life - 1).unwrap()));
        node.handle().increment_at("a", 1, Durability::Fsync).await.unwrap();
        assert_eq!(total(&node).await, (life, usize::try_from(life).unwrap()));
        stop(node).await;
    }
    assert!(incarnations.is_sorted_by(|a, b| a < b), "{incarnations:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_have_counted_is_there_after_a_restart_and_a_commit_says_when() {
    let dir = tempfile::tempdir().unwrap();
    let node = start("keeps", dir.path(), &[NOBODY]).await;
    tell(&node, batch(&other(), 7, 2)).await;
    assert_eq!(ask(&node, "other", Request::Commit { from: other() }).await, Some(Reply::Committed));
    let rounds = node.store.as_ref().unwrap().committed().borrow().rounds;
    assert!(rounds > 0);
    tell(&node, batch(&other(), 9, 3)).await;
    stop(node).await;
    let node = start("keeps", dir.path(), &[NOBODY]).await;
    assert_eq!(total(&node).await, (9, 1));
    stop(node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replicator_that_is_killed_loses_nothing_that_the_store_has_yet_to_commit() {
    let dir = tempfile::tempdir().unwrap();
    let node = start("kills", dir.path(), &[NOBODY]).await;
    for n in 1..=5 {
        tell(&node, batch(&other(), 10 * n, n.unsigned_abs())).await;
        node.handle().keyspace().increment("a", 1).await.unwrap();
        let replicator = node.handle.replicator().unwrap();
        replicator.kill();
        replicator.wait(None).await.unwrap();
        assert_eq!(total(&node).await, (i128::from(11 * n), 2));
    }
    stop(node).await;
    let node = start("kills", dir.path(), &[NOBODY]).await;
    assert_eq!(total(&node).await, (55, 2));
    stop(node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_peers_stays_whole_until_its_first_one() {
    let dir = tempfile::tempdir().unwrap();
    for life in 1..=2 {
        let node = start("alone", dir.path(), &[]).await;
        node.handle().increment_at("a", 1, Durability::Fsync).await.unwrap();
        assert_eq!(node.handle().keyspace().value("a").await.unwrap(), Some(life));
        node.handle().keyspace().operate("b", Operation::Set(5)).await.unwrap();
        node.shutdown().await.unwrap();
    }
    // The first peer, and then none: it is replicated from then on.
    for peers in [&[NOBODY][..], &[]] {
        let node = start("alone", dir.path(), peers).await;
        assert_eq!(node.handle().keyspace().value("a").await.unwrap(), None);
        assert_eq!(total(&node).await, (2, 1));
        let refused = node.handle().keyspace().remove("a").await;
        assert_eq!(refused, Err(KeyspaceError::NeedsOneOwner { command: "remove" }));
        stop(node).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn guarantees_that_cannot_be_given_are_refused_at_once_and_nothing_is_counted() {
    let in_memory = NodeOptions::new("volatile".parse().unwrap(), Cookie::generate());
    let node = Node::start(in_memory).await.unwrap();
    let refused = node.handle().increment_at("a", 1, Durability::Fsync).await;
    assert_eq!(refused, Err(AcknowledgeError::NoStore));
    assert_eq!(total(&node).await, (0, 0));
    node.shutdown().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let node = start("lonely", dir.path(), &[NOBODY]).await;
    let two = NonZeroUsize::new(2).unwrap();
    let refused = node.handle().increment_at("a", 1, Durability::Replicated(two)).await;
    assert_eq!(refused, Err(AcknowledgeError::TooFewPeers { wanted: 2, connected: 0 }));
    assert_eq!(total(&node).await, (0, 0));
    stop(node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_belongs_to_one_incarnation_of_one_node() {
    let dir = tempfile::tempdir().unwrap();
    let add = || [("a", Operation::Add(2))];
    let node = start("sessions", dir.path(), &[NOBODY]).await;
    let handle = node.handle();
    let session = handle.open_session("client").unwrap();
    assert_eq!(session.incarnation, node.replica().incarnation);
    for _ in 0..3 {
        let applied = handle.apply_in_session(session, 1, add(), Durability::Fsync).await.unwrap();
        assert_eq!(applied.outcomes, [Outcome::Value(Some(2))]);
    }
    tell(&node, batch(&other(), 10, 1)).await;
    let counted = handle.add_and_get("a", 1, Durability::Fsync).await.unwrap();
    assert_eq!((counted.outcome, counted.others.value), (Outcome::Value(Some(3)), 10));
    let theirs = counter_keyspace::SessionId { incarnation: other().incarnation, number: 1 };
    let refused = handle.apply_in_session(theirs, 1, add(), Durability::Memory).await.unwrap_err();
    assert_eq!(refused.to_string(), "session belongs to node other; use it there");
    stop(node).await;
    let node = start("sessions", dir.path(), &[NOBODY]).await;
    let over = node.handle().apply_in_session(session, 1, add(), Durability::Fsync).await;
    assert_eq!(over, Err(AcknowledgeError::Session(SessionError::Expired)));
    assert_eq!(total(&node).await.0, 13);
    stop(node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_others_know_more_of_than_its_disk_acknowledges_nothing_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let node = start("overtaken", dir.path(), &[NOBODY]).await;
    node.handle().increment_at("a", 1, Durability::Fsync).await.unwrap();
    let claim = batch(node.replica(), 5, 5);
    assert_eq!(ask(&node, "other", Request::Merge(claim)).await, Some(Reply::Merged(Vec::new())));
    let refused = node.handle().increment_at("a", 1, Durability::Fsync).await;
    assert_eq!(refused, Err(AcknowledgeError::Alarm(Alarm::Overtaken)));
    assert_eq!(node.handle().status().await.unwrap().alarm, Some(Alarm::Overtaken));
    assert_eq!(node.alarmed().await, Alarm::Overtaken);
    stop(node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_answers_who_it_is_with_its_store_and_whether_it_has_recorded_the_asker() {
    let dir = tempfile::tempdir().unwrap();
    let node = start("lists", dir.path(), &[NOBODY]).await;
    let identify = Request::Identify { from: other(), store: Some([9; 16]) };
    let Some(Reply::Identity(Identity { replica, store: Some(store) })) = ask(&node, "other", identify).await
    else {
        panic!("it is answered");
    };
    assert_eq!(replica, *node.replica());
    assert_eq!(store, StoreIdentity { lists_asker: false, listed_by_asker: false, ..store });
    stop(node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_of_another_node_sees_what_is_durable() {
    let dir = tempfile::tempdir().unwrap();
    let mut slow = options("reads", dir.path(), &[NOBODY]);
    // No round comes by itself.
    slow.store.as_mut().unwrap().options.round_interval = Duration::from_secs(3600);
    let node = Node::start(slow).await.unwrap();
    node.handle().keyspace().increment("a", 3).await.unwrap();
    node.handle().keyspace().flush().await.unwrap();
    // What is on its way to the disk is not in the ledger.
    let read = Request::Read { from: other(), name: CounterName::from_static("a") };
    let Some(Reply::Entries(entries)) = ask(&node, "other", read).await else { panic!("it is answered") };
    assert_eq!(entries.len(), 1);
    assert_eq!((&entries[0].of, entries[0].value), (node.replica(), 3));
    let versions = node.handle().keyspace().versions().await.unwrap();
    let committed = node.store.as_ref().unwrap().committed().borrow().versions.clone();
    assert!(versions.iter().any(|version| committed[version.shard] > 0));
    assert_eq!(node.handle().status().await.unwrap().total(), Total { value: 3, operations: 1 });
    stop(node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_with_as_many_replicas_as_there_may_be_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let node = start("bound", dir.path(), &[NOBODY]).await;
    let replica = |incarnation| ReplicaId { node: "gone".parse().unwrap(), incarnation };
    let entry = Entry { of: CounterName::from_static("a"), value: 1, operations: 1 };
    let columns = (0..MAX_REPLICAS as u64).map(|n| (replica(n), vec![entry.clone()])).collect();
    tell(&node, Batch { from: other(), columns }).await;
    assert!(node.handle().status().await.unwrap().refused > 0);
    node.handle().increment_at("a", 1, Durability::Fsync).await.unwrap();
    stop(node).await;
    let refused = Node::start(options("bound", dir.path(), &[NOBODY])).await.unwrap_err().to_string();
    let line = "store knows as many replicas as there may be; \
                begin a new cluster with `counter-store dump --sum` of one node";
    assert_eq!(refused, line);
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_and_scans_have_what_others_have_counted() {
    let dir = tempfile::tempdir().unwrap();
    let node = start("sums", dir.path(), &[NOBODY]).await;
    tell(&node, batch(&other(), 7, 2)).await;
    let handle = node.handle();
    let operations = [("a", Operation::Add(5)), ("b", Operation::Add(1))];
    let applied = handle.apply_at(operations, Durability::Fsync).await.unwrap();
    assert_eq!(applied.outcomes, [Outcome::Value(Some(5)), Outcome::Value(Some(1))]);
    let [a, b] = ["a", "b"].map(CounterName::from_static);
    let others = handle.others_of([a.clone(), b.clone()].into()).await.unwrap();
    assert_eq!(others, [Total { value: 7, operations: 2 }, Total::default()]);
    let (mut names, next) = handle.scan(0, 9, b"").await.unwrap();
    names.sort_by(|(a, _), (b, _)| a.cmp(b));
    let expected = [(a, Total { value: 12, operations: 3 }), (b, Total { value: 1, operations: 1 })];
    assert_eq!((names, next), (expected.into(), None));
    // Nobody is connected who could have received anything.
    assert_eq!(handle.received(1, HAND_OVER_DEADLINE).await, Ok(0));
    stop(node).await;
}
