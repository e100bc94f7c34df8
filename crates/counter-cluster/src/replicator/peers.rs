use std::collections::BTreeMap;

use ractor_transport::NodeName;
use tokio::time::Instant;

use crate::network::ConnectionId;
use crate::replica::ReplicaId;

/// The other nodes that are or were connected, by an index for each connection. Pure.
///
/// `C` is such a connection.
#[derive(Debug)]
pub(super) struct Peers<C> {
    by_index: BTreeMap<u64, Peer<C>>,
    next: u64,
}

#[derive(Debug)]
struct Peer<C> {
    id: ConnectionId,
    connection: C,
    /// `None` until the node has answered with its replica.
    identity: Option<Identity>,
    is_up: bool,
}

/// A peer's answer to the question who it is.
#[derive(Debug)]
struct Identity {
    replica: ReplicaId,
    last_heard_from: Instant,
    /// False once the same node has connected again.
    is_latest: bool,
}

/// The latest connection of a node.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Latest<'a> {
    pub(super) replica: &'a ReplicaId,
    /// Index of the connection, while there is one.
    pub(super) index: Option<u64>,
    pub(super) last_heard_from: Instant,
}

impl<C> Default for Peers<C> {
    fn default() -> Self {
        Self { by_index: BTreeMap::new(), next: 0 }
    }
}

impl<C> Peers<C> {
    /// Adds a connection that is not there yet, and returns its index.
    pub(super) fn add(&mut self, id: ConnectionId, connection: C) -> Option<u64> {
        if self.index_of(id).is_some() {
            return None;
        }
        let index = self.next;
        self.next += 1;
        self.by_index.insert(index, Peer { id, connection, identity: None, is_up: true });
        Some(index)
    }

    /// Notes the replica at the other end of a connection, in place of earlier ones of the same node.
    pub(super) fn identify(&mut self, index: u64, replica: ReplicaId, now: Instant) {
        self.by_index.retain(|_, peer| {
            let earlier = peer.identity.as_mut().filter(|identity| identity.replica.node == replica.node);
            let is_earlier = earlier.map(|identity| identity.is_latest = false).is_some();
            peer.is_up || !is_earlier
        });
        if let Some(peer) = self.by_index.get_mut(&index) {
            peer.identity = Some(Identity { replica, last_heard_from: now, is_latest: true });
        }
    }

    /// Ends a connection, and returns its index, and its replica if that is the latest one of its node.
    ///
    /// The latest connection of a node is remembered until the node connects again.
    pub(super) fn leave(&mut self, id: ConnectionId) -> Option<(u64, Option<&ReplicaId>)> {
        let index = self.index_of(id)?;
        let peer = self.by_index.get_mut(&index)?;
        if peer.identity.as_ref().is_some_and(|identity| identity.is_latest) {
            peer.is_up = false;
        } else {
            self.by_index.remove(&index);
        }
        let identity = self.by_index.get(&index).and_then(|peer| peer.identity.as_ref());
        Some((index, identity.map(|identity| &identity.replica)))
    }

    /// Notes that the peer at the other end of a connection has answered.
    pub(super) fn heard_from(&mut self, index: u64, now: Instant) {
        let peer = self.by_index.get_mut(&index).filter(|peer| peer.is_up);
        if let Some(identity) = peer.and_then(|peer| peer.identity.as_mut()) {
            identity.last_heard_from = now;
        }
    }

    /// Notes that a node has asked something.
    pub(super) fn heard_from_node(&mut self, node: &NodeName, now: Instant) {
        let identities = self.by_index.values_mut().filter_map(|peer| peer.identity.as_mut());
        for identity in identities.filter(|identity| identity.is_latest && identity.replica.node == *node) {
            identity.last_heard_from = now;
        }
    }

    /// Returns the index of a connection that is not over.
    pub(super) fn index_of(&self, id: ConnectionId) -> Option<u64> {
        self.by_index.iter().find(|(_, peer)| peer.is_up && peer.id == id).map(|(index, _)| *index)
    }

    /// Returns a connection that is not over.
    pub(super) fn connection(&self, index: u64) -> Option<&C> {
        self.by_index.get(&index).filter(|peer| peer.is_up).map(|peer| &peer.connection)
    }

