//! Lines that a member writes to standard output.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use counter_stream::kafka::Status;
use serde::{Deserialize, Serialize};

/// Line of a member.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    /// Its state, now and then.
    Report(Report),
    /// A count that was asked for by name.
    Count {
        name: String,
        /// `None` if it is beyond 64 bits.
        value: Option<i64>,
        operations: u64,
    },
}

/// State of a member and of its partitions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Address for other members, unless it is alone.
    pub(crate) address: Option<SocketAddr>,
    /// Progress of the partitions that the group has assigned to it.
    pub(crate) status: Status,
    /// State of all partitions, its own or not, as far as it knows.
    pub(crate) partitions: BTreeMap<u32, Known>,
}

/// State of a partition, as far as a member knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    /// Offset behind the last record that is counted.
    pub(crate) offset: u64,
    /// Offset up to which that is durable.
    pub(crate) committed: u64,
    /// Number of operations that are counted.
    pub(crate) operations: u64,
    /// Number of records that were counted already when they came again.
    pub(crate) duplicates: u64,
    /// True if the member reads the partition.
    pub(crate) owned: bool,
}
