//! Crashes under load, anywhere: nothing is lost, nothing is doubled, and every question is answered.
//!
//! Where and how a counter crashes is drawn from a seed, which is printed; `FAULT_SEED` draws the same again. What the
//! scheduler makes of it is its own affair.

#![expect(clippy::print_stdout, reason = "a failed run is repeated from the seed it prints")]

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aggregator_actor::AggregatorOptions;
use counter_actor::{CounterActor, CounterError, CounterHandle, CounterState};
use counter_protocol::{AggregatedStats, CounterMessage};
use counter_system::{CounterSystem, SystemOptions};
use fastrand::Rng;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use ractor_supervision::{Backoff, Intensity, Lease, Options};
use tokio::sync::Notify;
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

const CRASHES: u64 = 1_000;
const PRODUCERS: usize = 4;
const ASKERS: usize = 64;
/// Far more than any answer takes, on any machine.
const ANSWER_DEADLINE: Duration = Duration::from_secs(60);

/// How a counter is to crash.
#[derive(Clone, Copy, Debug)]
enum Fault {
    PanicBefore,
    ErrorBefore,
    PanicAfter,
    ErrorAfter,
    /// With a batch in its hands.
    PanicHolding,
    /// The same, at a point where it waits.
    KilledHolding,
}

impl Fault {
    fn random(random: &mut Rng) -> Self {
        match random.u8(..8) {
            0 => Self::PanicBefore,
            1 => Self::ErrorBefore,
            2 => Self::PanicAfter,
            3 => Self::ErrorAfter,
            4 | 5 => Self::PanicHolding,
            _ => Self::KilledHolding,
        }
    }
}

/// A counter that crashes when it is told to, and waits here and there, so that a kill can hit it.
#[derive(Clone, Default)]
struct Faulty {
    next: Arc<Mutex<Option<Fault>>>,
    crashed: Arc<Notify>,
    starts: Arc<AtomicU64>,
}

impl Faulty {
    fn next(&self) -> MutexGuard<'_, Option<Fault>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next fault, if it can happen with this message.
    fn take(&self, message: &CounterMessage) -> Option<Fault> {
        let holding = |fault: &Fault| matches!(fault, Fault::PanicHolding | Fault::KilledHolding);
        let fault =
            self.next().take_if(|fault| !holding(fault) || matches!(message, CounterMessage::Parcel(_)));
        if fault.is_some() {
            self.crashed.notify_one();
        }
        fault
    }
}

impl Actor for Faulty {
    type Msg = CounterMessage;
    type State = Lease<CounterState>;
    type Arguments = Lease<CounterState>;

    async fn pre_start(
        &self,
        myself: ActorRef<CounterMessage>,
        state: Lease<CounterState>,
    ) -> Result<Lease<CounterState>, ActorProcessingErr> {
        let state = CounterActor.pre_start(myself, state).await?;
        self.starts.fetch_add(1, Ordering::Relaxed);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<CounterMessage>,
        message: CounterMessage,
        state: &mut Lease<CounterState>,
    ) -> Result<(), ActorProcessingErr> {
        yield_now().await;
        let fault = self.take(&message);
        match (fault, message) {
            (Some(Fault::PanicBefore), _) => resume_unwind(Box::new("injected")),
            (Some(Fault::ErrorBefore), _) => return Err("injected".into()),
            (Some(Fault::PanicHolding), CounterMessage::Parcel(parcel)) => {
                let _batch = parcel.open();
                yields(10).await;
                resume_unwind(Box::new("injected"))
            }
            (Some(Fault::KilledHolding), CounterMessage::Parcel(parcel)) => {
                let _batch = parcel.open();
                yields(10).await;
                myself.kill();
                std::future::pending().await
            }
            (_, message) => CounterActor.handle(myself, message, state).await?,
        }
        yield_now().await;
        match fault {
            Some(Fault::PanicAfter) => resume_unwind(Box::new("injected")),
            Some(Fault::ErrorAfter) => Err("injected".into()),
            _ => Ok(()),
        }
    }
}

async fn yields(n: u8) {
    for _ in 0..n {
        yield_now().await;
    }
}

