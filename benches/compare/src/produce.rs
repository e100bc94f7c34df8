//! Producers: they send increments of 1, in the same way to each contestant.

use std::hint::black_box;
use std::iter;

use tokio::runtime::Handle;
use tokio::task::coop;

/// Number of increments after which a task lets others run, if its budget is used up.
const BURST: u64 = 128;

/// One producer's end of a contestant.
pub(crate) trait Producer: Send + 'static {
    /// Sends this number of increments as a task.
    fn run(self, increments: u64) -> impl Future<Output = ()> + Send;
}

/// Producer's end that takes an increment without waiting.
pub(crate) trait Increment: Send + 'static {
    fn increment(&self, amount: i64);

    /// Ensures that a later read sees everything.
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
                // Opaque, so that the compiler cannot add up the burst.
                self.increment(black_box(1));
            }
            coop::consume_budget().await;
        }
        self.settle().await;
    }
}

/// Sends this number of increments from this thread, which is not one of the runtime's.
pub(crate) fn run_on_thread(producer: impl Increment, increments: u64, runtime: &Handle) {
    for _ in 0..increments {
        producer.increment(black_box(1));
    }
    runtime.block_on(producer.settle());
}

/// Returns the lengths of the bursts that make up this number of increments.
pub(crate) fn bursts(mut increments: u64) -> impl Iterator<Item = u64> {
    iter::from_fn(move || {
        let burst = increments.min(BURST);
        increments -= burst;
        (burst > 0).then_some(burst)
    })
}
