//! Crashes under load, anywhere: nothing is lost, nothing is doubled, and every question is answered.
//!
//! Where and how a shard crashes is drawn from a seed, which is printed; `FAULT_SEED` draws the same again.

#![expect(clippy::print_stdout, reason = "a failed run is repeated from the seed it prints")]

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aggregator_actor::{AggregatorHandle, AggregatorOptions};
use fastrand::Rng;
use ractor_outbox::OpenBatch;
use ractor_supervision::{Backoff, Intensity, Lease, Options};
use tokio::sync::Notify;
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

use super::*;
use crate::{Keyspace, KeyspaceError, KeyspaceHandle, KeyspaceOptions, PageToken, Reporting};

const SHARDS: usize = 2;
const CRASHES: u64 = 1_000;
const PRODUCERS: usize = 3;
const ASKERS: usize = 64;
/// Far more than any answer takes, on any machine.
const ANSWER_DEADLINE: Duration = Duration::from_secs(60);

/// How a shard is to crash.
#[derive(Clone, Copy, Debug)]
enum Fault {
    PanicBefore,
    ErrorBefore,
    PanicAfter,
    ErrorAfter,
    /// When it has applied so many names of a batch.
    PanicWithin(usize),
    /// The same, at a point where it waits.
    KilledWithin(usize),
}

impl Fault {
    fn random(random: &mut Rng) -> Self {
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

/// A shard that crashes when it is told to, and waits here and there, so that a kill can hit it.
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
    fn take(&self, message: &ShardMessage) -> Option<Fault> {
        let within = |fault: &Fault| matches!(fault, Fault::PanicWithin(_) | Fault::KilledWithin(_));
        let fault = self.next().take_if(|fault| !within(fault) || matches!(message, ShardMessage::Parcel(_)));
        if fault.is_some() {
            self.crashed.notify_one();
        }
        fault
    }
}

/// Applies so many names of a batch, and leaves the rest in its hands.
fn apply_some(parcel: Parcel<Deltas>, names: usize, table: &mut Table) -> Option<OpenBatch<Deltas>> {
    let mut deltas = parcel.open()?;
    for _ in 0..names {
        deltas.pop(|key, delta| table.apply(key, delta));
    }
    Some(deltas)
}

impl Actor for Faulty {
    type Msg = ShardMessage;
    type State = Lease<ShardState>;
    type Arguments = Lease<ShardState>;

