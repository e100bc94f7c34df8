//! Answers to concurrent readers, checked against the operations of concurrent writers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use counter_chaos::{Add, Client, Clock, History, Read};
use fastrand::Rng;
use tokio::task::JoinHandle;

use super::setup::{cluster, shared};

const NAMES: [&str; 3] = ["x", "y", "z"];

fn write(node: Client, clock: Arc<Clock>, seed: u64) -> JoinHandle<History> {
    tokio::spawn(async move {
        let mut random = Rng::with_seed(seed);
        let mut history = History::default();
        for _ in 0..300 {
            let (name, amount) = (NAMES[random.usize(..NAMES.len())], random.i64(-9..=9));
            let begun = clock.now();
            node.add(name, amount).await.expect("nodes count");
            history.adds.push(Add { name: name.into(), amount, begun, acknowledged: Some(clock.now()) });
        }
        history
    })
}

async fn read(node: &Client, clock: &Clock, name: &str) -> Read {
    let begun = clock.now();
    let total = node.fresh_value(name).await.expect("all nodes answer");
    Read { name: name.into(), begun, ended: clock.now(), total }
}

fn read_until(done: Arc<AtomicBool>, node: Client, clock: Arc<Clock>) -> JoinHandle<History> {
    tokio::spawn(async move {
        let mut history = History::default();
        for name in NAMES.iter().cycle() {
            history.reads.push(read(&node, &clock, name).await);
            if done.load(Ordering::Relaxed) {
                break;
            }
        }
        history
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn fresh_readings_are_between_what_was_acknowledged_and_what_was_begun() {
    let _machine = shared().await;
    let cluster = cluster(3, false).await;
    let (clock, done) = (Arc::new(Clock::default()), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..3).map(|node| cluster.client(node).unwrap()).collect();
    let writers: Vec<_> = (0..6).map(|n| write(clients[n % 3].clone(), clock.clone(), n as u64)).collect();
    let readers = clients.iter().cycle().take(6);
    let readers: Vec<_> = readers.map(|node| read_until(done.clone(), node.clone(), clock.clone())).collect();

    let mut history = History::default();
    for writer in writers {
        history.extend(writer.await.unwrap());
    }
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        history.extend(reader.await.unwrap());
    }
    println!("{} operations, {} readings", history.adds.len(), history.reads.len());
    // Nothing is under way any more, so these have to be exact.
    for node in &clients {
        for name in NAMES {
            history.reads.push(read(node, &clock, name).await);
        }
    }
    history.check().unwrap();
    assert!(history.reads.len() > 100, "{}", history.reads.len());
}
