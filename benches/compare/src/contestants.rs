//! Contestants: the ways to count that are compared, each in a file of its own.

mod actix;
mod atomic;
mod cast;
mod channel;
mod handle;
mod kameo;
mod mutex;
mod per_producer;

use self::actix::Actix;
use self::atomic::Atomic;
use self::cast::Cast;
use self::channel::Channel;
use self::handle::OutboxHandle;
use self::kameo::Kameo;
use self::mutex::Locked;
use self::per_producer::PerProducer;
use crate::produce::Producer;
use crate::race::Entrant;

/// Contestant that the others are compared with.
pub(crate) const HANDLE: &str = OutboxHandle::NAME;
pub(crate) const CAST: &str = Cast::NAME;
pub(crate) const ATOMIC: &str = Atomic::<true>::NAME;

/// Increments per run of a contestant whose memory does not grow with them.
const NO_LIMIT: u64 = 1_000_000_000;
/// Increments per run of a contestant whose mailboxes have no bound. All of them may wait, at 100 to 200 bytes each,
/// and that has to stay under 1 GB.
const MAX_WAITING: u64 = 2_000_000;

/// Way to count, with any number of counters, numbered from 0.
pub(crate) trait Contestant: Sized {
    const NAME: &'static str;
    /// Maximum number of increments in one run, of all producers together.
    const MAX_INCREMENTS: u64;
    type Producer: Producer;

    /// Starts counters at 0.
    async fn start(counters: usize) -> Self;

    /// Returns a new producer's end for one of the counters.
    fn producer(&self, counter: usize) -> Self::Producer;

    /// Returns each counter's final value, as soon as every increment is applied. The producers have ended.
    async fn values(&mut self) -> Vec<i64>;

    /// Stops all tasks and threads, after the measurement.
    async fn stop(self) {}
}

pub(crate) fn with_tasks() -> Vec<Entrant> {
    vec![
        Entrant::with_tasks::<OutboxHandle>(),
        Entrant::with_tasks::<Cast>(),
        Entrant::with_tasks::<Atomic<true>>(),
        Entrant::with_tasks::<Atomic<false>>(),
        Entrant::with_tasks::<PerProducer>(),
        Entrant::with_tasks::<Locked>(),
        Entrant::with_tasks::<Channel<false>>(),
        Entrant::with_tasks::<Channel<true>>(),
        Entrant::with_tasks::<Kameo<true>>(),
        Entrant::with_tasks::<Kameo<false>>(),
        Entrant::with_tasks::<Actix>(),
    ]
}

/// Returns the contestants whose producers need no runtime.
pub(crate) fn with_threads() -> Vec<Entrant> {
    vec![
        Entrant::with_threads::<OutboxHandle>(),
        Entrant::with_threads::<Cast>(),
        Entrant::with_threads::<Atomic<true>>(),
        Entrant::with_threads::<Atomic<false>>(),
        Entrant::with_threads::<PerProducer>(),
        Entrant::with_threads::<Locked>(),
    ]
}
