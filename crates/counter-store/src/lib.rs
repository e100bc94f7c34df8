//! Makes a keyspace durable.
//!
//! A [`Store`] follows the changes of a keyspace. Every 100 ms, or at once when somebody waits, it writes what has
//! changed as one atomic round to an append log, and syncs it once. Entries are cumulative ("hits stands at 17 after 9
//! operations"), so a counter that has changed a million times since the last round is written once. Snapshots of the
//! tables bound the length of the log. Counting never waits for the disk; callers do, if they ask to.
//!
//! After a crash, [`Store::open`] restores what was durable, verifies all of it, and refuses to open, in one line, if
//! something is missing or damaged. The format is documented in `docs/store-format.md`.
//!
//! It does not replicate: the crate `counter-cluster` does.
//!
//! ```
//! use counter_store::{Durability, Store, StoreOptions};
//!
//! # tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap().block_on(async {
//! # let outer = tempfile::tempdir()?;
//! # let dir = outer.path().join("counts");
//! let (store, keyspace) = Store::open(&dir, StoreOptions::default()).await?;
//! let hits = store.handle();
//! hits.increment_at("/", 1, Durability::Memory).await?;
//! hits.increment_at("/", 1, Durability::Fsync).await?; // Both are on disk now.
//! store.shutdown().await?;
//! keyspace.shutdown().await;
//!
//! let (store, keyspace) = Store::open(&dir, StoreOptions::default()).await?;
//! assert_eq!(store.handle().keyspace().value("/").await?, Some(2));
//! # store.shutdown().await?;
//! # keyspace.shutdown().await;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod bytes;
mod check;
mod commits;
mod committer;
pub mod disk;
mod error;
mod files;
mod frame;
mod handle;
mod header;
mod log;
mod progress;
mod random;
mod read;
mod rebuild;
mod record;
mod recovery;
mod replicas;
mod sessions;
mod snapshot;
mod source;
mod store;
mod tool;
mod watermark;

pub use commits::Commits;
pub use error::{Damage, DurabilityError, OpenError};
pub use handle::StoreHandle;
pub use progress::Committed;
pub use recovery::Progress;
pub use replicas::{
    ColumnEnds, ColumnPage, ColumnSink, ColumnTotals, Columns, Member, ReplicaKey, SortedColumns, StoreId,
};
pub use sessions::{SessionIssuer, TooManySessions};
pub use store::{
    Driver, Durability, Loader, OnDiskFailure, Recovered, Sealed, Sessions, Store, StoreOptions, rename_store,
};
pub use tool::{Report, read, read_on};
