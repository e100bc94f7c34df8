use std::sync::{Arc, Mutex};

use super::{Contestant, NO_LIMIT};
use crate::produce::Increment;

/// No actor: shared integers, each behind the standard library's lock.
pub(crate) struct Locked(Vec<Arc<Mutex<i64>>>);

impl Contestant for Locked {
    const NAME: &'static str = "Mutex<i64>";
    const MAX_INCREMENTS: u64 = NO_LIMIT;
    type Producer = Arc<Mutex<i64>>;

    async fn start(counters: usize) -> Self {
        Self((0..counters).map(|_| Arc::default()).collect())
    }

    fn producer(&self, counter: usize) -> Arc<Mutex<i64>> {
        self.0[counter].clone()
    }

    async fn values(&mut self) -> Vec<i64> {
        self.0.iter().map(|counter| *counter.lock().expect("producers do not panic")).collect()
    }
}

impl Increment for Arc<Mutex<i64>> {
    #[inline]
    fn increment(&self, amount: i64) {
        *self.lock().expect("producers do not panic") += amount;
    }
}
