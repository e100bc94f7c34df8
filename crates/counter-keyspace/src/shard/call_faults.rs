//! Operations with answers, on shards that crash: each takes effect once, and its outcome is its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrand::Rng;
use ractor_faults::{Fault, Faults, seed};
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

use super::faults::{faulty, kill, options};
use super::*;
use crate::calls::Applied;
use crate::handle::KeyspaceHandle;
use crate::keyspace::Keyspace;
use crate::operation::Operation;
use crate::round::Outcome;

const CALLERS: usize = 8;
const CRASHES: u64 = 500;
/// Deadline of an answer, far more than any takes on any machine.
const ANSWER_DEADLINE: Duration = Duration::from_secs(60);

/// Values that a caller was given, by name.
type Given = BTreeMap<String, Vec<i64>>;

fn value(outcome: Outcome) -> i64 {
    match outcome {
        Outcome::Value(Some(value)) => value,
        other => panic!("{other:?}"),
    }
}

/// Draws values from shared counters, one by one and in batches, between increments of a counter of its own.
async fn call(handle: KeyspaceHandle, own: String, mut random: Rng, calm: Arc<AtomicBool>) -> Given {
    let (mut given, mut sum) = (Given::new(), 0);
    while !calm.load(Ordering::Relaxed) {
        for _ in 0..random.u8(..4) {
            let amount = random.i64(-9..=9);
            handle.increment(&own, amount).await.unwrap();
            sum += amount;
        }
        if random.bool() {
            let name = random.u8(..5).to_string();
            let outcome = handle.add_and_get(&name, 1).await.unwrap();
            given.entry(name).or_default().push(value(outcome));
        } else {
            let mut batch = vec![(own.clone(), Operation::Get)];
            batch.extend((0..random.u8(1..30)).map(|_| (random.u8(..5).to_string(), Operation::Add(1))));
            let Applied { outcomes, .. } = handle.apply(batch.clone()).await.unwrap();
            assert!(matches!(outcomes[0], Outcome::Value(value) if value.unwrap_or(0) == sum));
            for ((name, _), outcome) in batch.into_iter().zip(outcomes).skip(1) {
                given.entry(name).or_default().push(value(outcome));
            }
        }
        assert_eq!(value(handle.add_and_get(&own, 1).await.unwrap()), sum + 1);
        sum += 1;
    }
    given
}

/// Removes counters of its own that it has just created.
async fn remove(handle: KeyspaceHandle, calm: Arc<AtomicBool>) {
    for n in 0_u64.. {
        let name = format!("removed {n}");
        handle.increment(&name, 5).await.unwrap();
        let count = handle.remove(&name).await.unwrap();
        assert_eq!(count, Some(Count { value: 5, operations: 1 }));
        assert_eq!(handle.remove(&name).await.unwrap(), None);
        if calm.load(Ordering::Relaxed) {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_caller_gets_values_of_its_own_without_gaps_through_crashes() {
    let seed = seed();
    let (mut random, faults, calm) =
        (Rng::with_seed(seed), Faults::default(), Arc::new(AtomicBool::new(false)));
    let keyspace = Keyspace::start_with(options(), faulty(&faults), None).await.unwrap();
    let (mut callers, mut others) = (JoinSet::new(), JoinSet::new());
    for n in 0..CALLERS {
        callers.spawn(call(keyspace.handle(), format!("own {n}"), random.fork(), Arc::clone(&calm)));
    }
    others.spawn(kill(keyspace.handle(), random.fork(), Arc::clone(&calm)));
    others.spawn(remove(keyspace.handle(), Arc::clone(&calm)));
    for _ in 0..CRASHES {
        faults.inject(Fault::random(&mut random));
        faults.happened().await;
    }
    calm.store(true, Ordering::Relaxed);
    timeout(ANSWER_DEADLINE, others.join_all()).await.expect("every call is answered");
    let mut all = Given::new();
    let given = timeout(ANSWER_DEADLINE, callers.join_all()).await.expect("every call is answered");
    for (name, mut values) in given.into_iter().flatten() {
        assert!(values.is_sorted(), "FAULT_SEED={seed}");
        all.entry(name).or_default().append(&mut values);
    }
    for (name, mut values) in all {
        values.sort_unstable();
        let number = i64::try_from(values.len()).unwrap();
        assert!(values.into_iter().eq(1..=number), "FAULT_SEED={seed}");
        assert_eq!(keyspace.handle().value(&name).await.unwrap(), Some(number), "FAULT_SEED={seed}");
    }
    keyspace.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_call_during_a_shutdown_is_applied_or_refused() {
    let seed = seed();
    let mut random = Rng::with_seed(seed);
    for _ in 0..50 {
        let (faults, mut callers) = (Faults::default(), JoinSet::new());
        let keyspace = Keyspace::start_with(options(), faulty(&faults), None).await.unwrap();
        for n in 0..CALLERS {
            let handle = keyspace.handle();
            callers.spawn(async move {
                let mut applied = 0;
                while handle.add_and_get(n.to_string(), 1).await.is_ok() {
                    applied += 1;
                }
                applied
            });
        }
        for _ in 0..random.u8(..20) {
            yield_now().await;
        }
        faults.inject(Fault::random(&mut random));
        let stats = keyspace.shutdown().await;
        let applied = timeout(ANSWER_DEADLINE, callers.join_all()).await.expect("every call is answered");
        assert_eq!(applied.into_iter().sum::<u128>(), stats.total_operations, "FAULT_SEED={seed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_to_a_keyspace_that_dies_is_refused() {
    let keyspace = Keyspace::start_with(options(), faulty(&Faults::default()), None).await.unwrap();
    let handle = keyspace.handle();
    handle.add_and_get("a", 1).await.unwrap();
    keyspace.supervisor().actor().kill_and_wait(None).await.unwrap();
    let refused = timeout(ANSWER_DEADLINE, handle.add_and_get("a", 1)).await.expect("it is answered");
    assert_eq!(refused, Err(crate::handle::KeyspaceError::Stopped));
}
