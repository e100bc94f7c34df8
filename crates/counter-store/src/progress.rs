//! Messages between the committer and those who wait for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use counter_keyspace::SessionId;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

use crate::error::DurabilityError;
use crate::replicas::Member;

/// Progress of a store: the part of it that is durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Committed {
    /// Version of each shard up to which everything is durable.
    pub versions: Vec<u64>,
    /// Number of rounds that have been committed or had nothing to commit. Rounds count from 1.
    pub rounds: u64,
    /// Number of times that the disk has failed.
    pub failures: u64,
    /// True while the disk has failed and the state has not been written anew yet.
    pub is_failed: bool,
    /// True once the store has stopped.
    pub is_stopped: bool,
    /// Sessions below this one have durably ended.
    pub session_floor: SessionId,
}

impl Committed {
    /// Returns true if the shards are durable up to these versions, of which there is one for each shard.
    #[must_use]
    pub fn reaches(&self, versions: &[u64]) -> bool {
        let mut pairs = self.versions.iter().zip(versions);
        self.versions.len() == versions.len() && pairs.all(|(durable, wanted)| durable >= wanted)
    }
}

/// Tells those who wait how far the store is durable, and when it is dropped that the store has stopped.
#[derive(Debug)]
pub(crate) struct Publisher {
    committed: watch::Sender<Committed>,
    shared: Arc<Shared>,
}

/// Requests to the committer. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Inbox {
    shared: Arc<Shared>,
    committed: watch::Receiver<Committed>,
}

#[derive(Debug, Default)]
struct Shared {
    requests: Mutex<Requests>,
    /// Members to be recorded.
    members: Mutex<Vec<Member>>,
    /// For the committer, which is the only one that waits.
    arrived: Notify,
    /// For those who wait, in the order in which they have come. A watch channel wakes them in a random order.
    published: Notify,
}

/// Requests since the committer last looked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Requests {
    /// Number of rounds that have begun.
    rounds_begun: u64,
    /// Somebody waits for a round.
    pub(crate) is_waited_for: bool,
    /// The store is to end with one more round.
    pub(crate) is_stopping: bool,
    /// Sessions below this one are to end.
    pub(crate) session_floor: SessionId,
}

impl Publisher {
    /// Changes what is known.
    pub(crate) fn publish(&self, change: impl FnOnce(&mut Committed)) {
        self.committed.send_modify(change);
        self.shared.published.notify_waiters();
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.publish(|committed| committed.is_stopped = true);
    }
}

impl Inbox {
    /// Makes an inbox, and what its committer publishes by.
    pub(crate) fn new() -> (Self, Publisher) {
        let (sender, committed) = watch::channel(Committed::default());
        let shared = Arc::<Shared>::default();
        (Self { shared: Arc::clone(&shared), committed }, Publisher { committed: sender, shared })
    }

    /// Waits until everything is durable that the shards have applied before the call.
    pub(crate) async fn wait(&self) -> Result<(), DurabilityError> {
        let failures = self.committed.borrow().failures;
        let round = {
            let mut requests = self.lock();
            requests.is_waited_for = true;
            requests.rounds_begun + 1
        };
        self.shared.arrived.notify_one();
        self.wait_until(failures, |committed| committed.rounds >= round).await
    }

    /// Waits until a state of the store is reached.
    pub(crate) async fn wait_until(
        &self,
        failures: u64,
        is_reached: impl Fn(&Committed) -> bool,
    ) -> Result<(), DurabilityError> {
        loop {
            let published = self.shared.published.notified();
            {
                let committed = self.committed.borrow();
                if is_reached(&committed) {
                    return Ok(());
                }
                if committed.failures > failures {
                    return Err(DurabilityError::UnknownOutcome);
                }
                if committed.is_stopped {
                    return Err(DurabilityError::Stopped);
                }
            }
            published.await;
        }
    }

    pub(crate) fn committed(&self) -> watch::Receiver<Committed> {
        self.committed.clone()
    }

    /// Requests a round that ends the sessions below this one, durably.
    pub(crate) fn end_sessions_below(&self, floor: SessionId) {
        let mut requests = self.lock();
        requests.session_floor = requests.session_floor.max(floor);
        requests.is_waited_for = true;
        drop(requests);
        self.shared.arrived.notify_one();
    }

    /// Requests that the next round records a member.
    pub(crate) fn add_member(&self, member: Member) {
        self.members().push(member);
    }

    /// Returns the members to be recorded.
    pub(crate) fn take_members(&self) -> Vec<Member> {
        std::mem::take(&mut *self.members())
    }

    /// Requests an orderly end.
    pub(crate) fn stop(&self) {
        self.lock().is_stopping = true;
        self.shared.arrived.notify_one();
    }

    /// Notes that a round begins, which answers all who wait by now.
    pub(crate) fn begin_round(&self) -> u64 {
        let mut requests = self.lock();
        requests.is_waited_for = false;
        requests.rounds_begun += 1;
        requests.rounds_begun
    }

    /// Returns what has been requested.
    pub(crate) fn requests(&self) -> Requests {
        *self.lock()
    }

    /// Waits until something is requested, up to this time.
    pub(crate) async fn requested_until(&self, deadline: Instant) {
        self.wait_for(|requests| requests.is_waited_for || requests.is_stopping, deadline).await;
    }

    /// Waits until the store is to stop, up to this time.
    pub(crate) async fn stopping_until(&self, deadline: Instant) {
        self.wait_for(|requests| requests.is_stopping, deadline).await;
    }

    async fn wait_for(&self, is_awaited: impl Fn(&Requests) -> bool, deadline: Instant) {
        let arrival = async {
            while !is_awaited(&self.requests()) {
                self.shared.arrived.notified().await;
            }
        };
        // At the deadline there is something to do without a request.
        let _ = timeout_at(deadline, arrival).await;
    }

    fn members(&self) -> MutexGuard<'_, Vec<Member>> {
        self.shared.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Requests> {
        self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