fn seed() -> u64 {
    let given = std::env::var("FAULT_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("FAULT_SEED={seed}");
    seed
}

async fn system(faulty: &Faulty) -> CounterSystem<Faulty> {
    let intensity = Intensity { restarts: usize::MAX, within: Duration::from_secs(1) };
    let backoff = Backoff { first: Duration::ZERO, max: Duration::ZERO };
    let options = SystemOptions {
        aggregator: AggregatorOptions {
            collect_every: Some(Duration::from_millis(10)),
            ..AggregatorOptions::default()
        },
        supervision: Options { intensity, backoff, ..Options::default() },
    };
    CounterSystem::start_with(options, faulty.clone()).await.expect("it starts")
}

/// Counts until it is calm or the counter has stopped: the sum and the number of what was accepted. Now and then through
/// a handle that is dropped soon, while its batch is on its way or in the counter's hands.
async fn produce(counter: CounterHandle, seed: u64, calm: Arc<AtomicBool>) -> (i128, u128) {
    let (mut random, mut sum, mut operations) = (Rng::with_seed(seed), 0, 0);
    while !calm.load(Ordering::Relaxed) {
        let clone = random.bool().then(|| counter.clone());
        let sender = clone.as_ref().unwrap_or(&counter);
        for _ in 0..random.u8(1..100) {
            let amount = random.i64(-1_000..=1_000);
            let (counted, amount) = if random.bool() {
                (sender.increment(amount), amount)
            } else {
                (sender.decrement(amount), -amount)
            };
            match counted {
                Ok(()) => (sum, operations) = (sum + i128::from(amount), operations + 1),
                Err(CounterError::Stopped { .. }) => return (sum, operations),
                Err(error) => panic!("{error}"),
            }
        }
        yields(random.u8(1..20)).await;
        let is_dropped = clone.is_some();
        drop(clone);
        // The answer comes behind what the dropped handle has left in the mailbox, which bounds it.
        if is_dropped && counter.value().await.is_err() {
            return (sum, operations);
        }
    }
    (sum, operations)
}

/// Asks until it is calm. Every question is answered, whatever happens to the counter.
async fn ask(counter: CounterHandle, calm: Arc<AtomicBool>) {
    while !calm.load(Ordering::Relaxed) {
        let answer = timeout(ANSWER_DEADLINE, counter.value()).await;
        answer.expect("every question is answered").expect("it is restarted");
    }
}

/// Kills the counter at any moment until it is calm, each incarnation once.
async fn kill(counter: CounterHandle, mut random: Rng, calm: Arc<AtomicBool>) {
    let mut killed = None;
    while !calm.load(Ordering::Relaxed) {
        let incarnation = counter.actor().expect("it has started");
        if killed != Some(incarnation.get_id()) {
            killed = Some(incarnation.get_id());
            incarnation.kill();
        }
        yields(random.u8(..100)).await;
    }
}

async fn sums(producers: JoinSet<(i128, u128)>) -> (i128, u128) {
    producers.join_all().await.into_iter().fold((0, 0), |sum, sent| (sum.0 + sent.0, sum.1 + sent.1))
}

fn counted(stats: &AggregatedStats) -> (i128, u128, u128, usize) {
    (stats.total_value, stats.total_operations, stats.rejected_operations, stats.unanswered.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_crashes_under_load_lose_and_double_nothing() {
    let seed = seed();
    let (mut random, faulty, calm) =
        (Rng::with_seed(seed), Faulty::default(), Arc::new(AtomicBool::new(false)));
    let system = system(&faulty).await;
    let counter = system.counter("crashing").await.unwrap();
    let (mut producers, mut others) = (JoinSet::new(), JoinSet::new());
    for _ in 0..PRODUCERS {
        producers.spawn(produce(counter.clone(), random.u64(..), Arc::clone(&calm)));
    }
    for _ in 0..ASKERS {
        others.spawn(ask(counter.clone(), Arc::clone(&calm)));
    }
    others.spawn(kill(counter.clone(), random.fork(), Arc::clone(&calm)));
    for _ in 0..CRASHES {
        *faulty.next() = Some(Fault::random(&mut random));
        faulty.crashed.notified().await;
    }
    calm.store(true, Ordering::Relaxed);
    others.join_all().await;
    let (value, operations) = sums(producers).await;
    let applied = async { while u128::from(counter.stats().await.unwrap().total_operations) < operations {} };
    assert!(timeout(ANSWER_DEADLINE, applied).await.is_ok(), "something is lost; FAULT_SEED={seed}");
    let expected = (value, operations, 0, 0);
    assert_eq!(counted(&system.aggregator().collect().await.unwrap()), expected, "FAULT_SEED={seed}");
    let stats = system.shutdown().await;
    assert_eq!(counted(&stats), expected, "FAULT_SEED={seed}");
    assert_eq!(stats.restarts, u128::from(faulty.starts.load(Ordering::Relaxed)) - 1, "FAULT_SEED={seed}");
    assert!(stats.restarts >= u128::from(CRASHES), "FAULT_SEED={seed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn crashes_during_a_shutdown_lose_and_double_nothing() {
    let seed = seed();
    let mut random = Rng::with_seed(seed);
    for _ in 0..50 {
        let (faulty, calm) = (Faulty::default(), Arc::new(AtomicBool::new(false)));
        let system = system(&faulty).await;
        let counter = system.counter("crashing").await.unwrap();
        let mut producers = JoinSet::new();
        for _ in 0..PRODUCERS {
            producers.spawn(produce(counter.clone(), random.u64(..), Arc::clone(&calm)));
        }
        let killer = tokio::spawn(kill(counter.clone(), random.fork(), Arc::clone(&calm)));
        *faulty.next() = Some(Fault::random(&mut random));
        counter.value().await.unwrap();
        *faulty.next() = Some(Fault::random(&mut random));
        let stats = system.shutdown().await;
        calm.store(true, Ordering::Relaxed);
        killer.await.unwrap();
        let (value, operations) = sums(producers).await;
        assert_eq!(counted(&stats), (value, operations, 0, 0), "FAULT_SEED={seed}");
    }
}
