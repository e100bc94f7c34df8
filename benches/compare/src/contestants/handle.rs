use counter_actor::{CounterHandle, CounterState};

use super::{Contestant, NO_LIMIT};
use crate::produce::Increment;

/// Handles of `counter-actor`. Each producer has a clone, and with it an outbox of its own.
pub(crate) struct OutboxHandle(Vec<CounterHandle>);

impl Contestant for OutboxHandle {
    const NAME: &'static str = "counter-actor handle";
    const MAX_INCREMENTS: u64 = NO_LIMIT;
    type Producer = CounterHandle;

    async fn start(counters: usize) -> Self {
        Self(spawn(counters).await)
    }

    fn producer(&self, counter: usize) -> CounterHandle {
        self.0[counter].clone()
    }

    async fn values(&mut self) -> Vec<i64> {
        let mut values = Vec::with_capacity(self.0.len());
        for counter in &self.0 {
            values.push(counter.value().await.expect("the counter answers"));
        }
        values
    }

    async fn stop(self) {
        shutdown(&self.0).await;
    }
}

impl Increment for CounterHandle {
    #[inline]
    fn increment(&self, amount: i64) {
        Self::increment(self, amount).expect("the counter runs");
    }

    /// Waits until the counter has applied this producer's increments. Questions of other clones do not wait for
    /// them.
    async fn settle(self) {
        self.value().await.expect("the counter answers");
    }
}

pub(super) async fn spawn(counters: usize) -> Vec<CounterHandle> {
    let mut handles = Vec::with_capacity(counters);
    for n in 0..counters {
        let arguments = CounterState::new(format!("counter-{n}")).expect("a short name");
        handles.push(CounterHandle::start(arguments).await.expect("the counter starts"));
    }
    handles
}

pub(super) async fn shutdown(counters: &[CounterHandle]) {
    for counter in counters {
        counter.shutdown().await;
    }
}
