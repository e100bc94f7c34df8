//! Millions of named counters, partitioned over supervised shard actors.
//!
//! A counter that is an actor costs 7 to 10 KB: right for thousands, wrong for millions. In a [`Keyspace`] a counter is
//! an entry in a table of at most 64 bytes beside its name. Tables belong to shard actors, by default one for each
//! core; a name's hash says which. Shards are supervised and their tables leased, so a crash loses nothing.
//!
//! A [`KeyspaceHandle`] has an outbox for each shard, in which operations are folded by name. An outbox is bounded by
//! the number and the bytes of the different names that wait in it; at the bound the sender waits, gets its operation
//! back, drops it, or turns to another keyspace, as it chooses.
//!
//! The hash is keyed at random (aHash), so that names from outside cannot be chosen to collide.
//!
//! ```
//! use counter_keyspace::{Keyspace, KeyspaceOptions};
//!
//! # tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap().block_on(async {
//! let keyspace = Keyspace::start(KeyspaceOptions::default()).await?;
//! let hits = keyspace.handle();
//! for page in ["/", "/about", "/"] {
//!     hits.increment(page, 1).await?;
//! }
//! assert_eq!(hits.value("/").await?, Some(2));
//! assert_eq!(hits.top(1).await?[0].0.as_bytes(), b"/");
//! assert_eq!(hits.stats().await?.total_operations, 3);
//! keyspace.shutdown().await;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod calls;
mod clock;
mod combiner;
mod deadlines;
mod deltas;
mod expiry;
mod feed;
mod follower;
mod handle;
mod key;
mod keyspace;
mod name_map;
mod operation;
mod partitioner;
mod place_set;
mod ranking;
mod recovery;
mod round;
mod sessions;
mod shard;
mod table;
mod top_k;

pub use calls::{Applied, Call, ShardVersion};
pub use clock::{Clock, Reading, SystemClock};
pub use combiner::Combiner;
pub use deltas::{Change, Deltas};
pub use feed::{Feed, FeedPosition, ShardFeed, SnapshotToken};
pub use handle::{KeyspaceError, KeyspaceHandle, Page, PageToken, SessionError};
pub use key::{Key, OwnedKey};
pub use keyspace::{Keyspace, KeyspaceOptions, Reporting, ResumeError};
pub use name_map::NameMap;
pub use operation::{DeadlineChange, DeadlineCondition, Operation, Presence};
pub use partitioner::Partitioner;
pub use ranking::{Block, Order, Ranking};
pub use recovery::{RecoveredShard, RecoveryError, ShardBuilder};
pub use round::{Entry, EntryPage, Outcome, RoundEnd, RoundPage, SessionId, SessionRecord, ShardTotals};
pub use shard::{ShardActor, ShardMessage, ShardState};
pub use table::{OverflowPolicy, Table, TablePosition};
pub use top_k::top_k;
