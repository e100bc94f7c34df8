//! The connected peers, as handshakes and the node server report them.

use std::collections::HashMap;

use ractor::ActorId;
use ractor_cluster::node::NodeServerSessionInformation;
use ractor_cluster::{NodeEventSubscription, NodeId};
use tokio::sync::watch;

use crate::node_name::NodeName;
use crate::ticket::Ticket;

/// View of the connected peers of a [`Transport`](crate::Transport), which changes as connections come and go.
///
/// Names are verified by certificates with [`Security::Tls`](crate::Security::Tls). Without TLS they are claims.
#[derive(Clone, Debug, Default)]
pub struct Peers(watch::Sender<Connections>);

/// The node at the other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Name of the node.
    pub name: NodeName,
    /// Ticket that it has issued to this node, to be presented to it in each request over this connection.
    pub ticket: Ticket,
}

/// Keeps a connection among the [`Peers`] until it is dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    peers: Peers,
    label: String,
}

/// Subscription to the node server's events.
#[derive(Debug)]
pub(crate) struct Subscription(Peers);

/// Error: the node server has stopped, so there are no connections any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServerGone;

/// Connections by their labels.
#[derive(Debug, Default)]
struct Connections {
    by_label: HashMap<String, Connection>,
    server_gone: bool,
}

#[derive(Debug)]
struct Connection {
    peer: Peer,
    /// Ticket that the peer has from this node.
    issued: Ticket,
    /// Number that the node server has given to it.
    session: Option<NodeId>,
    /// Full name that the peer gave to `ractor_cluster`, once it has proved the cookie and as long as the session
    /// lasts.
    proved: Option<String>,
}

impl Peers {
    /// Returns the name of the node that this ticket was issued to, as long as the connection lives.
    #[must_use]
    pub fn verify(&self, ticket: Ticket) -> Option<NodeName> {
        self.0.borrow().holder(ticket).cloned()
    }

    /// Returns the peer that a remote actor is on.
    ///
    /// `None` for a local actor, and when the connection that the actor was reached by is over.
    #[must_use]
    pub fn peer_of(&self, actor: ActorId) -> Option<Peer> {
        match actor {
            ActorId::Remote { node_id, .. } => self.0.borrow().of_session(node_id).cloned(),
            ActorId::Local(_) => None,
        }
    }

    pub(crate) fn subscription(&self) -> Subscription {
        Subscription(self.clone())
    }

    /// Adds a connection, before the node server has it.
    pub(crate) fn enter(&self, label: String, peer: Peer, issued: Ticket) -> Entry {
        let connection = Connection { peer, issued, session: None, proved: None };
        self.0.send_modify(|connections| _ = connections.by_label.insert(label.clone(), connection));
        Entry { peers: self.clone(), label }
    }

    /// Returns true if a node is connected, by any connection.
    pub(crate) fn connected(&self, node: &NodeName) -> bool {
        self.0.borrow().connected(node)
    }

    /// Waits until a node is not connected.
    pub(crate) async fn disconnected(&self, node: &NodeName) -> Result<(), ServerGone> {
        self.when(|connections| (!connections.connected(node)).then_some(())).await
    }

    /// Waits until `find` finds something.
    async fn when<T>(&self, find: impl Fn(&Connections) -> Option<T>) -> Result<T, ServerGone> {
        let mut found = None;
        let mut look = |connections: &Connections| {
            found = find(connections);
            found.is_some() || connections.server_gone
        };
        // The sender is in `self`.
        let _ = self.0.subscribe().wait_for(&mut look).await;
        found.ok_or(ServerGone)
    }
}

impl Entry {
    /// Waits until the peer has proved the cookie, and returns the full name that it gave then.
    pub(crate) async fn proved(&self) -> Result<String, ServerGone> {
        self.peers.when(|connections| connections.by_label.get(&self.label)?.proved.clone()).await
    }

    /// Waits until the node server knows that the session is over.
    pub(crate) async fn unproved(&self) -> Result<(), ServerGone> {
        let gone = |connections: &Connections| {
            connections.by_label.get(&self.label).is_none_or(|connection| connection.proved.is_none())
        };
        self.peers.when(|connections| gone(connections).then_some(())).await
    }

