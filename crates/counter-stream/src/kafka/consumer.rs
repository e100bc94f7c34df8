//! A member of a consumer group: reads the partitions that the group assigns to it, from where its node holds them.
//!
//! A thread polls librdkafka, and nothing blocks it. What takes time (taking a partition over, asking brokers about its
//! log, sending a dead letter, giving a partition up) runs as a task and reports back; librdkafka learns of an
//! assignment or a revocation when that is done. Each partition has a queue of its own, which is not read while the
//! partition has no room. That bounds what librdkafka fetches ahead, and unlike pausing the partition it throws nothing
//! away that is fetched already.

mod assignment;
mod context;
mod observer;
mod opening;
mod partition;
mod poll;
mod slot;
mod status;

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep};

use super::audit::OutOfRange;
use super::broker::BrokerError;
use super::identity::{IdentityError, TopicIdentity};
use super::lag::LogEnds;
use super::letters::Letters;
use super::owner::Owner;
use super::topic::{TopicClient, TopicView};
use crate::mapping::{ISOLATION, Mapping};
use context::Context;
use observer::{Observation, observe};
use poll::Poll;

pub use status::{PartitionStatus, Stage, Status};

/// Time that brokers and the topic have to be there at a start.
const START: Duration = Duration::from_secs(60);
/// Interval between attempts to ask a broker.
const RETRY: Duration = Duration::from_millis(500);

/// Maximum size of what librdkafka fetches ahead of a partition, in kilobytes; a fetch may exceed it.
const FETCHED_AHEAD_KB: &str = "8192";

/// Settings of a member.
#[derive(Clone, Debug)]
pub struct ConsumerOptions {
    /// Brokers as `host:port`, separated by commas.
    pub brokers: String,
    /// Topic to count.
    pub topic: String,
    /// Consumer group, which distributes the partitions of the topic.
    pub group: String,
    /// Names and amounts of records.
    pub mapping: Mapping,
    /// Number that is raised to count the topic anew, in empty directories.
    pub generation: u32,
    /// Policy for records that cannot be counted.
    pub uncountable: UncountablePolicy,
    /// Policy for records that are gone before they were counted.
    pub missing: OutOfRange,
    /// Time without a sign of life after which the group expels the member.
    pub session_timeout: Duration,
    /// Directory of the node, which records what it counts.
    pub directory: PathBuf,
    /// Further settings of librdkafka, by name.
    pub settings: Vec<(String, String)>,
}

/// Policy for records that cannot be counted. They are counted as skipped in either case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UncountablePolicy {
    /// Report them in the log and in the status.
    Skip,
    /// Also send them to a topic, at least once, with topic id, partition and offset as the key.
    DeadLetter(String),
}

