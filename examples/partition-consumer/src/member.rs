//! A member of a consumer group. It has a thread of its own, because librdkafka calls back from `poll` and waits.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use counter_keyspace::KeyspaceHandle;
use ractor_supervision::{Options, SupervisorHandle};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::message::BorrowedMessage;
use rdkafka::{ClientConfig, ClientContext, Message, Offset, TopicPartitionList};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::partition::Partition;
use crate::progress::Record;

/// Maximum time that a poll waits for a record, and so the delay until a member notices that it is to leave.
const POLL: Duration = Duration::from_millis(20);
/// Interval between commits. Records counted within it are counted twice after a crash of the process.
const COMMIT_EVERY: Duration = Duration::from_millis(250);

#[derive(Clone, Default)]
pub(crate) struct Report {
    /// Partitions that it took and gave up, in words.
    pub(crate) moves: Vec<String>,
    /// Number of records it has passed on to its partitions. Once it has left, all of them are counted.
    pub(crate) records: u64,
    /// Failure of a callback, which cannot return it.
    failure: Option<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} records: {}", self.records, self.moves.join(", "))
    }
}

/// Handle on a member. When it is dropped, the member leaves.
pub(crate) struct MemberHandle {
    pub(crate) report: watch::Receiver<Report>,
    leave: oneshot::Sender<()>,
    thread: JoinHandle<Result<()>>,
}

impl MemberHandle {
    pub(crate) async fn join(config: &ClientConfig, topic: &str, keyspace: KeyspaceHandle) -> Result<Self> {
        let supervisor = SupervisorHandle::start(Options::default(), vec![]).await?;
        let (reports, report) = watch::channel(Report::default());
        let (leave, leaving) = oneshot::channel();
        let (runtime, partitions) = (Handle::current(), Mutex::default());
        let member = Member { runtime, keyspace, supervisor, partitions, reports };
        let consumer: BaseConsumer<Member> = config.create_with_context(member)?;
        consumer.subscribe(&[topic])?;
        let thread = tokio::task::spawn_blocking(move || run(consumer, leaving));
        Ok(Self { report, leave, thread })
    }

    /// Gives all partitions up in order.
    pub(crate) async fn leave(self) -> Result<Report> {
        // An error means that it has left by itself; the thread says why.
        let _ = self.leave.send(());
        self.thread.await??;
        let report = self.report.borrow().clone();
        report.failure.clone().map_or(Ok(report), |failure| Err(anyhow!(failure)))
    }
}

fn run(consumer: BaseConsumer<Member>, leaving: oneshot::Receiver<()>) -> Result<()> {
    let member = consumer.client().context().clone();
    let polled = member.poll(&consumer, leaving);
    // Calls back once more: the partitions that are left are revoked.
    drop(consumer);
    member.runtime.block_on(member.supervisor.shutdown());
    polled
}

struct Member {
    runtime: Handle,
    keyspace: KeyspaceHandle,
    supervisor: SupervisorHandle,
    /// Only for the polling thread; locked because librdkafka's context has to be `Sync`.
    partitions: Mutex<BTreeMap<i32, Partition>>,
    reports: watch::Sender<Report>,
}

impl Member {
    #[expect(clippy::print_stderr, reason = "whoever waits for a broker wants to know")]
    fn poll(&self, consumer: &BaseConsumer<Self>, mut leaving: oneshot::Receiver<()>) -> Result<()> {
        let mut commit_at = Instant::now() + COMMIT_EVERY;
        while leaving.try_recv() == Err(oneshot::error::TryRecvError::Empty)
            && self.reports.borrow().failure.is_none()
        {
            match consumer.poll(POLL) {
                Some(Ok(message)) => self.pass_on(&message)?,
                Some(Err(error)) => eprintln!("librdkafka tries again: {error}"),
                None => {}
            }
            if Instant::now() >= commit_at {
                // An error is made up for by the next commit.
                let _ = consumer.commit(&self.committable(&consumer.assignment()?)?, CommitMode::Async);
                commit_at = Instant::now() + COMMIT_EVERY;
            }
        }
        Ok(())
    }

    fn pass_on(&self, message: &BorrowedMessage<'_>) -> Result<()> {
        // Records of a partition that was given up are left to its next owner.
        if let Some(partition) = self.partitions().get(&message.partition()) {
            let key = message.key().unwrap_or_default().to_vec();
            self.wait(partition.send(Record { offset: message.offset(), key }))?;
            self.reports.send_modify(|report| report.records += 1);
        }
        Ok(())
    }

    fn take(&self, given: &TopicPartitionList) -> Result<()> {
        for id in ids(given) {
            let start = Partition::start(id.to_string(), self.keyspace.clone(), &self.supervisor);
            let partition = self.wait(start)?;
            self.partitions().insert(id, partition);
        }
        self.reports.send_modify(|report| report.moves.push(format!("takes {:?}", ids(given))));
        Ok(())
    }

    /// Drains the revoked partitions and commits their offsets. Nobody gets the partitions before this returns. By
    /// then all records that were taken from them are applied, and the broker has confirmed the offsets.
    fn give_up(&self, consumer: &BaseConsumer<Self>, revoked: &TopicPartitionList) -> Result<()> {
        let offsets = self.committable(revoked)?;
        if offsets.count() > 0 {
            consumer.commit(&offsets, CommitMode::Sync)?;
        }
        for id in ids(revoked) {
            self.partitions().remove(&id);
            self.wait(async { Ok(self.supervisor.remove_child(id.to_string()).await?) })?;
        }
        self.reports.send_modify(|report| report.moves.push(format!("gives up {:?}", ids(revoked))));
        Ok(())
    }

    /// Returns the offsets to commit, once all records that were passed on to these partitions are applied.
    fn committable(&self, list: &TopicPartitionList) -> Result<TopicPartitionList> {
        let mut offsets = TopicPartitionList::new();
        for (topic, id) in list.to_topic_map().into_keys() {
            if let Some(partition) = self.partitions().get(&id)
                && let Some(offset) = self.wait(partition.committable())?
            {
                offsets.add_partition_offset(&topic, id, Offset::Offset(offset))?;
            }
        }
        Ok(offsets)
    }

    /// Waits for work, unless its actors' supervisor has given up, for instance over a key that is too long.
    fn wait<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                done = work => done,
                _ = self.supervisor.actor().wait(None) => bail!("count: a partition's actor failed too often"),
            }
        })
    }

    fn partitions(&self) -> MutexGuard<'_, BTreeMap<i32, Partition>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Member {}

impl ConsumerContext for Member {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let done = match rebalance {
            Rebalance::Assign(list) | Rebalance::Revoke(list) if list.count() == 0 => Ok(()),
            Rebalance::Assign(given) => self.take(given),
            Rebalance::Revoke(revoked) => self.give_up(consumer, revoked),
            Rebalance::Error(error) => Err(error.clone().into()),
        };
        if let Err(error) = done {
            self.reports.send_modify(|report| report.failure = Some(format!("rebalance: {error:#}")));
        }
    }
}

fn ids(list: &TopicPartitionList) -> BTreeSet<i32> {
    list.elements().iter().map(|element| element.partition()).collect()
}
