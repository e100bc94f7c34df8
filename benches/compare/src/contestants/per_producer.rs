use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Contestant, NO_LIMIT};
use crate::produce::Increment;

/// No actor, and no contention: each producer has an integer of its own for its counter, on cache lines of its own. A
/// read of a counter adds them up.
pub(crate) struct PerProducer {
    counters: usize,
    cells: Mutex<Vec<(usize, Arc<Cell>)>>,
}

/// Two cache lines, because processors fetch them in pairs.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Cell(AtomicI64);

impl Contestant for PerProducer {
    const NAME: &'static str = "an AtomicI64 per producer";
    const MAX_INCREMENTS: u64 = NO_LIMIT;
    type Producer = Arc<Cell>;

    async fn start(counters: usize) -> Self {
        Self { counters, cells: Mutex::default() }
    }

    fn producer(&self, counter: usize) -> Arc<Cell> {
        let cell = Arc::<Cell>::default();
        self.cells.lock().unwrap_or_else(PoisonError::into_inner).push((counter, Arc::clone(&cell)));
        cell
    }

    async fn values(&mut self) -> Vec<i64> {
        let mut values = vec![0; self.counters];
        for (counter, cell) in self.cells.get_mut().unwrap_or_else(PoisonError::into_inner) {
            values[*counter] += cell.0.load(Ordering::Relaxed);
        }
        values
    }
}

impl Increment for Arc<Cell> {
    #[inline]
    fn increment(&self, amount: i64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }
}