    pub(crate) fn label(&self) -> &str {
        &self.label
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.peers.0.send_modify(|connections| _ = connections.by_label.remove(&self.label));
    }
}

impl Connections {
    fn holder(&self, ticket: Ticket) -> Option<&NodeName> {
        let connection = self.by_label.values().find(|connection| connection.issued == ticket)?;
        Some(&connection.peer.name)
    }

    fn of_session(&self, session: NodeId) -> Option<&Peer> {
        let connection = self.by_label.values().find(|connection| connection.session == Some(session))?;
        Some(&connection.peer)
    }

    fn connected(&self, node: &NodeName) -> bool {
        self.by_label.values().any(|connection| connection.proved.is_some() && connection.peer.name == *node)
    }
}

impl Subscription {
    /// Changes a connection, unless it belongs to another transport of the node server.
    fn change(&self, label: &str, change: impl FnOnce(&mut Connection)) {
        self.0.0.send_if_modified(|connections| match connections.by_label.get_mut(label) {
            Some(connection) => {
                change(connection);
                true
            }
            None => false,
        });
    }
}

impl NodeEventSubscription for Subscription {
    fn node_session_opened(&self, session: NodeServerSessionInformation) {
        self.change(&session.peer_addr, |connection| connection.session = Some(session.node_id));
    }

    fn node_session_authenticated(&self, session: NodeServerSessionInformation) {
        let name = session.peer_name.map(|peer| peer.name);
        self.change(&session.peer_addr, |connection| connection.proved = name);
    }

    fn node_session_disconnected(&self, session: NodeServerSessionInformation) {
        self.change(&session.peer_addr, |connection| (connection.session, connection.proved) = (None, None));
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.0.0.send_modify(|connections| connections.server_gone = true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &str) -> Peer {
        Peer { name: name.parse().unwrap(), ticket: Ticket::issue() }
    }

    #[test]
    fn a_ticket_is_good_for_the_connection_it_was_issued_for() {
        let (peers, b, [first, second, stranger]) =
            (Peers::default(), peer("b"), [(); 3].map(|()| Ticket::issue()));
        let entries =
            [("1", first), ("2", second)].map(|(label, issued)| peers.enter(label.into(), b.clone(), issued));
        assert_eq!(peers.verify(first), Some(b.name.clone()));
        assert_eq!(peers.verify(second), Some(b.name.clone()));
        // Neither one from elsewhere, nor the one that this node has to present.
        assert_eq!((peers.verify(stranger), peers.verify(b.ticket)), (None, None));
        let [one, two] = entries;
        drop(one);
        assert_eq!((peers.verify(first), peers.verify(second)), (None, Some(b.name)));
        drop(two);
        assert_eq!(peers.verify(second), None);
    }

    #[test]
    fn a_remote_actor_is_of_the_peer_whose_connection_it_came_by() {
        let peers = Peers::default();
        let of = |node_id| peers.peer_of(ActorId::Remote { node_id, pid: 7 });
        let entries = ["b", "c"].map(|name| peers.enter(name.into(), peer(name), Ticket::issue()));
        assert_eq!(of(0), None);
        let subscription = peers.subscription();
        for (label, number) in [("c", 0), ("b", 1), ("of another transport", 2)] {
            subscription.change(label, |connection| connection.session = Some(number));
        }
        let names = [0, 1, 2].map(|number| of(number).map(|peer| peer.name.to_string()));
        assert_eq!(names, [Some("c".into()), Some("b".into()), None]);
        assert_eq!(peers.peer_of(ActorId::Local(0)), None);
        drop(entries);
        assert_eq!(of(0), None);
    }

    #[tokio::test]
    async fn who_waits_for_a_server_that_stops_is_told() {
        let peers = Peers::default();
        let entry = peers.enter("b".into(), peer("b"), Ticket::issue());
        let subscription = peers.subscription();
        let (proved, ()) = tokio::join!(entry.proved(), async { drop(subscription) });
        assert_eq!(proved, Err(ServerGone));
    }
}
