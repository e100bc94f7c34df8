//! Nodes over a network within the test's process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use counter_cluster::{Connection, ConnectionId, HandOverError, Inbox, Network, Node, ReplicaOptions};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr};
use ractor_transport::NodeName;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// Endpoints of all nodes by name, each with a number of its own. Nodes that are cut off have none.
#[derive(Clone, Debug, Default)]
struct Hub(Arc<Mutex<BTreeMap<NodeName, (u64, Inbox)>>>);

impl Hub {
    fn change(&self, change: impl FnOnce(&mut BTreeMap<NodeName, (u64, Inbox)>)) {
        let mut endpoints = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut endpoints);
        for (_, inbox) in endpoints.values() {
            let _ = inbox.connections_changed();
        }
    }

    fn get(&self, name: &NodeName) -> Option<(u64, Inbox)> {
        self.0.lock().expect("nobody panics with it").get(name).cloned()
    }
}

/// Name of a node that never answers.
const MUTE: &str = "mute";

/// Hub as one node sees it.
#[derive(Clone, Debug)]
struct Local {
    hub: Hub,
    name: NodeName,
}

#[derive(Debug)]
struct Link {
    local: Local,
    to: NodeName,
    endpoint: u64,
}

struct Endpoint(Local);

impl Actor for Endpoint {
    type Msg = ();
    type State = ();
    type Arguments = Inbox;

    async fn pre_start(&self, myself: ActorRef<()>, inbox: Inbox) -> Result<(), ActorProcessingErr> {
        let Local { hub, name } = &self.0;
        hub.change(|endpoints| _ = endpoints.insert(name.clone(), (myself.get_id().pid(), inbox)));
        Ok(())
    }
}

impl Network for Local {
    fn start_endpoint(
        &self,
        inbox: Inbox,
        supervisor: ActorCell,
    ) -> BoxFuture<'static, Result<ActorCell, SpawnErr>> {
        let endpoint = Endpoint(self.clone());
        async move { Ok(Actor::spawn_linked(None, endpoint, inbox, supervisor).await?.0.get_cell()) }.boxed()
    }

    fn connections(&self) -> Vec<Arc<dyn Connection>> {
        let endpoints = self.hub.0.lock().expect("nobody panics with it");
        if !endpoints.contains_key(&self.name) {
            return Vec::new();
        }
        let others = endpoints.iter().filter(|(name, _)| **name != self.name);
        let link = |(to, (endpoint, _)): (&NodeName, &(u64, Inbox))| -> Arc<dyn Connection> {
            Arc::new(Link { local: self.clone(), to: to.clone(), endpoint: *endpoint })
        };
        others.map(link).collect()
    }
}

impl Connection for Link {
    fn id(&self) -> ConnectionId {
        ConnectionId(0, self.endpoint)
    }

    fn node(&self) -> Option<NodeName> {
        Some(self.to.clone())
    }

    fn ask(&self, request: Vec<u8>, deadline: Duration) -> BoxFuture<'static, Option<Vec<u8>>> {
        if self.to.as_str() == MUTE {
            return async { None }.boxed();
        }
        let (reply, answer) = oneshot::channel();
        let is_connected = self.local.hub.get(&self.local.name).is_some();
        let inbox =
            self.local.hub.get(&self.to).filter(|(endpoint, _)| is_connected && *endpoint == self.endpoint);
        if let Some((_, inbox)) = inbox {
            inbox.deliver(self.local.name.clone(), &request, reply.into()).expect("it makes sense");
        }
        async move { timeout(deadline, answer).await.ok()?.ok() }.boxed()
    }
}

async fn node(hub: &Hub, name: &str) -> Node {
    let name: NodeName = name.parse().expect("it is a name");
    let options = ReplicaOptions {
        name: name.clone(),
        digest_key: [1, 2],
        has_peers: true,
        incarnation: Some(7),
        keyspace: counter_keyspace::KeyspaceOptions::default(),
        store: None,
    };
    Node::start_on(Arc::new(Local { hub: hub.clone(), name }), options).await.expect("nodes start")
}

#[tokio::test(start_paused = true)]
async fn a_node_that_has_not_said_who_it_is_lacks_what_is_handed_over() {
    let hub = Hub::default();
    let node = node(&hub, "a").await;
    let (_, inbox) = hub.get(node.name()).expect("it is there");
    let mute: NodeName = MUTE.parse().expect("it is a name");
    hub.change(|endpoints| _ = endpoints.insert(mute.clone(), (u64::MAX, inbox)));
    node.handle().keyspace().increment("a", 1).await.expect("it counts");
    // The replicator has seen the connection when it has answered.
    node.handle().status().await.expect("it runs");
    let lacking = HandOverError::Lacking { nodes: vec![mute], never_connected: Vec::new() };
    assert_eq!(node.shutdown().await, Err(lacking));
}

async fn all_have(nodes: &[Node], value: i128) {
    for node in nodes {
        while node.handle().value("a").await.expect("it runs").total.value != value {
            sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_over_a_network_of_the_callers_agree_also_after_a_cut() {
    let hub = Hub::default();
    let nodes = [node(&hub, "a").await, node(&hub, "b").await, node(&hub, "c").await];
    assert_eq!(nodes.each_ref().map(|node| node.local_addr()), [None; 3]);
    assert!(nodes.iter().all(|node| node.replica().incarnation & u64::from(u32::MAX) == 7));
    for node in &nodes {
        node.handle().keyspace().increment("a", 1).await.unwrap();
    }
    all_have(&nodes, 3).await;
    let away = hub.get(nodes[2].name()).unwrap();
    hub.change(|endpoints| _ = endpoints.remove(nodes[2].name()));
    nodes[0].handle().keyspace().increment("a", 10).await.unwrap();
    all_have(&nodes[..2], 13).await;
    assert_eq!(nodes[2].handle().value("a").await.unwrap().total.value, 3);
    hub.change(|endpoints| _ = endpoints.insert(nodes[2].name().clone(), away));
    all_have(&nodes, 13).await;
    for node in nodes {
        node.shutdown().await.unwrap();
    }
}
