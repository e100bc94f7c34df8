//! Crashes under load at arbitrary points: nothing is lost, nothing is doubled, and every question is answered.
//!
//! The point and kind of each crash are drawn from a seed, which is printed; `FAULT_SEED` draws the same again.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aggregator_actor::{AggregatorHandle, AggregatorOptions};
use fastrand::Rng;
use ractor_faults::{Fault, Faults, Faulty, seed};
use ractor_outbox::OpenBatch;
use ractor_supervision::{Backoff, Intensity, Options};
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

use super::*;
use crate::handle::{KeyspaceError, KeyspaceHandle, PageToken};
use crate::keyspace::{Keyspace, KeyspaceOptions, Reporting};

const SHARDS: usize = 2;
pub(super) const CRASHES: u64 = 1_000;
pub(super) const PRODUCERS: usize = 3;
const ASKERS: usize = 64;
/// Deadline of an answer, far more than any takes on any machine.
const ANSWER_DEADLINE: Duration = Duration::from_secs(60);

/// Creates a shard that may crash after it has applied a part of a batch.
pub(super) fn faulty(faults: &Faults) -> Faulty<ShardActor, Option<OpenBatch<Deltas>>> {
    Faulty::in_parts(ShardActor, faults, |message, names, state| match message {
        ShardMessage::Parcel(parcel) => Ok(apply_some(parcel, names, state)),
        whole => Err(whole),
    })
}

/// Applies `names` names of a batch, or operations of calls, and returns the rest.
fn apply_some(parcel: Parcel<Deltas>, names: usize, state: &mut ShardState) -> Option<OpenBatch<Deltas>> {
    let mut deltas = parcel.open()?;
    state.version += 1;
    for _ in 0..names {
        if !deltas.pop(|key, delta| state.table.apply(key, delta)) {
            state.apply_one(&mut deltas);
        }
    }
    Some(deltas)
}

pub(super) async fn yields(n: u8) {
    for _ in 0..n {
        yield_now().await;
    }
}

pub(super) fn options() -> KeyspaceOptions {
    let intensity = Intensity { restarts: usize::MAX, within: Duration::from_secs(1) };
    let backoff = Backoff { first: Duration::ZERO, max: Duration::ZERO };
    KeyspaceOptions {
        shards: NonZeroUsize::new(SHARDS).unwrap(),
        max_pending_names: NonZeroUsize::new(100).unwrap(),
        supervision: Options { intensity, backoff, ..Options::default() },
        ..KeyspaceOptions::default()
    }
}

/// Accepted operations by name: their sum and number.
pub(super) type Accepted = BTreeMap<String, (i64, u64)>;

/// Increments until it is calm or the keyspace has stopped. Now and then it uses a handle that is dropped at once,
/// while its batch is in flight or being applied.
pub(super) async fn produce(handle: KeyspaceHandle, seed: u64, calm: Arc<AtomicBool>) -> Accepted {
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
pub(super) async fn kill(handle: KeyspaceHandle, mut random: Rng, calm: Arc<AtomicBool>) {
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

pub(super) async fn everything(handle: &KeyspaceHandle) -> Accepted {
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
    let (mut random, faults, calm) =
        (Rng::with_seed(seed), Faults::default(), Arc::new(AtomicBool::new(false)));
    let aggregator = AggregatorHandle::start(AggregatorOptions::default()).await.unwrap();
    let reporting = Reporting { keyspace: "faulty".into(), aggregator: aggregator.clone() };
    let keyspace = Keyspace::start_with(options(), faulty(&faults), Some(reporting)).await.unwrap();
    let (mut producers, mut others) = (JoinSet::new(), JoinSet::new());
    for _ in 0..PRODUCERS {
        producers.spawn(produce(keyspace.handle(), random.u64(..), Arc::clone(&calm)));
    }
    for _ in 0..ASKERS {
        others.spawn(ask(keyspace.handle(), random.u64(..), Arc::clone(&calm)));
    }
    others.spawn(kill(keyspace.handle(), random.fork(), Arc::clone(&calm)));
    for _ in 0..CRASHES {
        faults.inject(Fault::random(&mut random));
        faults.happened().await;
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
    assert_eq!(stats.restarts, u128::from(faults.starts()) - SHARDS as u128);
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
        let (faults, calm) = (Faults::default(), Arc::new(AtomicBool::new(false)));
        let keyspace = Keyspace::start_with(options(), faulty(&faults), None).await.unwrap();
        let mut producers = JoinSet::new();
        for _ in 0..PRODUCERS {
            producers.spawn(produce(keyspace.handle(), random.u64(..), Arc::clone(&calm)));
        }
        let killer = tokio::spawn(kill(keyspace.handle(), random.fork(), Arc::clone(&calm)));
        faults.inject(Fault::random(&mut random));
        keyspace.handle().stats().await.unwrap();
        faults.inject(Fault::random(&mut random));
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
