use counter_protocol::CounterName;
use ractor::RpcReplyPort;
use tokio::sync::oneshot;

use super::*;
use crate::ledger::Total;
use crate::replicator::message::ReplicatorMessage;
use crate::wire::{Batch, Entry, Reply, Request, decode};

pub(super) async fn node(name: &str) -> Node {
    Node::start(NodeOptions::new(name.parse().unwrap(), Cookie::generate())).await.unwrap()
}

/// Asks as another node would. `None` if it is refused.
pub(super) async fn ask(node: &Node, sender: &str, request: Request) -> Option<Reply> {
    let (reply, answer) = oneshot::channel();
    let asked = ReplicatorMessage::Asked(sender.parse().unwrap(), request, RpcReplyPort::from(reply));
    node.handle.replicator().expect("it has started").cast(asked).expect("it runs");
    Some(decode::<Reply>(&answer.await.ok()?).expect("it makes sense"))
}

/// As if another node had told it.
pub(super) async fn tell(node: &Node, batch: Batch) {
    let sender = batch.from.node.to_string();
    assert_eq!(ask(node, &sender, Request::Merge(batch)).await, Some(Reply::Merged(Vec::new())));
}

#[tokio::test]
async fn a_request_in_the_name_of_another_node_is_refused() {
    let node = node("refuses").await;
    let from = ReplicaId { node: "other".parse().unwrap(), incarnation: 1 };
    let entry = Entry { of: CounterName::from_static("a"), value: 1, operations: 1 };
    let batch = Batch { from: from.clone(), columns: vec![(from.clone(), vec![entry])] };
    for request in [Request::Merge(batch.clone()), Request::Flush { from: from.clone() }] {
        assert_eq!(ask(&node, "mallory", request).await, None);
    }
    assert_eq!(node.handle().status().await.unwrap().total(), Total::default());
    tell(&node, batch).await;
    assert_eq!(node.handle().status().await.unwrap().total().operations, 1);
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_shutdown_names_nodes_that_are_absent_and_all_if_nothing_can_be_handed_over() {
    let nodes = [node("absent").await, node("stopped").await];
    for node in &nodes {
        // Before it is known, and again once its successor has started.
        for _ in 0..2 {
            node.ever_connected.send_modify(|nodes| _ = nodes.insert("other".parse().unwrap()));
            let before = node.handle.replicator().unwrap();
            before.kill();
            before.wait(None).await.unwrap();
            node.handle().status().await.unwrap();
        }
    }
    let [absent, stopped] = nodes;
    let other = vec!["other".parse().unwrap()];
    assert_eq!(absent.handle.refresh(None, HAND_OVER_DEADLINE).await.unwrap(), other);
    let lacking = Err(HandOverError::Lacking { nodes: other, never_connected: Vec::new() });
    assert_eq!(absent.shutdown().await, lacking);
    stopped.supervisor.shutdown().await;
    assert_eq!(stopped.shutdown().await, lacking);
}

#[tokio::test]
async fn a_replicator_that_is_killed_goes_on_with_what_it_knew() {
    let node = node("killed").await;
    let other = ReplicaId { node: "other".parse().unwrap(), incarnation: 1 };
    let handle = node.handle();
    for n in 1..=5_i64 {
        let entry = Entry { of: CounterName::from_static("a"), value: 10 * n, operations: n.unsigned_abs() };
        tell(&node, Batch { from: other.clone(), columns: vec![(other.clone(), vec![entry])] }).await;
        handle.keyspace().increment("a", 1).await.unwrap();
        let before = handle.replicator().unwrap();
        before.kill();
        before.wait(None).await.unwrap();
        let total = Total { value: i128::from(11 * n), operations: 2 * u128::from(n.unsigned_abs()) };
        assert_eq!(handle.value("a").await.unwrap().total, total);
        assert_eq!(handle.status().await.unwrap().total(), total);
    }
    node.shutdown().await.unwrap();
}
