use std::convert::Infallible;
use std::time::Duration;

use counter_protocol::CounterName;
use counter_store::{DurabilityError, Member};
use ractor::{Message, RpcReplyPort};
use ractor_outbox::{Fifo, Outbox, Parcel};
use ractor_transport::NodeName;

use super::columns::ColumnsRequest;
use super::question::Question;
use crate::ledger::{PartDigests, Ranking, Total};
use crate::network::ConnectionId;
use crate::replica::ReplicaId;
use crate::rpc::Unanswered;
use crate::status::{ClusterStatus, PeerStatus};
use crate::wire::{Batch, Differing, Entry, Identity, Request};

/// Contents of the replicator's outboxes: none, because it is only asked questions.
pub(crate) type NoItems = Fifo<Infallible>;

/// Outbox that asks the latest incarnation of the replicator.
pub(crate) type ReplicatorOutbox = Outbox<NoItems, ReplicatorMessage>;

/// Message of the replicator.
pub(crate) enum ReplicatorMessage {
    /// Takes what has changed, and sends it to the peers.
    Replicate,
    /// Compares with all peers.
    Compare,
    /// Peers have come or gone.
    ConnectionsChanged,
    /// A request of another node, whose name the network has verified.
    Asked(NodeName, Request, RpcReplyPort<Vec<u8>>),
    /// A node has answered with its replica and its store.
    Identified(ConnectionId, Result<Identity, Unanswered>),
    /// The store of a node is durably recorded, or could not be.
    Admitted(ConnectionId, ReplicaId, Result<Option<Member>, DurabilityError>),
    /// Asks a node again whether its store has recorded this one.
    IdentifyAgain(ConnectionId),
    /// A node has answered that.
    IdentifiedAgain(ConnectionId, Result<Identity, Unanswered>),
    /// The changes that were taken from the shards are durable.
    Committed,
    /// Replies with the number of other nodes that have committed all that was counted here before, once it is this
    /// one, or after this time.
    GetCopies(usize, Duration, RpcReplyPort<usize>),
    /// A round of these has ended.
    Copied,
    /// A question of the node's store.
    Columns(ColumnsRequest),
    /// Returns the node whose incarnation this is, if it is known.
    GetNode(u64, RpcReplyPort<Option<NodeName>>),
    /// A peer has acknowledged a batch, with corrections of its own entries; or it has not.
    Sent { peer: u64, batch: u64, corrections: Result<Vec<Entry>, Unanswered> },
    /// A peer has answered with its digests where they differ.
    Compared { peer: u64, asked: Vec<ReplicaId>, differing: Result<Differing, Unanswered> },
    /// A peer has answered with digests of the parts that it was asked for under this salt.
    Examined { peer: u64, salt: u64, digests: Result<Vec<PartDigests>, Unanswered> },
    /// Asks all peers for their entries, of one name or in all, and replies with the nodes that did not answer.
    Refresh { name: Option<CounterName>, deadline: Duration, reply: RpcReplyPort<Vec<NodeName>> },
    /// The peers have answered a refresh.
    Refreshed { batches: Vec<Batch>, unanswered: Vec<NodeName>, reply: RpcReplyPort<Vec<NodeName>> },
    /// A question of a server in front of the node.
    Question(Question),
    /// Returns the sum of a name's entries of other replicas.
    GetOthers(CounterName, RpcReplyPort<(Total, Vec<PeerStatus>)>),
    /// Returns the status of the cluster, with everything that was counted here before.
    GetStatus(RpcReplyPort<ClusterStatus>),
    /// Returns the largest values, with everything that was counted here before.
    GetTop(usize, RpcReplyPort<Vec<(CounterName, Total)>>),
    /// Looks further for the largest values. In between, other messages have their turn.
    Rank(Ranking, RpcReplyPort<Vec<(CounterName, Total)>>),
    /// Replies when all peers have everything, or at the deadline: each node that is or was connected, and true if it
    /// has everything.
    HandOver(Duration, RpcReplyPort<Vec<(NodeName, bool)>>),
    /// Contents of an outbox. Never sent, because there are no items.
    Items(Parcel<NoItems>),
}

impl Message for ReplicatorMessage {}

impl From<Parcel<NoItems>> for ReplicatorMessage {
    fn from(parcel: Parcel<NoItems>) -> Self {
        Self::Items(parcel)
    }
}
