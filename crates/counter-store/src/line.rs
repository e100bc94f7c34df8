//! A counter as a line of JSON.

use std::io::{self, Write};

use counter_keyspace::Entry;
use counter_protocol::{Count, CounterName};
use counter_store::ReplicaKey;
use serde::{Deserialize, Serialize};

/// Counter in a dump. A name that is not UTF-8 is a list of bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    name: CounterName,
    value: i64,
    operations: u64,
    /// Time at which the counter expires, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deadline_ms: Option<u64>,
    /// Replica that has counted it, unless it is the store itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replica: Option<String>,
}

impl Line {
    pub(crate) fn new(replica: Option<&ReplicaKey>, Entry { name, count, deadline_ms }: Entry<'_>) -> Self {
        let name = CounterName::try_from(name).expect("names in a store are bounded");
        let replica = replica.map(ToString::to_string);
        Self { name, value: count.value, operations: count.operations, deadline_ms, replica }
    }

    pub(crate) const fn is_of_replica(&self) -> bool {
        self.replica.is_some()
    }

    pub(crate) fn parse(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, self)?;
        out.write_all(b"\n")
    }

    pub(crate) fn entry(&self) -> Entry<'_> {
        let Self { name, value, operations, deadline_ms, .. } = self;
        let count = Count { value: *value, operations: *operations };
        Entry { name: name.as_bytes(), count, deadline_ms: *deadline_ms }
    }
}

/// Sum of what several replicas have counted under one name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    value: i128,
    operations: u128,
    deadline_ms: Option<u64>,
}

/// Error of a sum that no counter can hold.
#[derive(Debug, thiserror::Error)]
#[error("sum of counter {name} out of range")]
pub(crate) struct SumOutOfRange {
    name: CounterName,
}

impl Sum {
    pub(crate) fn add(&mut self, Entry { count, deadline_ms, .. }: Entry<'_>) {
        self.value += i128::from(count.value);
        self.operations += u128::from(count.operations);
        self.deadline_ms = self.deadline_ms.or(deadline_ms);
    }

    pub(crate) fn line(self, name: &[u8]) -> Result<Line, SumOutOfRange> {
        let Self { value, operations, deadline_ms } = self;
        let name = CounterName::try_from(name).expect("names in a store are bounded");
        match (value.try_into(), operations.try_into()) {
            (Ok(value), Ok(operations)) => Ok(Line { name, value, operations, deadline_ms, replica: None }),
            _ => Err(SumOutOfRange { name }),
        }
    }
}
