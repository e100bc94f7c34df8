//! Crashes under load at arbitrary points: nothing is lost, nothing is doubled, and every question is answered.
//!
//! The point and kind of each crash are drawn from a seed, which is printed; `FAULT_SEED` draws the same again. The
//! order in which the scheduler runs tasks is not part of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aggregator_actor::AggregatorOptions;
use counter_actor::{CounterActor, CounterError, CounterHandle};
use counter_protocol::{AggregatedStats, CounterMessage, Delta};
use counter_system::{CounterSystem, SystemOptions};
use fastrand::Rng;
use ractor_faults::{Fault, Faults, Faulty, seed};
use ractor_outbox::OpenBatch;
use ractor_supervision::{Backoff, Intensity, Options};
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

const CRASHES: u64 = 1_000;
const PRODUCERS: usize = 4;
const ASKERS: usize = 64;
/// Deadline of an answer, far more than any takes on any machine.
const ANSWER_DEADLINE: Duration = Duration::from_secs(60);

/// Creates a counter that may crash after it has opened a batch.
fn faulty(faults: &Faults) -> FaultyCounter {
    Faulty::in_parts(CounterActor, faults, |message, _, _| match message {
        CounterMessage::Parcel(parcel) => Ok(parcel.open()),
        whole => Err(whole),
    })
}

type FaultyCounter = Faulty<CounterActor, Option<OpenBatch<Delta>>>;

async fn yields(n: u8) {
    for _ in 0..n {
        yield_now().await;
    }
}

async fn system(faults: &Faults) -> CounterSystem<FaultyCounter> {
    let intensity = Intensity { restarts: usize::MAX, within: Duration::from_secs(1) };
    let backoff = Backoff { first: Duration::ZERO, max: Duration::ZERO };
    let options = SystemOptions {
        aggregator: AggregatorOptions {
            collect_every: Some(Duration::from_millis(10)),
            ..AggregatorOptions::default()
        },
        supervision: Options { intensity, backoff, ..Options::default() },
    };
    CounterSystem::start_with(options, faulty(faults)).await.expect("it starts")
}

/// Increments until it is calm or the counter has stopped. Returns the sum and the number of accepted operations. Now
/// and then it uses a handle that is dropped soon, while its batch is in flight or being applied.
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
        // The answer comes after what the dropped handle has left in the mailbox, which bounds the mailbox.
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
    let (mut random, faults, calm) =
        (Rng::with_seed(seed), Faults::default(), Arc::new(AtomicBool::new(false)));
    let system = system(&faults).await;
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
        faults.inject(Fault::random(&mut random));
        faults.happened().await;
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
    assert_eq!(stats.restarts, u128::from(faults.starts()) - 1, "FAULT_SEED={seed}");
    assert!(stats.restarts >= u128::from(CRASHES), "FAULT_SEED={seed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn crashes_during_a_shutdown_lose_and_double_nothing() {
    let seed = seed();
    let mut random = Rng::with_seed(seed);
    for _ in 0..50 {
        let (faults, calm) = (Faults::default(), Arc::new(AtomicBool::new(false)));
        let system = system(&faults).await;
        let counter = system.counter("crashing").await.unwrap();
        let mut producers = JoinSet::new();
        for _ in 0..PRODUCERS {
            producers.spawn(produce(counter.clone(), random.u64(..), Arc::clone(&calm)));
        }
        let killer = tokio::spawn(kill(counter.clone(), random.fork(), Arc::clone(&calm)));
        faults.inject(Fault::random(&mut random));
        counter.value().await.unwrap();
        faults.inject(Fault::random(&mut random));
        let stats = system.shutdown().await;
        calm.store(true, Ordering::Relaxed);
        killer.await.unwrap();
        let (value, operations) = sums(producers).await;
        assert_eq!(counted(&stats), (value, operations, 0, 0), "FAULT_SEED={seed}");
    }
}
