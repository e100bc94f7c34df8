//! Which connections have proved themselves: what the node server tells, in a form that can be waited for.

use std::collections::HashMap;

use ractor_cluster::NodeEventSubscription;
use ractor_cluster::node::NodeServerSessionInformation;
use tokio::sync::watch;

use super::server::full_name;
use crate::NodeName;

/// The full name of the peer, by the label of each connection that has proved the cookie and has not ended.
#[derive(Debug, Default)]
pub(super) struct Sessions(HashMap<String, String>);

impl Sessions {
    /// The full name of a connection's peer, if that has proved itself, and the connection has not ended.
    pub(super) fn peer(&self, label: &str) -> Option<&str> {
        self.0.get(label).map(String::as_str)
    }

    /// Whether a node is connected, by whichever connection.
    pub(super) fn connected(&self, node: &NodeName) -> bool {
        let node = full_name(node);
        self.0.values().any(|peer| *peer == node)
    }
}

/// Receives the node server's events.
#[derive(Debug)]
pub(super) struct Subscription(watch::Sender<Sessions>);

impl Subscription {
    pub(super) fn new() -> (Self, watch::Receiver<Sessions>) {
        let (sender, receiver) = watch::channel(Sessions::default());
        (Self(sender), receiver)
    }
}

impl NodeEventSubscription for Subscription {
    fn node_session_opened(&self, _: NodeServerSessionInformation) {}

    fn node_session_authenticated(&self, session: NodeServerSessionInformation) {
        if let Some(peer) = session.peer_name {
            self.0.send_modify(|sessions| {
                sessions.0.insert(session.peer_addr, peer.name);
            });
        }
    }

    fn node_session_disconnected(&self, session: NodeServerSessionInformation) {
        self.0.send_if_modified(|sessions| sessions.0.remove(&session.peer_addr).is_some());
    }
}
