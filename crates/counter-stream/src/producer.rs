//! Increments that become records of a topic, each of which counts once.
//!
//! Increments are folded by name while they wait, so that a million of them to a thousand names become a few thousand
//! records. A record has the id of its producer and a number in its headers: whoever counts the partition drops
//! repetitions. So a record is sent again, with the same headers and to the same partition, until the broker
//! acknowledges it. What a producer has accepted and not sent when its process dies is lost; [`Producer::flush`] tells
//! what is not.

mod actor;
mod folded;
mod outgoing;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use counter_protocol::{CounterName, NameTooLong};
use ractor_outbox::{CallError, Outbox, SendError};
use ractor_supervision::{Options, SupervisedActor, SupervisorError, SupervisorHandle};
use tokio::sync::watch;

use crate::kafka::{BrokerError, TopicClient};
use actor::{ProducerActor, ProducerMessage, ProducerState};
use folded::Folded;
use outgoing::{Outgoing, partition_of};

pub use folded::Increment;

/// Default maximum of different names that wait to be sent, and so of records under way.
pub const DEFAULT_NAMES: NonZeroUsize = NonZeroUsize::new(10_000).expect("it is not zero");

/// Settings of a producer.
#[derive(Clone, Debug)]
pub struct ProducerOptions {
    /// Brokers as `host:port`, separated by commas.
    pub brokers: String,
    /// Topic, which has to exist. Records go to the partitions that it has at the start.
    pub topic: String,
    /// Maximum number of different names that wait. Beyond it, callers wait.
    pub max_names: NonZeroUsize,
    /// Further settings of librdkafka, by name.
    pub settings: Vec<(String, String)>,
}

/// Failure of a producer.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProducerError {
    /// The name is too long.
    #[error(transparent)]
    Name(#[from] NameTooLong),
    /// Brokers did not answer, or do not have the topic.
    #[error("topic {topic} not available: {reason}")]
    Topic {
        /// Name of the topic.
        topic: String,
        /// Reason.
        reason: String,
    },
    /// The broker refuses records, and would again.
    #[error("records refused: {0}")]
    Refused(String),
    /// Too many names are pending.
    #[error("too many increments wait to be sent")]
    Full,
    /// The producer has ended.
    #[error("producer has ended")]
    Ended,
}

/// Totals of a producer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Produced {
    /// Number of increments in records that brokers have acknowledged.
    pub operations: u64,
    /// Number of those records.
    pub records: u64,
    /// Reason why brokers refuse records, if they do.
    pub refusal: Option<String>,
    /// Offset behind the last record that brokers have acknowledged, by partition: or, before the first one, the end of
    /// the log at the start.
    pub ends: Arc<[u64]>,
}

/// Producer for a topic. Clones are senders of their own, with the same id as a producer.
#[derive(Clone, Debug)]
pub struct Producer {
    outbox: Outbox<Folded, ProducerMessage>,
    produced: watch::Receiver<Produced>,
    supervisor: SupervisorHandle,
}

impl Producer {
    /// Starts a producer, whose id is random.
    ///
    /// # Errors
    /// [`ProducerError::Topic`] if no broker has the topic.
    pub async fn start(options: ProducerOptions) -> Result<Self, ProducerError> {
        let ends = ends(&options).await.map_err(|error| ProducerError::Topic {
            topic: options.topic.clone(),
            reason: error.to_string(),
        })?;
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|_| ProducerError::Ended)?;
        let empty = Folded::bounded(options.max_names);
        let (reports, produced) =
            watch::channel(Produced { ends: ends.as_slice().into(), ..Produced::default() });
        let state = ProducerState::new(options, Outgoing::new(id, ends), reports);
        let actor = SupervisedActor::new("producer", || ProducerActor, state, empty);
        let outbox = actor.outbox();
        let supervisor = SupervisorHandle::start(Options::default(), vec![actor.into()]).await?;
        Ok(Self { outbox, produced, supervisor })
    }

    /// Adds to a counter. Waits while too many names are pending. Once this returns, the increment will be sent.
    ///
    /// # Errors
    /// [`ProducerError`].
    pub async fn increment(&self, name: &[u8], amount: i64) -> Result<(), ProducerError> {
        CounterName::check_len(name.len())?;
        self.refusal()?;
        let increments = [Increment { name, amount }];
        let sent = self.outbox.send(&increments).await;
        sent.map_err(|_: SendError<&[Increment<'_>]>| ProducerError::Ended)
    }

    /// Adds to counters, to all or none of them, without waiting.
    ///
    /// # Errors
    /// [`ProducerError`]; [`ProducerError::Full`] while too many names are pending.
    pub fn try_increment(&self, increments: &[Increment<'_>]) -> Result<(), ProducerError> {
        increments.iter().try_for_each(|increment| CounterName::check_len(increment.name.len()))?;
        self.refusal()?;
        self.outbox.try_send(increments).map_err(|error| match error {
            SendError::Full(_) => ProducerError::Full,
            SendError::Closed(_) => ProducerError::Ended,
        })
    }

    /// Returns the partition of a name, and the offset behind the last record there that brokers have acknowledged.
    /// Once [`flush`](Self::flush) has returned, whoever has counted the partition up to that offset has counted what
    /// was added to the name before.
    #[must_use]
    pub fn position(&self, name: &[u8]) -> (u32, u64) {
        let produced = self.produced.borrow();
        let partition = partition_of(name, produced.ends.len());
        (u32::try_from(partition).unwrap_or(u32::MAX), produced.ends.get(partition).copied().unwrap_or(0))
    }

    /// Waits until brokers have acknowledged everything that was added before through this clone. While they cannot be
    /// reached, that is for ever.
    ///
    /// # Errors
    /// [`ProducerError`].
    pub async fn flush(&self) -> Result<Produced, ProducerError> {
        self.outbox.call(ProducerMessage::Flush).await?;
        self.refusal()?;
        Ok(self.produced())
    }

    /// Returns what was acknowledged so far, of all clones.
    #[must_use]
    pub fn produced(&self) -> Produced {
        self.produced.borrow().clone()
    }

    /// Watches what is acknowledged, of all clones.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Produced> {
        self.produced.clone()
    }

    /// Ends the producer and all clones. What was not flushed may be lost.
    pub async fn shutdown(self) {
        self.supervisor.shutdown().await;
    }

    fn refusal(&self) -> Result<(), ProducerError> {
        match &self.produced.borrow().refusal {
            None => Ok(()),
            Some(reason) => Err(ProducerError::Refused(reason.clone())),
        }
    }
}

impl From<CallError> for ProducerError {
    fn from(_: CallError) -> Self {
        Self::Ended
    }
}

impl From<SupervisorError> for ProducerError {
    fn from(_: SupervisorError) -> Self {
        Self::Ended
    }
}

/// Returns the end of each partition's log. Waits a while for a topic that was just created.
async fn ends(options: &ProducerOptions) -> Result<Vec<u64>, BrokerError> {
    const ATTEMPTS: u32 = 20;
    const RETRY: Duration = Duration::from_millis(500);
    let mut client = TopicClient::new(&options.brokers, &options.topic);
    for _ in 1..ATTEMPTS {
        match client.partition_ends().await {
            Err(error) => tracing::info!(%error, topic = options.topic, "waiting for the topic"),
            ends => return ends,
        }
        tokio::time::sleep(RETRY).await;
    }
    client.partition_ends().await
}
