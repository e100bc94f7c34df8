use counter_actor::CounterHandle;
use counter_protocol::CounterMessage;
use ractor::ActorRef;

use super::{Contestant, MAX_WAITING, handle};
use crate::produce::Increment;

/// Actors of `counter-actor` without their handles' outboxes: one message per increment. Ractor's mailboxes have no
/// bound.
pub(crate) struct Cast {
    handles: Vec<CounterHandle>,
    counters: Vec<ActorRef<CounterMessage>>,
}

impl Contestant for Cast {
    const NAME: &'static str = "plain ractor cast";
    const MAX_INCREMENTS: u64 = MAX_WAITING;
    type Producer = ActorRef<CounterMessage>;

    async fn start(counters: usize) -> Self {
        let handles = handle::spawn(counters).await;
        let counters =
            handles.iter().map(|handle| handle.actor().expect("the counter has started")).collect();
        Self { handles, counters }
    }

    fn producer(&self, counter: usize) -> ActorRef<CounterMessage> {
        self.counters[counter].clone()
    }

    async fn values(&mut self) -> Vec<i64> {
        let mut values = Vec::with_capacity(self.counters.len());
        for counter in &self.counters {
            let answer = counter.call(CounterMessage::GetValue, None).await;
            values.push(answer.expect("the counter runs").expect("the counter answers"));
        }
        values
    }

    async fn stop(self) {
        handle::shutdown(&self.handles).await;
    }
}

impl Increment for ActorRef<CounterMessage> {
    #[inline]
    fn increment(&self, amount: i64) {
        self.cast(CounterMessage::Increment { amount }).expect("the counter runs");
    }
}
