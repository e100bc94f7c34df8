//! Counts that follow a Kafka topic exactly once, on any number of machines.
//!
//! The state after the first `n` records of a partition is a fact, no matter who computes it. So a partition is a
//! replica of its own, whose column advances from offset to offset: whoever holds it at an offset can go on from there.
//!
//! It does not read from Kafka itself: its source hands it [`Record`]s, in the order of their offsets.

mod record;

pub use record::{Content, PartitionId, Position, Record, Stamp};