    async fn pre_start(
        &self,
        myself: ActorRef<ShardMessage>,
        state: Lease<ShardState>,
    ) -> Result<Lease<ShardState>, ActorProcessingErr> {
        let state = ShardActor.pre_start(myself, state).await?;
        self.starts.fetch_add(1, Ordering::Relaxed);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<ShardMessage>,
        message: ShardMessage,
        state: &mut Lease<ShardState>,
    ) -> Result<(), ActorProcessingErr> {
        yield_now().await;
        let fault = self.take(&message);
        match (fault, message) {
            (Some(Fault::PanicBefore), _) => resume_unwind(Box::new("injected")),
            (Some(Fault::ErrorBefore), _) => return Err("injected".into()),
            (Some(Fault::PanicWithin(names)), ShardMessage::Parcel(parcel)) => {
                let _rest = apply_some(parcel, names, &mut state.table);
                yields(50).await;
                resume_unwind(Box::new("injected"))
            }
            (Some(Fault::KilledWithin(names)), ShardMessage::Parcel(parcel)) => {
                let _rest = apply_some(parcel, names, &mut state.table);
                yields(50).await;
                myself.kill();
                std::future::pending().await
            }
            (_, message) => ShardActor.handle(myself, message, state).await?,
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

fn options() -> KeyspaceOptions {
    let intensity = Intensity { restarts: usize::MAX, within: Duration::from_secs(1) };
    let backoff = Backoff { first: Duration::ZERO, max: Duration::ZERO };
    KeyspaceOptions {
        shards: NonZeroUsize::new(SHARDS).unwrap(),
        max_pending_names: NonZeroUsize::new(100).unwrap(),
        supervision: Options { intensity, backoff, ..Options::default() },
        ..KeyspaceOptions::default()
    }
}

/// What was accepted, by name: sum and number of operations.
type Accepted = BTreeMap<String, (i64, u64)>;

/// Counts until it is calm or the keyspace has stopped. Now and then through a handle that is dropped at once, while its
/// batch is on its way or in the shard's hands.
async fn produce(handle: KeyspaceHandle, seed: u64, calm: Arc<AtomicBool>) -> Accepted {
    let (mut random, mut accepted) = (Rng::with_seed(seed), Accepted::new());
    while !calm.load(Ordering::Relaxed) {
        let clone = random.bool().then(|| handle.clone());
        let sender = clone.as_ref().unwrap_or(&handle);
        for _ in 0..random.u8(1..20) {
            let (name, amount) = (random.u16(..2_000).to_string(), random.i64(-9..=9));
            match sender.increment(&name, amount).await {
                Ok(()) => {
                    let (sum, operations) = accepted.entry(name).or_default();
                    (*sum, *operations) = (*sum + amount, *operations + 1);
                }
                Err(KeyspaceError::Stopped) => return accepted,
                Err(error) => panic!("{error}"),
            }
            tokio::task::coop::consume_budget().await;
        }
        yields(random.u8(..20)).await;
    }
    accepted
}

/// Asks until it is calm. Every question is answered, whatever happens to the shards.
async fn ask(handle: KeyspaceHandle, seed: u64, calm: Arc<AtomicBool>) {
    let mut random = Rng::with_seed(seed);
    while !calm.load(Ordering::Relaxed) {
        let answer = async {
            match random.u8(..64) {
                0 => handle.stats().await.map(drop),
                1 => handle.top(3).await.map(drop),
                _ => handle.value(random.u16(..2_000).to_string()).await.map(drop),
            }
        };
        timeout(ANSWER_DEADLINE, answer).await.expect("every question is answered").expect("it is restarted");
    }
}

/// Kills shards at any moment until it is calm, each incarnation once.
async fn kill(handle: KeyspaceHandle, mut random: Rng, calm: Arc<AtomicBool>) {
    let mut killed = [None; SHARDS];
    while !calm.load(Ordering::Relaxed) {
        let shard = random.usize(..SHARDS);
        if let Some(actor) = handle.shards[shard].actor()
            && killed[shard] != Some(actor.get_id())
        {
            killed[shard] = Some(actor.get_id());
            actor.kill();
        }
        yields(random.u8(..100)).await;
    }
}

async fn everything(handle: &KeyspaceHandle) -> Accepted {
    let (mut all, mut next) = (Accepted::new(), Some(PageToken::default()));
    while let Some(page) = next {
        let (counters, following) = handle.scan(page).await.unwrap();
        all.extend(
            counters
                .into_iter()
                .map(|(name, Count { value, operations })| (name.to_string(), (value, operations))),
        );
        next = following;
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_crashes_under_load_lose_and_double_nothing() {
    let seed = seed();
    let (mut random, faulty, calm) =
        (Rng::with_seed(seed), Faulty::default(), Arc::new(AtomicBool::new(false)));
    let aggregator = AggregatorHandle::spawn(AggregatorOptions::default()).await.unwrap();
    let reporting = Reporting { keyspace: "faulty".into(), aggregator: aggregator.clone() };
    let keyspace = Keyspace::start_with(options(), faulty.clone(), Some(reporting)).await.unwrap();
    let (mut producers, mut others) = (JoinSet::new(), JoinSet::new());
    for _ in 0..PRODUCERS {
        producers.spawn(produce(keyspace.handle(), random.u64(..), Arc::clone(&calm)));
    }
    for _ in 0..ASKERS {
        others.spawn(ask(keyspace.handle(), random.u64(..), Arc::clone(&calm)));
    }
    others.spawn(kill(keyspace.handle(), random.fork(), Arc::clone(&calm)));
    for _ in 0..CRASHES {
        *faulty.next() = Some(Fault::random(&mut random));
        faulty.crashed.notified().await;
    }
    calm.store(true, Ordering::Relaxed);
    others.join_all().await;

    let (mut expected, mut operations) = (Accepted::new(), 0);
    for (name, (sum, number)) in producers.join_all().await.into_iter().flatten() {
        let entry = expected.entry(name).or_default();
        (*entry, operations) = ((entry.0 + sum, entry.1 + number), operations + u128::from(number));
    }
    let handle = keyspace.handle();
    let applied = async { while handle.stats().await.unwrap().total_operations < operations {} };
    let in_time = timeout(ANSWER_DEADLINE, applied).await;
    assert!(in_time.is_ok(), "something is lost; FAULT_SEED={seed}");
    assert_eq!(everything(&handle).await, expected, "FAULT_SEED={seed}");
    let (stats, collected) = (handle.stats().await.unwrap(), aggregator.collect().await.unwrap());
    assert_eq!(stats.restarts, u128::from(faulty.starts.load(Ordering::Relaxed)) - SHARDS as u128);
    assert!(stats.restarts >= u128::from(CRASHES), "FAULT_SEED={seed}");
    let same = |of: &AggregatedStats| (of.total_value, of.total_operations, of.num_counters, of.restarts);
    assert_eq!((same(&collected), collected.unanswered.len()), (same(&stats), 0), "FAULT_SEED={seed}");
    keyspace.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn crashes_during_a_shutdown_lose_and_double_nothing() {
    let seed = seed();
    let mut random = Rng::with_seed(seed);
    for _ in 0..50 {
        let (faulty, calm) = (Faulty::default(), Arc::new(AtomicBool::new(false)));
        let keyspace = Keyspace::start_with(options(), faulty.clone(), None).await.unwrap();
        let mut producers = JoinSet::new();
        for _ in 0..PRODUCERS {
            producers.spawn(produce(keyspace.handle(), random.u64(..), Arc::clone(&calm)));
        }
        let killer = tokio::spawn(kill(keyspace.handle(), random.fork(), Arc::clone(&calm)));
        *faulty.next() = Some(Fault::random(&mut random));
        keyspace.handle().stats().await.unwrap();
        *faulty.next() = Some(Fault::random(&mut random));
        let stats = keyspace.shutdown().await;
        calm.store(true, Ordering::Relaxed);
        killer.await.unwrap();
        let accepted: u64 =
            producers.join_all().await.into_iter().flatten().map(|(_, (_, operations))| operations).sum();
        assert_eq!(
            (stats.total_operations, stats.unanswered.len()),
            (accepted.into(), 0),
            "FAULT_SEED={seed}"
        );
    }
}
