//! Counts that follow a Kafka topic exactly once, on any number of machines.
//!
//! The state after the first `n` records of a partition is a fact, no matter who computes it. So a partition is a
//! replica of its own, whose column advances from offset to offset: whoever holds it at an offset can go on from there.
//!
//! - A [`StreamNode`] is one member of a group. It holds all partitions in one store, and reads some of them
//!   ([`StreamNode::own`]). Kafka says which; if two members believe to own a partition, both count the same.
//! - An [`OwnedPartition`] says where to begin, and takes [`Record`]s in the order of their offsets. At
//!   [`RECORDS_WAITING`] the source has to pause.
//! - A round of the store has the next offset, the counts and what producers have sent, together. After a crash the
//!   member goes on from there, and its source has to begin at that offset.
//! - What is durable goes to the other members as a [`Cut`]: all that has changed between two offsets, applied as a
//!   whole. A successor goes on from what it holds, without the former owner.
//! - A [`Stamp`] makes a record that its producer sends again count once.
//! - A [`StreamHandle`] reads: a value is the sum over all partitions.
//!
//! [`kafka::Consumer`] is a source: a member of a consumer group, whose [mapping](mapping::Mapping) says what records
//! count. [`producer::Producer`] writes records that count once.
//!
//! [`PartitionTable`] is the state of a partition, and pure.
//!
//! # Limitations
//!
//! Every member holds every partition, and names are never removed. A partition that has stopped, because two histories
//! of it differ, stays stopped until one of the members has been given another directory. So does a partition whose
//! records are to be mapped in another way: a member knows one mapping of each.
//!
//! ```
//! use counter_stream::{Content, PartitionId, Record, StreamNode, StreamOptions};
//!
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path();
//! let partition = PartitionId { cluster: "kafka".into(), topic: [1; 16], partition: 0, mapping: 1 };
//! let node = StreamNode::start(StreamOptions::new("a".parse()?, dir)).await?;
//! let owned = node.own(partition.clone()).await?;
//! for offset in owned.position().offset..10 {
//!     let content = Content::Count { name: b"hits"[..].into(), amount: 1, operations: 1, stamp: None };
//!     owned.send(Record { offset, leader_epoch: None, content }).await?;
//! }
//! owned.release().await?; // All of it is on disk now.
//! node.shutdown().await?;
//!
//! let node = StreamNode::start(StreamOptions::new("a".parse()?, dir)).await?;
//! assert_eq!(node.handle().value("hits").await?.unwrap().value_i64()?, 10);
//! assert_eq!(node.own(partition).await?.position().offset, 10);
//! node.shutdown().await?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

pub mod arguments;
mod columns;
mod cut;
mod error;
mod group;
mod handle;
pub mod kafka;
pub mod mapping;
mod node;
mod owned;
mod partition;
mod partitions;
pub mod producer;
mod record;
mod stored;
mod table;

pub use cut::{Changes, Cut};
pub use error::{ReadError, SendError, StreamError};
pub use group::GroupOptions;
pub use handle::{StreamHandle, Totals};
pub use node::{StreamNode, StreamOptions};
pub use owned::OwnedPartition;
pub use partition::{PartitionStatus, RECORDS_WAITING};
pub use partitions::{MAX_PARTITIONS, PartitionError};
pub use record::{Content, PartitionId, Position, Record, Stamp};
pub use table::{
    Applied, Counted, Digest, Fork, OutOfRange, PRODUCER_RETENTION, PRODUCER_WINDOW, PartitionTable,
    Producer, ProducerId, Tallies, Total,
};
