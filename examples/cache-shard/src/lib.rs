//! A sharded cache with time to live and an LRU bound: [`Cache`] is what clients hold.

mod actor;
mod cache;
mod shard;

pub use cache::{Cache, INSERTIONS_WAITING};
pub use shard::{Key, Stats, Value};
