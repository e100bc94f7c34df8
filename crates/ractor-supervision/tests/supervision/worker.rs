//! The child of these tests, and the supervisor over it.

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, Message};
use ractor_supervision::{
    Backoff, ChildEvent, ChildSpec, Event, Intensity, Lease, Options, StateSlot, Strategy, SupervisorHandle,
};
use tokio::sync::broadcast;
use tokio::time::timeout;

/// Actor that counts, and ends as an order says.
#[derive(Clone, Default)]
pub(crate) struct Worker {
    pub(crate) panics_after_start: Arc<AtomicU32>,
    pub(crate) log: Arc<Mutex<Vec<String>>>,
    /// State that [`Order::Leak`] has leaked.
    pub(crate) leaked: Arc<Mutex<Option<Lease<u32>>>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Order {
    Count,
    Fail,
    Panic,
    Hang,
    /// Fail, and leave the state with another owner.
    Leak,
}

impl Message for Order {}

impl Actor for Worker {
    type Msg = Order;
    type State = Lease<u32>;
    type Arguments = Lease<u32>;

    async fn pre_start(
        &self,
        _: ActorRef<Order>,
        count: Lease<u32>,
    ) -> Result<Lease<u32>, ActorProcessingErr> {
        Ok(count)
    }

    async fn post_start(&self, _: ActorRef<Order>, _: &mut Lease<u32>) -> Result<(), ActorProcessingErr> {
        let panics =
            self.panics_after_start.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        assert!(panics.is_err(), "panic after start");
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Order>,
        order: Order,
        count: &mut Lease<u32>,
    ) -> Result<(), ActorProcessingErr> {
        **count += 1;
        match order {
            Order::Count => Ok(()),
            Order::Fail => Err("failed as told".into()),
            Order::Panic => panic!("panicked as told"),
            Order::Hang => std::future::pending().await,
            Order::Leak => {
                *lock(&self.leaked) = Some(mem::replace(count, Lease::from(0)));
                Err("leaked as told".into())
            }
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Action of a start after it has spawned its actor.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Twist {
    Fail,
    Panic,
    Hang,
}

/// A child, the slot of its count, and its actor.
pub(crate) struct Child {
    pub(crate) slot: StateSlot<u32>,
    pub(crate) running: Arc<Mutex<Option<ActorRef<Order>>>>,
    pub(crate) worker: Worker,
    /// Number of starts that fail, after the first.
    pub(crate) start_failures: Arc<AtomicU32>,
    /// Twists of the next starts, one each.
    pub(crate) twists: Arc<Mutex<VecDeque<Twist>>>,
}

impl Child {
    pub(crate) fn new() -> Self {
        Self {
            slot: StateSlot::new(0),
            running: Arc::default(),
            worker: Worker::default(),
            start_failures: Arc::default(),
            twists: Arc::default(),
        }
    }

    /// Makes the next restarts go wrong in these ways, one after the other, once they have spawned an actor.
    pub(crate) fn twist(&self, twists: impl IntoIterator<Item = Twist>) {
        lock(&self.twists).extend(twists);
    }

    pub(crate) fn spec(&self, id: &'static str) -> ChildSpec {
        let (slot, running) = (self.slot.clone(), Arc::clone(&self.running));
        let (worker, failures) = (self.worker.clone(), Arc::clone(&self.start_failures));
        let twists = Arc::clone(&self.twists);
        ChildSpec::new(id, move |supervisor| {
            let (slot, running) = (slot.clone(), Arc::clone(&running));
            let twists = Arc::clone(&twists);
            let (worker, failures) = (worker.clone(), Arc::clone(&failures));
            async move {
                let count = slot.lease().await;
                let is_restart = lock(&running).is_some();
                let fails = failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
                if is_restart && fails.is_ok() {
                    return Err("no luck".into());
                }
                lock(&worker.log).push(format!("start {id}"));
                let (actor, _task) = Actor::spawn_linked(None, worker, count, supervisor).await?;
                *lock(&running) = Some(actor.clone());
                let twist = lock(&twists).pop_front();
                match twist {
                    None => Ok(actor.get_cell()),
                    Some(Twist::Fail) => Err("failed after it had spawned".into()),
                    Some(Twist::Panic) => panic!("panicked after it had spawned"),
                    Some(Twist::Hang) => std::future::pending().await,
                }
            }
        })
    }

    pub(crate) fn actor(&self) -> ActorRef<Order> {
        lock(&self.running).clone().expect("it has been started")
    }

    pub(crate) fn order(&self, order: Order) {
        self.actor().cast(order).expect("it runs");
    }

    /// Returns the state that [`Order::Leak`] has leaked to its slot.
    pub(crate) fn return_leaked(&self) {
        lock(&self.worker.leaked).take().expect("it was leaked");
    }
}

pub(crate) const fn options(strategy: Strategy) -> Options {
    let intensity = Intensity { restarts: 5, within: Duration::from_secs(10) };
    let backoff = Backoff { first: Duration::from_secs(1), max: Duration::from_secs(60) };
    Options { strategy, intensity, backoff }
}

pub(crate) async fn supervise(children: Vec<ChildSpec>) -> SupervisorHandle {
    SupervisorHandle::start(options(Strategy::OneForOne), children).await.expect("they start")
}

pub(crate) async fn until(
    events: &mut broadcast::Receiver<Event>,
    expected: impl Fn(&ChildEvent) -> bool,
) -> Event {
    loop {
        let event =
            timeout(Duration::from_secs(100), events.recv()).await.expect("in time").expect("it lives");
        if expected(&event.kind) {
            return event;
        }
    }
}

pub(crate) fn is_restart(kind: &ChildEvent) -> bool {
    matches!(kind, ChildEvent::Restarted { .. })
}