    /// Returns the identities of all connections that are not over.
    pub(super) fn ids(&self) -> impl Iterator<Item = ConnectionId> {
        self.by_index.values().filter(|peer| peer.is_up).map(|peer| peer.id)
    }

    /// Returns the latest connection of each node, in the order of names.
    pub(super) fn latest(&self) -> Vec<Latest<'_>> {
        let latest = self.by_index.iter().filter_map(|(index, peer)| {
            let Identity { replica, last_heard_from, is_latest } = peer.identity.as_ref()?;
            let index = peer.is_up.then_some(*index);
            is_latest.then_some(Latest { replica, index, last_heard_from: *last_heard_from })
        });
        let mut latest: Vec<_> = latest.collect();
        latest.sort_unstable_by(|a, b| a.replica.node.cmp(&b.replica.node));
        latest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(node: &str, incarnation: u64) -> ReplicaId {
        ReplicaId { node: node.parse().unwrap(), incarnation }
    }

    const fn id(endpoint: u64) -> ConnectionId {
        ConnectionId(1, endpoint)
    }

    /// Node, incarnation and index of each node's latest connection.
    fn latest(peers: &Peers<()>) -> Vec<(&str, u64, Option<u64>)> {
        let peer = |Latest { replica, index, .. }| -> (&str, u64, Option<u64>) {
            let ReplicaId { node, incarnation } = replica;
            (node.as_str(), *incarnation, index)
        };
        peers.latest().into_iter().map(peer).collect()
    }

    #[tokio::test]
    async fn a_node_is_remembered_after_its_connection_until_it_connects_again() {
        let (mut peers, now) = (Peers::default(), Instant::now());
        assert_eq!(peers.add(id(1), ()), Some(0));
        assert_eq!(peers.add(id(1), ()), None);
        assert_eq!(latest(&peers), []);
        peers.identify(0, replica("b", 7), now);
        assert_eq!(latest(&peers), [("b", 7, Some(0))]);
        assert_eq!(peers.leave(id(1)), Some((0, Some(&replica("b", 7)))));
        assert_eq!(peers.leave(id(1)), None);
        assert_eq!(peers.connection(0), None);
        assert_eq!(latest(&peers), [("b", 7, None)]);
        assert_eq!(peers.add(id(2), ()), Some(1));
        peers.identify(1, replica("b", 8), now);
        assert_eq!(latest(&peers), [("b", 8, Some(1))]);
        assert_eq!(peers.by_index.len(), 1);
    }

    #[tokio::test]
    async fn the_end_of_an_earlier_connection_of_a_node_changes_nothing_for_the_latest() {
        let (mut peers, now) = (Peers::default(), Instant::now());
        for (pid, incarnation) in [(1, 7), (2, 8)] {
            let index = peers.add(id(pid), ()).unwrap();
            peers.identify(index, replica("b", incarnation), now);
        }
        assert_eq!((peers.connection(0), latest(&peers)), (Some(&()), vec![("b", 8, Some(1))]));
        assert_eq!(peers.leave(id(1)), Some((0, None)));
        assert_eq!(latest(&peers), [("b", 8, Some(1))]);
    }

    #[tokio::test]
    async fn a_connection_whose_node_has_not_answered_is_forgotten_when_it_leaves() {
        let mut peers = Peers::default();
        peers.add(id(1), ());
        assert_eq!(peers.leave(id(1)), Some((0, None)));
        assert!(peers.by_index.is_empty());
        assert_eq!(peers.add(id(1), ()), Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn answers_count_for_their_connection_and_questions_for_the_latest_one() {
        let (mut peers, start) = (Peers::default(), Instant::now());
        for (pid, incarnation) in [(1, 7), (2, 8)] {
            let index = peers.add(id(pid), ()).unwrap();
            peers.identify(index, replica("b", incarnation), start);
        }
        let now = start + std::time::Duration::from_secs(1);
        peers.heard_from(0, now);
        assert_eq!(peers.latest()[0].last_heard_from, start);
        peers.heard_from(1, now);
        assert_eq!(peers.latest()[0].last_heard_from, now);
        peers.leave(id(2));
        let later = now + std::time::Duration::from_secs(1);
        peers.heard_from(1, later);
        assert_eq!(peers.latest()[0].last_heard_from, now);
        peers.heard_from_node(&"b".parse().unwrap(), later);
        assert_eq!(peers.latest()[0].last_heard_from, later);
    }
}
