//! A topic of Kafka as the source of a node's partitions.
//!
//! librdkafka reads records and keeps the member in its group. What its safe interface lacks (ids of topics, epochs of
//! leaders, where a log begins and ends) comes from a small client of Kafka's protocol.

mod audit;
mod broker;
mod consumer;
mod identity;
mod lag;
mod letters;
mod node;
mod owner;
mod topic;

pub use audit::{Divergence, LogBounds, OutOfRange, first_offset};
pub use broker::BrokerError;
pub use consumer::{
    Consumer, ConsumerError, ConsumerOptions, LogWatch, PartitionStatus, Stage, Status, UncountablePolicy,
};
pub use identity::{IdentityError, TopicIdentity};
pub use lag::{Lag, LogEnds};
pub use letters::LetterError;
pub use owner::{Destination, Owner, Refused};

pub(crate) use topic::TopicClient;
