//! A thousand crashes under load: nothing is lost, nothing is doubled. The seed of the crashes is printed; `FAULT_SEED`
//! draws the same again.

#![expect(clippy::print_stdout, reason = "a failed run is repeated from the seed it prints")]

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use aggregator_actor::{AggregatorHandle, AggregatorOptions};
use counter_keyspace::{
    Keyspace, KeyspaceHandle, KeyspaceOptions, PageToken, Reporting, ShardActor, ShardArguments,
    ShardMessage, ShardState,
};
use fastrand::Rng;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use ractor_supervision::{Backoff, Intensity, Options};

const CRASHES: u64 = 1_000;
const PRODUCERS: u64 = 3;

/// A shard that crashes when it is told to, before or after a message.
#[derive(Clone, Default)]
struct Faulty {
    fault: Arc<AtomicU8>,
    crashes: Arc<AtomicU64>,
}

const PANIC_BEFORE: u8 = 1;
const ERROR_BEFORE: u8 = 2;
const PANIC_AFTER: u8 = 3;
const ERROR_AFTER: u8 = 4;

impl Actor for Faulty {
    type Msg = ShardMessage;
    type State = ShardState;
    type Arguments = ShardArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<ShardMessage>,
        arguments: ShardArguments,
    ) -> Result<ShardState, ActorProcessingErr> {
        ShardActor.pre_start(myself, arguments).await
    }

    async fn handle(
        &self,
        myself: ActorRef<ShardMessage>,
        message: ShardMessage,
        state: &mut ShardState,
    ) -> Result<(), ActorProcessingErr> {
        let fault = self.fault.swap(0, Ordering::Relaxed);
        self.crashes.fetch_add(u64::from(fault != 0), Ordering::Relaxed);
        match fault {
            PANIC_BEFORE => resume_unwind(Box::new("injected")),
            ERROR_BEFORE => return Err("injected".into()),
            _ => ShardActor.handle(myself, message, state).await?,
        }
        match fault {
            PANIC_AFTER => resume_unwind(Box::new("injected")),
            ERROR_AFTER => Err("injected".into()),
            _ => Ok(()),
        }
    }
}

async fn produce(handle: KeyspaceHandle, seed: u64, calm: Arc<AtomicBool>) -> BTreeMap<String, i64> {
    let (mut random, mut sent) = (Rng::with_seed(seed), BTreeMap::new());
    while !calm.load(Ordering::Relaxed) {
        let (name, amount) = (random.u16(..2_000).to_string(), random.i64(-9..=9));
        handle.increment(&name, amount).await.expect("it is restarted");
        *sent.entry(name).or_default() += amount;
        tokio::task::coop::consume_budget().await;
    }
    // Waits until what this handle has sent has been applied.
    handle.stats().await.expect("it is restarted");
    sent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_crashes_under_load_lose_and_double_nothing() {
    let seed =
        std::env::var("FAULT_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("FAULT_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    let intensity = Intensity { restarts: usize::MAX, within: Duration::from_secs(1) };
    let backoff = Backoff { first: Duration::ZERO, max: Duration::ZERO };
    let options = KeyspaceOptions {
        shards: NonZeroUsize::new(2).unwrap(),
        names_waiting: NonZeroUsize::new(100).unwrap(),
        supervision: Options { intensity, backoff, ..Options::default() },
        ..KeyspaceOptions::default()
    };
    let faulty = Faulty::default();
    let aggregator = AggregatorHandle::spawn(AggregatorOptions::default()).await.unwrap();
    let reporting = Reporting { keyspace: "faulty".into(), aggregator: aggregator.clone() };
    let keyspace = Keyspace::start_with(options, faulty.clone(), Some(reporting)).await.unwrap();
    let calm = Arc::new(AtomicBool::new(false));
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|_| tokio::spawn(produce(keyspace.handle(), random.u64(..), Arc::clone(&calm))))
        .collect();
    for n in 1..=CRASHES {
        faulty.fault.store(random.u8(1..=ERROR_AFTER), Ordering::Relaxed);
        while faulty.crashes.load(Ordering::Relaxed) < n {
            tokio::task::yield_now().await;
        }
    }
    calm.store(true, Ordering::Relaxed);

    let mut expected = BTreeMap::new();
    for producer in producers {
        for (name, amount) in producer.await.unwrap() {
            *expected.entry(name).or_default() += amount;
        }
    }
    let handle = keyspace.handle();
    assert_eq!(handle.stats().await.unwrap().restarts, u128::from(CRASHES), "FAULT_SEED={seed}");
    let (stats, collected) = (handle.stats().await.unwrap(), aggregator.collect().await.unwrap());
    assert_eq!(
        (
            collected.total_value,
            collected.total_operations,
            collected.num_counters,
            collected.unanswered.len()
        ),
        (stats.total_value, stats.total_operations, stats.num_counters, 0),
        "FAULT_SEED={seed}"
    );
    let (mut counted, mut next) = (BTreeMap::new(), Some(PageToken::default()));
    while let Some(page) = next {
        let (counters, following) = handle.scan(page).await.unwrap();
        counted.extend(counters.into_iter().map(|(name, count)| (name.to_string(), count.value)));
        next = following;
    }
    assert_eq!(counted, expected, "FAULT_SEED={seed}");
    keyspace.shutdown().await;
}
