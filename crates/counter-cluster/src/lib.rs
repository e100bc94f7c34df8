//! A keyspace on every node of a cluster: each node counts on its own, and all agree.
//!
//! A [`Node`] has a keyspace. Operations through its [`NodeHandle`] are applied there, at once, whatever becomes of
//! other nodes. The node sends its counts to its peers, and keeps the counts of other nodes beside its own. A counter's
//! value is the sum. So there is no owner and no leader, and after any partition all nodes agree (a PN-counter:
//! [`Ledger`]).
//!
//! - Counts are cumulative: a value and a number of operations, for a name and a [`ReplicaId`]. A message that is lost,
//!   repeated or late does no harm; of two entries the one with more operations is the newer.
//! - Only changes are sent ([`Link`]): in batches of at most [`BATCH_BYTES`], with at most [`WINDOW`] of them
//!   unacknowledged by a peer. An entry that changes while it waits is sent once.
//! - When a connection begins, both ends compare digests, and each sends what the other lacks ([`Replication`]).
//!   Nothing depends on what was sent before.
//! - A node without a store that starts again is a new replica with nothing. The entries of the old one stay, count,
//!   and are sent to the new one as to every node.
//! - Without a store, a node that is killed loses what it had not sent yet: the counts of the last [`REPLICATE_EVERY`],
//!   or up to [`REPLICATE_AT_LEAST_EVERY`] when tens of thousands of counters change, and those that were under way. A
//!   node that is shut down hands over everything first.
//! - A node may have a store ([`NodeOptions::store`]): a directory of `counter-store` that keeps its own counts and
//!   those of others. Other nodes see only what is durable there. Each start is a new replica even so, and what was
//!   counted before is one more column. [`Durability`] says what an acknowledgement guarantees.
//!
//! [`Ledger`], [`Link`] and [`Replication`] are pure, and know nothing of actors or networks. Around them are two
//! actors: the replicator, and the gateway, which is the one actor of a node that other nodes can send messages to.
//! `ractor_cluster` carries the messages, over the connections of [`ractor_transport`]. Another [`Network`] can take
//! the place of both.
//!
//! # Limitations
//!
//! It removes no names, and it does not discover peers. Every node holds every entry of every replica, in 17 bytes each
//! beside the name where a replica has counted most names. It holds up to [`MAX_REPLICAS`] of them. A store that has
//! been recorded as a member is never forgotten.
//!
//! Nodes of a cluster trust each other to count. Of a replica that is connected, only its own entries are taken.
//! Relayed entries of others may be forged by whoever relays them, until the replica itself connects and corrects them.
//!
//! ```
//! use counter_cluster::{Node, NodeOptions};
//! use ractor_transport::Cookie;
//!
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
//! let mut options = NodeOptions::new("a".parse()?, Cookie::generate());
//! options.peers = vec!["127.0.0.1:7102".into()];
//! let node = Node::start(options).await?;
//! let hits = node.handle();
//! hits.keyspace().increment("/", 1).await?;
//! assert_eq!(hits.value("/").await?.total.value, 1);
//! // The other node has never been there.
//! assert!(node.shutdown().await.is_err());
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod acknowledge;
mod alarm;
mod asking;
mod durability;
mod gateway;
mod hand_over;
mod handle;
mod ledger;
mod link;
mod network;
mod node;
mod opening;
mod replica;
mod replication;
mod replicator;
mod rpc;
mod status;
mod wire;

pub use alarm::Alarm;
pub use durability::{AcknowledgeError, Counted, Durability, InvalidDurability};
pub use hand_over::HandOverError;
pub use handle::NodeHandle;
pub use ledger::{
    BUCKETS, Digest, Digests, FAN_OUT, Ledger, MAX_REPLICAS, PartDigests, Parts, Place, RESERVED_REPLICAS,
    Source, Total, Totals,
};
pub use link::{Checkpoint, Link, Progress, WINDOW};
pub use network::{Connection, ConnectionId, Inbox, InboxError, Network};
pub use node::{HAND_OVER_DEADLINE, Node, NodeError, NodeOptions};
pub use opening::{NodeStoreOptions, ReplicaOptions, ReplicaStoreOptions};
pub use replica::ReplicaId;
pub use replication::Replication;
pub use replicator::actor::{COMPARE_EVERY, REPLICATE_AT_LEAST_EVERY, REPLICATE_EVERY};
pub use status::{ClusterStatus, PeerStatus, Reading};
pub use wire::{
    BATCH_BYTES, BadMessage, Batch, Comparison, Differing, Entry, Examination, Identity, MAX_FRAME_BYTES,
    Reply, Request, StoreIdentity,
};

/// Compiles and runs the README's program, which uses every entry point from one counter to a node.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
