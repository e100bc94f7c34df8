use ractor::{ActorRef, DerivedActorRef, Message, RpcReplyPort};
use serde::{Deserialize, Serialize};

use crate::counter::CounterMessage;
use crate::name::CounterName;
use crate::stats::{AggregatedStats, CounterStats};

/// Message to an aggregator actor.
#[derive(Debug, Serialize, Deserialize)]
pub enum AggregatorMessage {
    /// Registers a counter under a name.
    ///
    /// Registering the same counter again changes nothing; under another name it moves there. Another counter under
    /// the same name takes its place.
    #[serde(skip)]
    RegisterCounter {
        /// Name in the statistics.
        name: CounterName,
        /// Counter to ask.
        counter: ActorRef<CounterMessage>,
    },
    /// Registers an actor that speaks for many counters, by the same rules.
    #[serde(skip)]
    RegisterGroup {
        /// Name in the statistics.
        name: CounterName,
        /// Actor to ask.
        group: DerivedActorRef<GetGroupStats>,
    },
    /// Removes a counter or a group, and its statistics.
    ForgetCounter {
        /// Name under which it was registered.
        name: CounterName,
    },
    /// Starts a collection, unless one is running.
    CollectStats,
    /// Requests a collection that begins from now on, and replies with its number at once. The collection with that
    /// number or a later one includes everything that was applied before this message was handled.
    #[serde(skip)]
    RequestCollection(RpcReplyPort<u64>),
    /// Asks for the totals as of the last collection. Answered at once, even while a collection runs.
    #[serde(skip)]
    GetTotalStats(RpcReplyPort<AggregatedStats>),
    /// Asks for each counter's last known statistics, in order of name. Answered at once.
    #[serde(skip)]
    GetCounterStats(RpcReplyPort<Vec<(CounterName, CounterStats)>>),
}

impl Message for AggregatorMessage {}

/// Asks an actor that speaks for many counters, such as a keyspace's shard, for their statistics together.
#[derive(Debug)]
pub struct GetGroupStats(pub RpcReplyPort<AggregatedStats>);

impl Message for GetGroupStats {}
