//! The actor around [`Replication`](crate::replication::Replication): it takes changes from the shards, sends batches
//! to peers, and answers.

pub(crate) mod actor;
mod exchange;
mod membership;
pub(crate) mod message;
mod peers;
mod state;
