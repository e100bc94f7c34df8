use std::net::SocketAddr;

use counter_cluster::Total;
use counter_protocol::CounterName;
use ractor_transport::NodeName;
use serde::{Deserialize, Serialize};

use crate::load::Load;
use crate::report::Report;

/// Request to a node, such as `{"add":{"name":"a","amount":5}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Counts one operation.
    Add {
        /// Name of the counter.
        name: CounterName,
        /// Amount to add.
        amount: i64,
    },
    /// Counts a load, and answers when it has been counted.
    Load(Load),
    /// Reads a counter.
    Value {
        /// Name of the counter.
        name: CounterName,
        /// Time in milliseconds for which all nodes are asked first; none are without it.
        fresh_ms: Option<u64>,
    },
    /// Reads the status of the cluster.
    Status {
        /// Time in milliseconds for which all nodes are asked first; none are without it.
        fresh_ms: Option<u64>,
    },
    /// Reads the counters with the largest values.
    Top {
        /// Maximum number of counters.
        n: usize,
    },
    /// Reads the address at which the node listens, and its incarnation.
    Listening {},
}

/// Answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The operation has been counted, or will be, as far as the node's durability says.
    Added,
    /// The load has been counted; its sum.
    Loaded(Total),
    /// Value of a counter, and the nodes that did not answer.
    Value(Total, Vec<NodeName>),
    /// Status of the cluster.
    Status(Report),
    /// Counters with the largest values.
    Top(Vec<(CounterName, Total)>),
    /// Address and incarnation of the node.
    Listening(Listening),
    /// Reason why the request was not understood or not carried out.
    Failed(String),
}

/// Address and incarnation of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listening {
    /// Address for other nodes to connect to.
    pub address: SocketAddr,
    /// `NODE#INCARNATION`, as in [`Report::replicas`].
    pub replica: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_written_as_the_help_says() {
        let request: Request = serde_json::from_str(r#"{"add":{"name":"a","amount":5}}"#).unwrap();
        assert_eq!(request, Request::Add { name: CounterName::from_static("a"), amount: 5 });
        let request: Request = serde_json::from_str(r#"{"value":{"name":"a","fresh_ms":500}}"#).unwrap();
        assert_eq!(request, Request::Value { name: CounterName::from_static("a"), fresh_ms: Some(500) });
        let request: Request = serde_json::from_str(r#"{"status":{}}"#).unwrap();
        assert_eq!(request, Request::Status { fresh_ms: None });
    }
}
