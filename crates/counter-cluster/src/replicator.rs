//! The actor around [`Replication`](crate::replication::Replication): it takes changes from the shards, sends batches
//! to peers, and answers.

mod acknowledging;
pub(crate) mod actor;
pub(crate) mod columns;
mod comparing;
mod exchange;
mod membership;
pub(crate) mod message;
mod own;
mod peers;
pub(crate) mod question;
mod state;
pub(crate) mod store;

pub(crate) use acknowledging::COPIES_DEADLINE;
