//! A keyspace on every node of a cluster: each node counts on its own, and all agree.
//!
//! A [`Node`] has a keyspace, and everything that is counted through its [`NodeHandle`] is counted there, at once,
//! whatever becomes of other nodes. What it has counted it tells its peers, and what they have counted it keeps
//! beside its own; a counter's value is the sum. So there is no owner, no leader and nothing to hand over, and after
//! any partition all nodes agree (a PN-counter: [`Ledger`]).
//!
//! - What is told is cumulative: a value and a number of operations, for a name and a [`ReplicaId`]. A message that is
//!   lost, repeated or late does no harm; the entry with more operations is the newer one.
//! - Only what has changed is told ([`Link`]): in batches of at most [`BATCH_BYTES`], [`WINDOW`] of them under way to a
//!   peer. What changes while it waits is told once.
//! - When a connection begins, digests are compared, and whatever is missing on either side is sent ([`Replication`]).
//!   Nothing depends on what was sent before.
//! - A node that starts again with nothing is a new replica. What others hold of the old one stays, counts, and is
//!   given to the new one as to everybody.
//! - A node that is killed loses what it had not told yet: what was counted in the last [`REPLICATE_EVERY`], or when tens of
//!   thousands of counters change, up to [`REPLICATE_AT_LEAST_EVERY`], and what was under way. One that shuts down in order
//!   hands everything over first.
//!
//! [`Ledger`], [`Link`] and [`Replication`] are pure, and know nothing of actors or networks. Around them are two actors:
//! the replicator, and the gateway, the one actor of a node that other nodes can speak to. `ractor_cluster` carries the
//! messages, over connections that are made and watched by [`transport`].
//!
//! What this does not do: it keeps nothing on disk, it removes no names, and it does not find peers by itself. Every node
//! holds every entry of every replica, 17 bytes each beside the name where a replica has counted most names. It holds up to
//! [`MAX_REPLICAS`] of them.
//!
//! Nodes of a cluster trust each other to count. Of a replica that is connected, only its own word is taken; what is relayed
//! of others may be forged by whoever relays it, until the replica itself connects and corrects it.
//!
//! ```
//! use counter_cluster::transport::Cookie;
//! use counter_cluster::{Node, NodeOptions};
//!
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
//! let mut options = NodeOptions::new("a".parse()?, Cookie::generate());
//! options.peers = vec!["127.0.0.1:7102".into()];
//! let node = Node::start(options).await?;
//! let hits = node.handle();
//! hits.increment("/", 1).await?;
//! assert_eq!(hits.value("/").await?.total.value, 1);
//! // The other node has never been there.
//! assert!(node.shutdown().await.is_err());
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod gateway;
mod hand_over;
mod handle;
mod ledger;
mod link;
mod node;
mod replica;
mod replication;
mod replicator;
pub mod transport;
mod wire;

pub use hand_over::HandOverError;
pub use handle::{NodeHandle, PeerStatus, Reading, Standing};
pub use ledger::{
    BUCKETS, Digest, Digests, Ledger, MAX_REPLICAS, Place, RESERVED_REPLICAS, Source, Total, Totals,
};
pub use link::{Link, Point, Reached, WINDOW};
pub use node::{HAND_OVER_DEADLINE, Node, NodeError, NodeOptions};
pub use replica::{BadNodeName, MAX_NODE_NAME_BYTES, NodeName, ReplicaId};
pub use replication::Replication;
pub use replicator::{COMPARE_EVERY, REPLICATE_AT_LEAST_EVERY, REPLICATE_EVERY};
pub use wire::{
    BATCH_BYTES, BadMessage, Batch, Comparison, Differing, Entry, MAX_FRAME_BYTES, Reply, Request,
};

/// Compiles and runs the README's program, which uses every entry point from one counter to a node.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