/// Failure of a member.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConsumerError {
    /// librdkafka failed, or refused a setting.
    #[error("consumer failed")]
    Kafka(#[from] KafkaError),
    /// Brokers did not answer, or do not have the topic.
    #[error("topic {topic} not available")]
    Topic {
        /// Name of the topic.
        topic: String,
        /// Reason.
        #[source]
        source: BrokerError,
    },
    /// The topic is compacted, so that records disappear from its middle.
    #[error("topic {0} is compacted, so its records cannot be counted exactly: set cleanup.policy=delete")]
    Compacted(String),
    /// The directory counts something else.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The thread could not be started.
    #[error("failed to start a thread")]
    Thread(#[from] std::io::Error),
    /// The member ended because of an error within.
    #[error("member ended")]
    Ended(#[source] Box<dyn Error + Send + Sync>),
}

/// Member of a consumer group. When it is dropped, it leaves the group.
#[derive(Debug)]
pub struct Consumer {
    topic: TopicIdentity,
    status: watch::Receiver<Status>,
    log: LogWatch,
    thread: PollingThread,
    ended: oneshot::Receiver<Result<(), ConsumerError>>,
}

/// The polling thread, which leaves when this is dropped.
#[derive(Debug)]
struct PollingThread {
    requests: Arc<Requests>,
    thread: thread::Thread,
}

/// Requests to the polling thread.
#[derive(Debug, Default)]
struct Requests {
    leave: AtomicBool,
    /// Take stopped partitions over again.
    retry: AtomicBool,
}

impl Consumer {
    /// Joins the group.
    ///
    /// # Errors
    /// [`ConsumerError`], for instance after 60 seconds without a broker that has the topic.
    pub async fn start<O: Owner>(options: ConsumerOptions, owner: O) -> Result<Self, ConsumerError> {
        let view = find_topic(&options).await?;
        let identity = options.identity(&view);
        identity.claim(&options.directory)?;
        let letters = match &options.uncountable {
            UncountablePolicy::Skip => None,
            UncountablePolicy::DeadLetter(topic) => Some(Letters::new(&options.client(), topic)?),
        };
        let consumer: BaseConsumer<Context> = options.consumer().create_with_context(Context::default())?;
        consumer.subscribe(&[&options.topic])?;
        let requests = Arc::<Requests>::default();
        let (statuses, status) = watch::channel(Status::new(&identity));
        let (observations, seen) = watch::channel(Observation::default());
        tokio::spawn(observe(TopicClient::new(&options.brokers, &options.topic), observations));
        let (topic, log) = (identity.clone(), LogWatch(seen.clone()));
        let (end, ended) = oneshot::channel();
        let (runtime, requested) = (Handle::current(), requests.clone());
        let thread = thread::Builder::new().name("kafka".into()).spawn(move || {
            let (consumer, watched) = (Arc::new(consumer), (seen, statuses));
            let poll = Poll::new(options, identity, consumer, owner, letters, watched, runtime);
            let _ = end.send(poll.run(&requested));
        })?;
        let thread = PollingThread { requests, thread: thread.thread().clone() };
        Ok(Self { topic, status, log, thread, ended })
    }

    /// Watches what the member does.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Returns what it counts.
    #[must_use]
    pub const fn topic(&self) -> &TopicIdentity {
        &self.topic
    }

    /// Watches where the logs of all partitions end, also of those that others read.
    #[must_use]
    pub fn log(&self) -> LogWatch {
        self.log.clone()
    }

    /// Takes stopped partitions over again, after what has stopped them is remedied. Those that it still would stop
    /// remain so.
    pub fn retry_stopped(&self) {
        self.thread.requests.retry.store(true, Ordering::Release);
        self.thread.thread.unpark();
    }

    /// Waits until the member ends by itself, which is a failure.
    ///
    /// # Errors
    /// [`ConsumerError`].
    pub async fn ended(&mut self) -> Result<(), ConsumerError> {
        (&mut self.ended).await.unwrap_or_else(|error| Err(ConsumerError::Ended(error.into())))
    }

    /// Gives all partitions up in order, and leaves the group.
    ///
    /// # Errors
    /// [`ConsumerError`] if it has ended by itself.
    pub async fn leave(self) -> Result<(), ConsumerError> {
        drop(self.thread);
        self.ended.await.unwrap_or_else(|error| Err(ConsumerError::Ended(error.into())))
    }
}

/// Watches where the logs of a topic's partitions end. It is looked up about once per second. Clones are the same.
#[derive(Clone, Debug)]
pub struct LogWatch(watch::Receiver<Observation>);

impl LogWatch {
    /// Returns what was last seen, if anything was.
    #[must_use]
    pub fn ends(&self) -> Option<LogEnds> {
        self.0.borrow().log.clone()
    }

    /// Waits until brokers have said where the logs end.
    pub async fn seen(&self) {
        // The task that asks them lives as long as this.
        let _ = self.0.clone().wait_for(|seen| seen.log.is_some()).await;
    }
}

impl Drop for PollingThread {
    fn drop(&mut self) {
        self.requests.leave.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl ConsumerOptions {
    fn identity(&self, view: &TopicView) -> TopicIdentity {
        TopicIdentity {
            cluster: view.cluster.clone(),
            topic: self.topic.as_str().into(),
            topic_id: view.id,
            mapping: self.mapping.to_string().into(),
            fingerprint: self.mapping.fingerprint(self.generation),
            generation: self.generation,
        }
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("client.id", "counter-stream");
        config
    }

    fn consumer(&self) -> ClientConfig {
        let mut config = self.client();
        let session_timeout_ms = self.session_timeout.as_millis();
        config
            .set("group.id", &self.group)
            // What is counted is with the node. Offsets are committed for those who watch the lag.
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("isolation.level", ISOLATION)
            // Only partitions that move are revoked; meanwhile members count on in the others.
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", session_timeout_ms.to_string())
            .set("heartbeat.interval.ms", (session_timeout_ms / 10).max(1).to_string())
            .set("topic.metadata.refresh.interval.ms", "10000")
            // A partition whose queue has enough is asked for again as soon as it has not: by default, librdkafka would
            // let it run dry, since it waits for a second. What it fetches ahead is bounded by bytes.
            .set("fetch.queue.backoff.ms", "10")
            .set("queued.min.messages", "1000000")
            .set("queued.max.messages.kbytes", FETCHED_AHEAD_KB);
        for (name, value) in &self.settings {
            config.set(name, value);
        }
        config
    }
}

/// Waits for a broker that has the topic, and refuses one that is compacted.
async fn find_topic(options: &ConsumerOptions) -> Result<TopicView, ConsumerError> {
    let mut client = TopicClient::new(&options.brokers, &options.topic);
    let deadline = Instant::now() + START;
    let (view, is_compacted) = loop {
        let asked = async { Ok((client.view().await?, client.is_compacted().await?)) };
        match asked.await {
            Ok(answered) => break answered,
            Err(source) if Instant::now() >= deadline => {
                return Err(ConsumerError::Topic { topic: options.topic.clone(), source });
            }
            Err(error) => tracing::info!(%error, topic = options.topic, "waiting for the topic"),
        }
        sleep(RETRY).await;
    };
    match is_compacted {
        Some(true) => return Err(ConsumerError::Compacted(options.topic.clone())),
        Some(false) => {}
        None => tracing::warn!(topic = options.topic, "brokers do not say whether the topic is compacted"),
    }
    if view.id == [0; 16] {
        tracing::warn!(
            topic = options.topic,
            "brokers do not identify topics: one that is deleted and created again is not told apart"
        );
    }
    Ok(view)
}
