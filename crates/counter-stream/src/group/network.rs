//! The connections of a member, and what goes over them.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use ractor::{ActorProcessingErr, RpcReplyPort};
use ractor_supervision::{ChildSpec, OwnedTask, SupervisorHandle};
use ractor_transport::{
    Connections, Cookie, GatewayId, GatewayInbox, Gateways, Limits, NodeName, Security, TransportOptions,
};
use tokio::sync::Notify;

use crate::error::StreamError;
use crate::partitions::Partitions;

use super::exchange::Exchange;
use super::link::Link;
use super::wire::MAX_FRAME_BYTES;

/// Process group in which the gateways of all members find each other.
const GROUP: &str = "counter-stream gateways";

/// Settings of a member's connections to the others of its group.
#[derive(Clone, Debug)]
pub struct GroupOptions {
    /// Address to listen on; port 0 is any free one.
    pub listen: SocketAddr,
    /// Addresses of all other members, as `host:port`.
    pub peers: Vec<String>,
    /// Secret that all members share.
    pub cookie: Cookie,
    /// Authentication of members.
    pub security: Security,
    /// Allows addresses beyond this machine without TLS.
    pub allow_plaintext: bool,
    /// Bounds and deadlines of connections.
    pub limits: Limits,
}

impl GroupOptions {
    /// Configures a member that listens on any free port of the loopback interface, without TLS and without peers.
    #[must_use]
    pub fn new(cookie: Cookie) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            peers: Vec::new(),
            cookie,
            security: Security::Plain,
            allow_plaintext: false,
            limits: Limits::default(),
        }
    }
}

/// Connections of a member to the others of its group.
#[derive(Debug)]
pub(crate) struct Group {
    connections: Connections,
    _links: OwnedTask,
}

impl Group {
    /// Starts to listen, to connect, and to exchange cuts.
    ///
    /// A process can be one member of a group only: `ractor` has one registry for all actors of a process.
    pub(crate) async fn start(
        name: NodeName,
        options: GroupOptions,
        partitions: Partitions,
        exchange: Exchange,
        supervisor: &SupervisorHandle,
    ) -> Result<Self, StreamError> {
        let GroupOptions { listen, peers, cookie, security, allow_plaintext, limits } = options;
        let transport = TransportOptions { name, listen, seeds: peers, security, allow_plaintext, limits };
        let connections: Result<_, StreamError> =
            Connections::start(transport, &cookie, MAX_FRAME_BYTES as u64).await;
        let connections = connections?;
        let gateways = Gateways::new(connections.transport().peers(), GROUP);
        let inbox = Inbox { exchange: exchange.clone(), changed: Arc::new(Notify::new()) };
        let changed = Arc::clone(&inbox.changed);
        supervisor.start_child(gateway(gateways.clone(), inbox)).await?;
        let links = tokio::spawn(keep_links(gateways, partitions, exchange, changed)).into();
        Ok(Self { connections, _links: links })
    }

    pub(crate) const fn local_addr(&self) -> SocketAddr {
        self.connections.transport().local_addr()
    }

    /// Ends all connections.
    pub(crate) async fn shutdown(self) {
        self.connections.shutdown().await;
    }
}

/// Returns the gateway, for a supervisor to start.
fn gateway(gateways: Gateways, inbox: Inbox) -> ChildSpec {
    ChildSpec::new("gateway", move |supervisor| {
        let (gateways, inbox) = (gateways.clone(), inbox.clone());
        async move { Ok(gateways.start(inbox, supervisor).await?) }
    })
}

/// Keeps a link for each partition to each member that is connected.
async fn keep_links(gateways: Gateways, partitions: Partitions, exchange: Exchange, changed: Arc<Notify>) {
    let mut links = HashMap::<(GatewayId, usize), OwnedTask>::new();
    let mut count = partitions.count();
    loop {
        // One whose node is not known yet answers later, when it is.
        let connections: Vec<_> = gateways.connections().collect();
        let ids: BTreeSet<_> = connections.iter().map(|connection| connection.id()).collect();
        links.retain(|(id, _), _| ids.contains(id));
        exchange.retain(&connections.iter().filter_map(|connection| connection.node()).collect());
        for (place, partition) in partitions.all().into_iter().enumerate() {
            for connection in &connections {
                links.entry((connection.id(), place)).or_insert_with(|| {
                    let link = Link { partition: partition.clone(), connection: connection.clone() };
                    tokio::spawn(link.run()).into()
                });
            }
        }
        tokio::select! {
            biased;
            () = changed.notified() => {}
            more = count.changed() => if more.is_err() { return },
        }
    }
}

/// Entrance for what other members send.
#[derive(Clone, Debug)]
struct Inbox {
    exchange: Exchange,
    changed: Arc<Notify>,
}

impl GatewayInbox for Inbox {
    fn deliver(
        &self,
        sender: NodeName,
        request: &[u8],
        reply: RpcReplyPort<Vec<u8>>,
    ) -> Result<(), ActorProcessingErr> {
        // At most one for each partition and member: that waits for the reply.
        let (exchange, request) = (self.exchange.clone(), request.to_vec());
        tokio::spawn(async move {
            if let Some(answer) = exchange.answer(sender, &request).await {
                let _ = reply.send(answer);
            }
        });
        Ok(())
    }

    fn connections_changed(&self) -> Result<(), ActorProcessingErr> {
        self.changed.notify_one();
        Ok(())
    }
}
