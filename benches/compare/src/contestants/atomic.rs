use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::{Contestant, NO_LIMIT};
use crate::produce::Increment;

/// No actor: atomic integers. Either all producers share one, whatever the number of counters, or each counter is
/// one.
pub(crate) struct Atomic<const SHARED: bool>(Vec<Arc<AtomicI64>>);

impl<const SHARED: bool> Contestant for Atomic<SHARED> {
    const NAME: &'static str = if SHARED { "one shared AtomicI64" } else { "an AtomicI64 each" };
    const MAX_INCREMENTS: u64 = NO_LIMIT;
    type Producer = Arc<AtomicI64>;

    async fn start(counters: usize) -> Self {
        let atomics = if SHARED { 1 } else { counters };
        Self((0..atomics).map(|_| Arc::default()).collect())
    }

    fn producer(&self, counter: usize) -> Arc<AtomicI64> {
        self.0[counter % self.0.len()].clone()
    }

    async fn values(&mut self) -> Vec<i64> {
        self.0.iter().map(|counter| counter.load(Ordering::Relaxed)).collect()
    }
}

impl Increment for Arc<AtomicI64> {
    #[inline]
    fn increment(&self, amount: i64) {
        self.fetch_add(amount, Ordering::Relaxed);
    }
}
