//! Vocabulary of the actors of the counter system: names, statistics and messages.
//!
//! Start at [`CounterMessage`] for one counter and at [`AggregatorMessage`] for statistics across many. This crate
//! holds data only; `counter-actor` and `aggregator-actor` hold the actors.
//!
//! Everything that is not a reply port or an actor reference can be serialized with `serde`.

mod aggregator;
mod count;
mod counter;
mod delta;
mod name;
mod rate;
mod stats;

pub use aggregator::{AggregatorMessage, GetGroupStats};
pub use count::{Count, Overflow};
pub use counter::CounterMessage;
pub use delta::Delta;
pub use name::{CounterName, NameTooLong};
pub use rate::Rate;
pub use stats::{AggregatedStats, CounterStats};
