//! A sharded cache with time to live and an LRU bound. Clients use [`Cache`].

mod actor;
mod cache;
mod shard;

pub use cache::{Cache, INSERTIONS_WAITING};
pub use shard::{Key, Stats, Value};
