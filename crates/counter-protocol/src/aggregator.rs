use ractor::{ActorRef, Message, RpcReplyPort};
use ractor_outbox::{Fifo, Parcel};
use serde::{Deserialize, Serialize};

use crate::{AggregatedStats, CounterMessage, CounterName, CounterStats};

/// What an aggregator actor understands.
#[derive(Debug, Serialize, Deserialize)]
pub enum AggregatorMessage {
    /// Watches a counter under a name.
    ///
    /// The same counter again changes nothing; under another name it moves there. Another counter under the same
    /// name takes its place.
    #[serde(skip)]
    RegisterCounter {
        /// What the statistics call it.
        name: CounterName,
        /// The counter to ask.
        counter: ActorRef<CounterMessage>,
    },
    /// Stops watching a counter and drops its statistics.
    ForgetCounter {
        /// The name it was registered under.
        name: CounterName,
    },
    /// Handles what waits in a sender's outbox.
    #[serde(skip)]
    Parcel(Parcel<Fifo<Self>>),
    /// Starts a collection, unless one is running.
    CollectStats,
    /// Makes sure that a collection starts from now on, and replies with its number at once. The collection with
    /// that number or a later one has seen everything that was applied before this message was handled.
    #[serde(skip)]
    RequestCollection(RpcReplyPort<u64>),
    /// Asks for the totals as of the last collection. Answered at once, even while a collection runs.
    #[serde(skip)]
    GetTotalStats(RpcReplyPort<AggregatedStats>),
    /// Asks for each counter's last known statistics, in order of name. Answered at once.
    #[serde(skip)]
    GetCounterStats(RpcReplyPort<Vec<(CounterName, CounterStats)>>),
    /// The aggregator's note to itself that a collection has ended.
    #[serde(skip)]
    CollectionEnded {
        /// One for each counter that was asked.
        answers: Vec<Answer>,
    },
}

impl Message for AggregatorMessage {}

impl From<Parcel<Fifo<Self>>> for AggregatorMessage {
    fn from(parcel: Parcel<Fifo<Self>>) -> Self {
        Self::Parcel(parcel)
    }
}

/// What became of one question in a collection.
#[derive(Debug)]
pub struct Answer {
    /// The counter that was asked.
    pub counter: ActorRef<CounterMessage>,
    /// Its reply; `None` if it did not reply in time.
    pub stats: Option<CounterStats>,
}
