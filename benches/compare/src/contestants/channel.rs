use std::hint::black_box;
use std::mem;

use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::{JoinHandle, coop};

use super::{Contestant, NO_LIMIT};
use crate::produce::{Producer, bursts};

/// Maximum number of amounts that wait for a counter.
const CAPACITY: usize = 1024;

/// Hand-written actor: a task that owns an integer, behind tokio's bounded channel. It receives amounts one by one,
/// or as many as there are.
pub(crate) struct Channel<const MANY: bool> {
    senders: Vec<Sender<i64>>,
    tasks: Vec<JoinHandle<i64>>,
}

impl<const MANY: bool> Contestant for Channel<MANY> {
    const NAME: &'static str = if MANY { "tokio mpsc, recv_many" } else { "tokio mpsc" };
    const MAX_INCREMENTS: u64 = NO_LIMIT;
    type Producer = Sender<i64>;

    async fn start(counters: usize) -> Self {
        let (senders, receivers): (_, Vec<_>) = (0..counters).map(|_| mpsc::channel(CAPACITY)).unzip();
        Self {
            senders,
            tasks: receivers.into_iter().map(|receiver| tokio::spawn(count::<MANY>(receiver))).collect(),
        }
    }

    fn producer(&self, counter: usize) -> Sender<i64> {
        self.senders[counter].clone()
    }

    /// Returns the sums. A counter's task ends, and reports its sum, when nobody can send to it any more.
    async fn values(&mut self) -> Vec<i64> {
        self.senders.clear();
        let mut values = Vec::with_capacity(self.tasks.len());
        for task in mem::take(&mut self.tasks) {
            values.push(task.await.expect("counters do not panic"));
        }
        values
    }
}

impl Producer for Sender<i64> {
    async fn run(self, increments: u64) {
        for burst in bursts(increments) {
            for _ in 0..burst {
                self.send(black_box(1)).await.expect("the counter runs");
            }
            coop::consume_budget().await;
        }
    }
}

async fn count<const MANY: bool>(mut amounts: Receiver<i64>) -> i64 {
    let mut value = 0;
    if MANY {
        let mut received = Vec::with_capacity(CAPACITY);
        while amounts.recv_many(&mut received, CAPACITY).await > 0 {
            value += received.drain(..).sum::<i64>();
        }
        return value;
    }
    while let Some(amount) = amounts.recv().await {
        value += amount;
    }
    value
}
