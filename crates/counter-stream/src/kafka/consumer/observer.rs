//! A task that looks at the topic now and then: whether it still is the same, who leads its partitions, and how far
//! their logs go.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::kafka::broker::BrokerError;
use crate::kafka::lag::LogEnds;
use crate::kafka::topic::TopicClient;

/// Interval between looks. For as long, a record may be taken for one of the previous leader.
const INTERVAL: Duration = Duration::from_secs(1);

/// State of a topic when it was last observed.
#[derive(Clone, Debug, Default)]
pub(super) struct Observation {
    /// Id of the topic, if anything was seen.
    pub(super) topic_id: Option<[u8; 16]>,
    /// Epoch of each partition's leader, where brokers say so.
    pub(super) epochs: BTreeMap<i32, u32>,
    /// Ends of the partitions' logs.
    pub(super) log: Option<LogEnds>,
}

/// Looks until nobody wants to know any more.
pub(super) async fn observe(mut client: TopicClient, seen: watch::Sender<Observation>) {
    let mut looks = interval(INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = seen.closed() => return,
            _ = looks.tick() => {}
        }
        match look(&mut client).await {
            Ok(observation) => drop(seen.send_replace(observation)),
            Err(error) => tracing::debug!(%error, "topic not observed"),
        }
    }
}

async fn look(client: &mut TopicClient) -> Result<Observation, BrokerError> {
    // What is seen is at least as recent as this.
    let at = Instant::now();
    let view = client.view().await?;
    let ends = client.ends(&view).await?;
    let log =
        LogEnds { at, ends: (0..view.partitions).map(|partition| ends.get(&partition).copied()).collect() };
    let epochs = view.leaders.iter().filter_map(|(partition, leader)| Some((*partition, leader.epoch?)));
    Ok(Observation { topic_id: Some(view.id), epochs: epochs.collect(), log: Some(log) })
}
