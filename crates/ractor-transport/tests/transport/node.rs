//! A node server with a transport, whose sessions a test can watch.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ractor::ActorRef;
use ractor_cluster::node::NodeServerSessionInformation;
use ractor_cluster::{NodeEventSubscription, NodeServerMessage};
use ractor_supervision::Backoff;
use ractor_transport::{
    Cookie, Identity, Limits, NodeName, Security, Transport, TransportOptions, certificates, node_server,
};
use tokio::sync::mpsc;

/// Longer than anything here takes, unless it never happens.
const NEVER: Duration = Duration::from_secs(30);

pub(crate) const MAX_FRAME_BYTES: u64 = 1024 * 1024;

pub(crate) const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Event of a node's sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Opened,
    /// With a peer, which says so of its own (parked) listener.
    Proved(String, String),
    Ended(Option<String>),
}

/// Configuration of a test's node.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) cookie: Cookie,
    pub(crate) security: Security,
    pub(crate) limits: Limits,
}

pub(crate) struct TestNode {
    pub(crate) name: NodeName,
    pub(crate) server: ActorRef<NodeServerMessage>,
    pub(crate) transport: Transport,
    pub(crate) events: mpsc::Receiver<Event>,
    /// Full names of peers whose first messages, as many as they are, have all arrived.
    pub(crate) ready: mpsc::Receiver<String>,
}

impl Setup {
    /// Without TLS, and soon back at a seed.
    pub(crate) fn plain() -> Self {
        let backoff = Backoff { first: Duration::from_millis(10), max: Duration::from_millis(40) };
        let limits = Limits { backoff, ..Limits::default() };
        Self { cookie: Cookie::generate(), security: Security::Plain, limits }
    }

    pub(crate) fn with_tls(self, directory: &Path, name: &str) -> Self {
        Self { security: Security::Tls(identity(directory, name)), ..self }
    }

    pub(crate) async fn node(&self, name: &str, seeds: &[SocketAddr]) -> TestNode {
        self.node_as(name, name, seeds).await
    }

    /// A node that goes by another name in its sessions than in its greetings.
    pub(crate) async fn node_as(&self, name: &str, in_sessions: &str, seeds: &[SocketAddr]) -> TestNode {
        let (name, in_sessions): (NodeName, NodeName) = (name.parse().unwrap(), in_sessions.parse().unwrap());
        let server = node_server(&in_sessions, &self.cookie, MAX_FRAME_BYTES).await.unwrap();
        let ((event, events), (is_ready, ready)) = (mpsc::channel(4096), mpsc::channel(4096));
        let subscription = Box::new(Subscription { event, is_ready });
        server.cast(NodeServerMessage::SubscribeToEvents { id: "test".into(), subscription }).unwrap();
        let options = self.options(&name, LOCAL, seeds);
        let transport = Transport::start(options, server.clone()).await.unwrap();
        TestNode { name, server, transport, events, ready }
    }

    pub(crate) fn options(
        &self,
        name: &NodeName,
        listen: SocketAddr,
        seeds: &[SocketAddr],
    ) -> TransportOptions {
        TransportOptions {
            name: name.clone(),
            listen,
            seeds: seeds.iter().map(ToString::to_string).collect(),
            security: self.security.clone(),
            allow_plaintext: false,
            limits: self.limits,
        }
    }
}

/// The identity of a node by the authority in a directory, which is made if there is none.
pub(crate) fn identity(directory: &Path, name: &str) -> Arc<Identity> {
    let node = name.parse().unwrap();
    certificates(directory, std::slice::from_ref(&node)).unwrap();
    Arc::new(Identity::load(directory.join(name), &node).unwrap())
}

impl TestNode {
    pub(crate) fn addr(&self) -> SocketAddr {
        self.transport.local_addr()
    }

    pub(crate) async fn next(&mut self) -> Event {
        soon(self.events.recv()).await.unwrap()
    }

    /// Waits until the peer has proved itself, and returns what it says of its parked listener.
    pub(crate) async fn proved(&mut self, peer: &str) -> String {
        loop {
            if let Event::Proved(name, parked) = self.next().await
                && name == format!("{peer}@{peer}")
            {
                return parked;
            }
        }
    }

    /// Waits until a session ends.
    pub(crate) async fn ended(&mut self) -> Option<String> {
        loop {
            if let Event::Ended(peer) = self.next().await {
                return peer;
            }
        }
    }

    /// Returns the connected peers, each of which has one session.
    pub(crate) async fn peers(&self) -> Vec<String> {
        let sessions = ractor::call_t!(self.server, NodeServerMessage::GetSessions, 10_000).unwrap();
        sessions.into_values().filter_map(|session| session.peer_name).map(|peer| peer.name).collect()
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        self.server.stop(None);
    }
}

/// No deadline closes a connection in such a test, so what closes it is what it said.
pub(crate) fn patient(setup: Setup) -> Setup {
    let forever = Duration::from_secs(3600);
    Setup { limits: Limits { handshake: forever, idle: forever, ..setup.limits }, ..setup }
}

/// Waits for something that must happen.
pub(crate) async fn soon<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(NEVER, event).await.expect("it happens before the deadline")
}

struct Subscription {
    event: mpsc::Sender<Event>,
    is_ready: mpsc::Sender<String>,
}

impl Subscription {
    fn tell(&self, event: Event) {
        // A test may be over before its node.
        if let Err(mpsc::error::TrySendError::Full(event)) = self.event.try_send(event) {
            panic!("no room for {event:?}");
        }
    }
}

impl NodeEventSubscription for Subscription {
    fn node_session_opened(&self, _: NodeServerSessionInformation) {
        self.tell(Event::Opened);
    }

    fn node_session_authenticated(&self, session: NodeServerSessionInformation) {
        let peer = session.peer_name.unwrap();
        self.tell(Event::Proved(peer.name, peer.connection_string));
    }

    fn node_session_disconnected(&self, session: NodeServerSessionInformation) {
        self.tell(Event::Ended(session.peer_name.map(|peer| peer.name)));
    }

    fn node_session_ready(&self, session: NodeServerSessionInformation) {
        let _ = self.is_ready.try_send(session.peer_name.unwrap().name);
    }
}
