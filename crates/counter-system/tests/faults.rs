//! A thousand crashes under load: nothing is lost, nothing is doubled.
//!
//! Where and how it crashes is drawn from a seed, which is printed; `FAULT_SEED` draws the same again. What the
//! scheduler makes of it is its own affair.

#![expect(clippy::print_stdout, reason = "a failed run is repeated from the seed it prints")]

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use aggregator_actor::AggregatorOptions;
use counter_actor::{CounterActor, CounterArguments, CounterHandle, CounterState};
use counter_protocol::CounterMessage;
use counter_system::{CounterSystem, SystemOptions};
use fastrand::Rng;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use ractor_supervision::{Backoff, Intensity, Options};

const CRASHES: u64 = 1_000;
const PRODUCERS: u64 = 4;
const OPERATIONS: u64 = 1_000_000;

/// A counter that crashes once when it is told to, before or after a message.
#[derive(Clone, Default)]
struct Faulty {
    fault: Arc<AtomicU8>,
}

const PANIC_BEFORE: u8 = 1;
const ERROR_BEFORE: u8 = 2;
const PANIC_AFTER: u8 = 3;
const ERROR_AFTER: u8 = 4;

impl Actor for Faulty {
    type Msg = CounterMessage;
    type State = CounterState;
    type Arguments = CounterArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<CounterMessage>,
        arguments: CounterArguments,
    ) -> Result<CounterState, ActorProcessingErr> {
        CounterActor.pre_start(myself, arguments).await
    }

    async fn handle(
        &self,
        myself: ActorRef<CounterMessage>,
        message: CounterMessage,
        state: &mut CounterState,
    ) -> Result<(), ActorProcessingErr> {
        let fault = self.fault.swap(0, Ordering::Relaxed);
        match fault {
            PANIC_BEFORE => resume_unwind(Box::new("injected")),
            ERROR_BEFORE => return Err("injected".into()),
            _ => CounterActor.handle(myself, message, state).await?,
        }
        match fault {
            PANIC_AFTER => resume_unwind(Box::new("injected")),
            ERROR_AFTER => Err("injected".into()),
            _ => Ok(()),
        }
    }
}

fn seed() -> u64 {
    let seed = std::env::var("FAULT_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    println!("FAULT_SEED={seed}");
    seed
}

/// Sends operations for as long as there are crashes, and a million at least: their sum and their number.
async fn produce(counter: CounterHandle, seed: u64, calm: Arc<AtomicBool>) -> (i64, u64) {
    let mut random = Rng::with_seed(seed);
    let (mut sent, mut n) = (0, 0);
    while n < OPERATIONS || !calm.load(Ordering::Relaxed) {
        let amount = random.i64(-1_000..=1_000);
        if random.bool() {
            counter.increment(amount).expect("it is restarted");
            sent += amount;
        } else {
            counter.decrement(amount).expect("it is restarted");
            sent -= amount;
        }
        n += 1;
        if n % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
    (sent, n)
}

/// Crashes the counter again and again, each time it is back.
async fn crash(counter: CounterHandle, faulty: Faulty, mut random: Rng) {
    for _ in 0..CRASHES {
        let incarnation = counter.actor().expect("it has started");
        match random.u8(0..=ERROR_AFTER) {
            0 => incarnation.kill(),
            fault => faulty.fault.store(fault, Ordering::Relaxed),
        }
        // Its next message triggers the fault, and this is one. The successor answers.
        while counter.actor().expect("it has started").get_id() == incarnation.get_id() {
            counter.value().await.expect("it is restarted");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_crashes_under_load_lose_and_double_nothing() {
    let seed = seed();
    let mut random = Rng::with_seed(seed);
    let intensity = Intensity { restarts: usize::MAX, within: Duration::from_secs(1) };
    let backoff = Backoff { first: Duration::ZERO, max: Duration::ZERO };
    let options = SystemOptions {
        aggregator: AggregatorOptions {
            collect_every: Some(Duration::from_millis(10)),
            ..AggregatorOptions::default()
        },
        supervision: Options { intensity, backoff, ..Options::default() },
    };
    let faulty = Faulty::default();
    let system = CounterSystem::start_with(options, faulty.clone()).await.unwrap();
    let counter = system.counter("crashing").await.unwrap();
    let calm = Arc::new(AtomicBool::new(false));
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|_| tokio::spawn(produce(counter.clone(), random.u64(..), Arc::clone(&calm))))
        .collect();
    tokio::spawn(crash(counter.clone(), faulty, random)).await.unwrap();
    calm.store(true, Ordering::Relaxed);

    let (mut value, mut operations) = (0, 0);
    for producer in producers {
        let sent = producer.await.unwrap();
        (value, operations) = (value + sent.0, operations + sent.1);
    }
    let stats = counter.stats().await.unwrap();
    assert!(operations >= PRODUCERS * OPERATIONS);
    assert_eq!((stats.current_value, stats.total_operations), (value, operations), "FAULT_SEED={seed}");
    assert_eq!((stats.refused_operations, stats.restarts), (0, CRASHES), "FAULT_SEED={seed}");
    let totals = system.aggregator().collect().await.unwrap();
    assert_eq!((totals.total_value, totals.restarts), (value.into(), CRASHES.into()), "FAULT_SEED={seed}");
    system.shutdown().await;
}
