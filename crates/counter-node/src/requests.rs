//! What a node can be asked on its standard input: one line of JSON each, and one for each answer.
//!
//! Requests are answered one after another. One that is given a number, as in `[7,{"standing":{}}]`, is answered with the
//! same number, as in `[7,{"standing":..}]`, as soon as it is done, whatever else is still being done.

use std::net::SocketAddr;
use std::time::Duration;

use counter_cluster::{NodeHandle, NodeName, PeerStatus, Standing, Total};
use counter_keyspace::KeyspaceError;
use counter_protocol::CounterName;
use serde::{Deserialize, Serialize};

use crate::load::Load;

/// A question or an order, such as `{"add":{"name":"a","amount":5}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Counts one operation.
    Add {
        /// The counter.
        name: CounterName,
        /// What to add.
        amount: i64,
    },
    /// Counts a load, and answers when it has been counted.
    Load(Load),
    /// A counter's value.
    Value {
        /// The counter.
        name: CounterName,
        /// Asks all nodes first, and waits for so many milliseconds at most.
        fresh_ms: Option<u64>,
    },
    /// How things stand.
    Standing {
        /// Asks all nodes first, and waits for so many milliseconds at most.
        fresh_ms: Option<u64>,
    },
    /// The largest values.
    Top {
        /// How many.
        n: usize,
    },
    /// Where other nodes can connect to, and which incarnation of the node answers.
    Listening {},
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The operation will be counted.
    Added,
    /// The load has been sent: what it came to.
    Loaded(Total),
    /// A counter's value, and which nodes did not answer.
    Value(Total, Vec<NodeName>),
    /// How things stand.
    Standing(Report),
    /// The largest values.
    Top(Vec<(CounterName, Total)>),
    /// Where the node listens.
    Listening(Listening),
    /// It was not understood, or could not be done.
    Failed(String),
}

/// Where a node listens, and which incarnation of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listening {
    /// Address for other nodes to connect to.
    pub address: SocketAddr,
    /// `NODE#INCARNATION`, as in [`Report::replicas`].
    pub replica: String,
}

/// How things stand, as seen by one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// How many names there are.
    pub names: u64,
    /// What all nodes have counted together.
    pub total: Total,
    /// What each replica has counted, by `NODE#INCARNATION`.
    pub replicas: Vec<(String, Total)>,
    /// The other nodes.
    pub peers: Vec<Peer>,
    /// Nodes that did not answer when all were asked.
    pub unanswered: Vec<NodeName>,
}

/// Another node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// What it is called.
    pub node: NodeName,
    /// Whether it is connected.
    pub is_up: bool,
    /// How many milliseconds ago something was heard of it.
    pub heard_ms: u64,
    /// How many entries it lacks.
    pub lag: u64,
}

impl From<PeerStatus> for Peer {
    fn from(PeerStatus { node, is_up, heard, lag, .. }: PeerStatus) -> Self {
        let heard_ms = u64::try_from(heard.as_millis()).unwrap_or(u64::MAX);
        Self { node, is_up, heard_ms, lag: lag as u64 }
    }
}

impl Report {
    /// From how things stand.
    #[must_use]
    pub fn new(standing: Standing, unanswered: Vec<NodeName>) -> Self {
        let total = standing.total();
        let Standing { names, replicas, peers, .. } = standing;
        let replicas = replicas.into_iter().map(|(id, totals)| (id.to_string(), totals.total));
        let peers = peers.into_iter().map(Peer::from);
        Self { names, total, replicas: replicas.collect(), peers: peers.collect(), unanswered }
    }

    /// Whether the node is connected to that other one.
    #[must_use]
    pub fn sees(&self, node: &NodeName) -> bool {
        self.peers.iter().any(|peer| peer.is_up && peer.node == *node)
    }
}

/// Does what is asked of a node that listens there.
pub async fn answer(node: &NodeHandle, listening: &Listening, request: Request) -> Answer {
    match try_answer(node, listening, request).await {
        Ok(answer) => answer,
        Err(error) => Answer::Failed(format!("failed to {error}")),
    }
}

async fn try_answer(
    node: &NodeHandle,
    listening: &Listening,
    request: Request,
) -> Result<Answer, KeyspaceError> {
    Ok(match request {
        Request::Add { name, amount } => {
            node.increment(name.as_bytes(), amount).await?;
            Answer::Added
        }
        Request::Load(load) => Answer::Loaded(load.send(node).await?),
        Request::Value { name, fresh_ms } => {
            let unanswered = refresh(node, Some(name.as_bytes()), fresh_ms).await?;
            Answer::Value(node.value(name.as_bytes()).await?.total, unanswered)
        }
        Request::Standing { fresh_ms } => {
            let unanswered = refresh(node, None, fresh_ms).await?;
            Answer::Standing(Report::new(node.standing().await?, unanswered))
        }
        Request::Top { n } => Answer::Top(node.top(n).await?),
        Request::Listening {} => Answer::Listening(listening.clone()),
    })
}

async fn refresh(
    node: &NodeHandle,
    name: Option<&[u8]>,
    fresh_ms: Option<u64>,
) -> Result<Vec<NodeName>, KeyspaceError> {
    match fresh_ms {
        Some(deadline) => node.refresh(name, Duration::from_millis(deadline)).await,
        None => Ok(Vec::new()),
    }
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
        let request: Request = serde_json::from_str(r#"{"standing":{}}"#).unwrap();
        assert_eq!(request, Request::Standing { fresh_ms: None });
    }
}
