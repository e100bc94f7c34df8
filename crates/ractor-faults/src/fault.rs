use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ractor::ActorId;
use tokio::sync::Notify;

/// Way to crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Panics instead of handling a message.
    PanicBefore,
    /// Fails instead of handling a message.
    ErrorBefore,
    /// Panics after it has handled a message.
    PanicAfter,
    /// Fails after it has handled a message.
    ErrorAfter,
    /// Panics after this number of steps of a message, with the rest in its hands.
    PanicWithin(usize),
    /// Is killed after this number of steps of a message, while it waits.
    KilledWithin(usize),
}

impl Fault {
    /// Draws a fault, half of them within a message, after 0 to 19 steps.
    pub fn random(random: &mut fastrand::Rng) -> Self {
        match random.u8(..8) {
            0 => Self::PanicBefore,
            1 => Self::ErrorBefore,
            2 => Self::PanicAfter,
            3 => Self::ErrorAfter,
            4 | 5 => Self::PanicWithin(random.usize(..20)),
            _ => Self::KilledWithin(random.usize(..20)),
        }
    }
}

/// Pending faults of [`Faulty`](crate::Faulty) actors. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    pending: Mutex<Pending>,
    happened: Notify,
    starts: AtomicU64,
}

#[derive(Debug, Default)]
struct Pending {
    next: Option<Fault>,
    by_actor: HashMap<ActorId, Fault>,
}

impl Faults {
    /// Makes the actor crash that handles the next message, or, for a fault within a message, the next one that can
    /// be handled in part. Replaces a fault that has not happened yet.
    pub fn inject(&self, fault: Fault) {
        self.with(|pending| pending.next = Some(fault));
    }

    /// Makes one actor crash with its next message.
    pub fn inject_into(&self, actor: ActorId, fault: Fault) {
        self.with(|pending| _ = pending.by_actor.insert(actor, fault));
    }

    /// Waits until an injected fault has happened. A kill from outside may still come before the crash.
    pub async fn happened(&self) {
        self.0.happened.notified().await;
    }

    /// Withdraws all faults that have not happened yet.
    pub fn clear(&self) {
        self.with(|pending| *pending = Pending::default());
    }

    /// Returns the number of incarnations that have started, of all actors together.
    #[must_use]
    pub fn starts(&self) -> u64 {
        self.0.starts.load(Ordering::Relaxed)
    }

    pub(crate) fn started(&self) {
        self.0.starts.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn take(&self, actor: ActorId) -> Option<Fault> {
        self.with(|pending| pending.by_actor.remove(&actor).or_else(|| pending.next.take()))
    }

    /// Keeps a fault that cannot happen with one message for another.
    pub(crate) fn put_back(&self, fault: Fault) {
        self.with(|pending| _ = pending.next.get_or_insert(fault));
    }

    pub(crate) fn happens(&self) {
        self.0.happened.notify_one();
    }

    fn with<T>(&self, change: impl FnOnce(&mut Pending) -> T) -> T {
        change(&mut self.0.pending.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Returns the seed of a test: that of the environment variable `FAULT_SEED`, else a random one. Prints it, so that a
/// failed run can be repeated with the same faults.
#[must_use]
#[expect(clippy::print_stdout, reason = "a failed run is repeated from the seed it prints")]
pub fn seed() -> u64 {
    let given = std::env::var("FAULT_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("FAULT_SEED={seed}");
    seed
}
