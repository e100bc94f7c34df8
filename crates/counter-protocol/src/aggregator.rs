use std::hash::{Hash, Hasher};

use ractor::{ActorCell, ActorId, ActorRef, DerivedActorRef, Message, RpcReplyPort};
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
    /// Watches an actor that speaks for many counters, under a name, by the same rules.
    #[serde(skip)]
    RegisterGroup {
        /// What the statistics call it.
        name: CounterName,
        /// The actor to ask.
        group: DerivedActorRef<GetGroupStats>,
    },
    /// Stops watching a counter or a group and drops its statistics.
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
        /// One for each member that was asked.
        answers: Vec<Answer>,
    },
}

impl Message for AggregatorMessage {}

impl From<Parcel<Fifo<Self>>> for AggregatorMessage {
    fn from(parcel: Parcel<Fifo<Self>>) -> Self {
        Self::Parcel(parcel)
    }
}

/// Asks an actor that speaks for many counters, such as a keyspace's shard, for their statistics together.
#[derive(Debug)]
pub struct GetGroupStats(pub RpcReplyPort<AggregatedStats>);

impl Message for GetGroupStats {}

/// What an aggregator asks for statistics. Two are equal if they are the same actor.
#[derive(Clone, Debug)]
pub enum Member {
    /// One counter.
    Counter(ActorRef<CounterMessage>),
    /// Many counters behind one actor: so aggregators nest.
    Group(DerivedActorRef<GetGroupStats>),
}

impl Member {
    /// The actor, to monitor.
    #[must_use]
    pub fn cell(&self) -> ActorCell {
        match self {
            Self::Counter(counter) => counter.get_cell(),
            Self::Group(group) => group.get_cell(),
        }
    }

    fn id(&self) -> ActorId {
        match self {
            Self::Counter(counter) => counter.get_id(),
            Self::Group(group) => group.get_id(),
        }
    }
}

impl PartialEq for Member {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for Member {}

impl Hash for Member {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

/// What a member says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// Of one counter.
    Counter(CounterStats),
    /// Of many together.
    Group(AggregatedStats),
}

/// What became of one question in a collection.
#[derive(Debug)]
pub struct Answer {
    /// Who was asked.
    pub member: Member,
    /// The reply; `None` if there was none in time.
    pub report: Option<Report>,
}
