//! Producers: they send increments of 1, in the same way to each contestant.

use std::hint::black_box;
use std::iter;

use tokio::runtime::Handle;
use tokio::task::coop;

/// A task lets others run, if its budget is used up, once in so many increments.
const BURST: u64 = 128;

/// One producer's end of a contestant.
pub(crate) trait Producer: Send + 'static {
    /// Sends so many increments as a task.
    fn run(self, increments: u64) -> impl Future<Output = ()> + Send;
}

/// A producer's end that takes an increment without waiting.
pub(crate) trait Increment: Send + 'static {
    fn increment(&self, amount: i64);

    /// Does what it takes for a later read to see everything.
    fn settle(self) -> impl Future<Output = ()> + Send
    where
        Self: Sized,
    {
        async {}
    }
}

impl<T: Increment> Producer for T {
    async fn run(self, increments: u64) {
        for burst in bursts(increments) {
            for _ in 0..burst {
                // Opaque, or the compiler could add up the burst by itself.
                self.increment(black_box(1));
            }
            coop::consume_budget().await;
        }
        self.settle().await;
    }
}

/// Sends so many increments from this thread, which is not one of the runtime's.
pub(crate) fn run_on_thread(producer: impl Increment, increments: u64, runtime: &Handle) {
    for _ in 0..increments {
        producer.increment(black_box(1));
    }
    runtime.block_on(producer.settle());
}

/// The lengths of the bursts that make up so many increments.
pub(crate) fn bursts(mut increments: u64) -> impl Iterator<Item = u64> {
    iter::from_fn(move || {
        let burst = increments.min(BURST);
        increments -= burst;
        (burst > 0).then_some(burst)
    })
}
