use std::hash::{Hash, Hasher};

use counter_protocol::{AggregatedStats, CounterMessage, CounterStats, GetGroupStats};
use ractor::{ActorCell, ActorId, ActorRef, DerivedActorRef};

/// Actor that an aggregator asks for statistics. Two members are equal if they are the same actor.
#[derive(Clone, Debug)]
pub enum Member {
    /// One counter.
    Counter(ActorRef<CounterMessage>),
    /// Many counters behind one actor, which lets aggregators nest.
    Group(DerivedActorRef<GetGroupStats>),
}

impl Member {
    /// Returns the actor, to monitor it.
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

/// Statistics that a member answers with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// Statistics of one counter.
    Counter(CounterStats),
    /// Statistics of many counters together.
    Group(AggregatedStats),
}

/// Outcome of one question in a collection.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Member that was asked.
    pub(crate) member: Member,
    /// Its reply; `None` if there was none in time.
    pub(crate) report: Option<Report>,
}
