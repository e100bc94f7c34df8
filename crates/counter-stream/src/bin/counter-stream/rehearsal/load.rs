//! Increments of a thousand names, produced until it is enough.

use std::collections::BTreeMap;
use std::time::Duration;

use counter_stream::producer::{DEFAULT_NAMES, Produced, Producer, ProducerError, ProducerOptions};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

const NAMES: usize = 1_000;
/// Increments of each name in each interval, which become one record.
const OPERATIONS: usize = 15;
const INTERVAL: Duration = Duration::from_millis(150);

/// Settings of librdkafka for a producer that sends again after a second without a response.
const PATIENCE: [(&str, &str); 2] = [("request.timeout.ms", "1000"), ("socket.timeout.ms", "1000")];

/// Producer at work.
pub(crate) struct Load {
    producer: Producer,
    demand: watch::Sender<Demand>,
    ended: watch::Receiver<bool>,
    task: JoinHandle<Result<BTreeMap<String, i64>, ProducerError>>,
    acknowledged: watch::Receiver<Produced>,
}

/// Command to the producer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Demand {
    Produce,
    Pause,
    Stop,
}

/// Increments that were produced.
pub(crate) struct Sent {
    pub(crate) sums: BTreeMap<String, i64>,
    pub(crate) produced: Produced,
}

impl Load {
    pub(crate) async fn start(brokers: &str, topic: &str) -> Result<Self, ProducerError> {
        let options = ProducerOptions {
            brokers: brokers.into(),
            topic: topic.into(),
            max_names: DEFAULT_NAMES,
            settings: PATIENCE.map(|(name, value)| (name.into(), value.into())).into(),
        };
        let producer = Producer::start(options).await?;
        let ((demand, demanded), (end, ended)) = (watch::channel(Demand::Produce), watch::channel(false));
        let (sender, acknowledged) = (producer.clone(), producer.watch());
        let task = tokio::spawn(async move {
            let sums = produce(sender, demanded).await;
            end.send_replace(true);
            sums
        });
        Ok(Self { producer, demand, ended, task, acknowledged })
    }

    /// Returns what brokers have acknowledged.
    pub(crate) fn acknowledged(&self) -> Produced {
        self.acknowledged.borrow().clone()
    }

    /// Pauses, or goes on, unless it has stopped.
    pub(crate) fn pause(&self, is_paused: bool) {
        self.demand.send_if_modified(|demand| {
            let next = if is_paused { Demand::Pause } else { Demand::Produce };
            *demand != Demand::Stop && std::mem::replace(demand, next) != next
        });
    }

    /// Sends no more.
    pub(crate) fn stop(&self) {
        self.demand.send_replace(Demand::Stop);
    }

    /// Watches whether it has stopped, and all that was sent is acknowledged.
    pub(crate) fn ended(&self) -> watch::Receiver<bool> {
        self.ended.clone()
    }

    /// Returns what was produced, once it has ended.
    pub(crate) async fn finish(self) -> anyhow::Result<Sent> {
        let sums = self.task.await??;
        let produced = self.producer.produced();
        self.producer.shutdown().await;
        Ok(Sent { sums, produced })
    }
}

async fn produce(
    producer: Producer,
    mut demanded: watch::Receiver<Demand>,
) -> Result<BTreeMap<String, i64>, ProducerError> {
    let (mut sums, mut rounds) = (BTreeMap::<String, i64>::new(), interval(INTERVAL));
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = demanded.wait_for(|demand| *demand == Demand::Stop) => break,
            _ = rounds.tick() => {}
        }
        if *demanded.borrow() == Demand::Pause {
            continue;
        }
        for number in 0..NAMES {
            let name = format!("page {number}");
            let sum = sums.entry(name.clone()).or_default();
            for _ in 0..OPERATIONS {
                let amount = fastrand::i64(1..=9);
                producer.increment(name.as_bytes(), amount).await?;
                *sum += amount;
            }
        }
    }
    producer.flush().await?;
    Ok(sums)
}
