//! The loop of the polling thread.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use super::context::{Context, Rebalance};
use super::observer::{Observation, observe};
use super::opening::{OpenError, Opened, open};
use super::partition::{Partition, Shared, Turn};
use super::status::{PartitionStatus, Stage, Status};
use super::{ConsumerError, ConsumerOptions};
use crate::kafka::identity::TopicIdentity;
use crate::kafka::letters::Letters;
use crate::kafka::owner::{Destination, Owner};
use crate::kafka::topic::TopicClient;

/// Time that the thread sleeps while there is nothing to do. Records wake it; what the group decides does not.
const IDLE: Duration = Duration::from_millis(10);
/// The same while a record waits for room.
const BLOCKED: Duration = Duration::from_millis(1);
/// Interval between reports and between commits of offsets.
const REPORT: Duration = Duration::from_millis(250);
/// Time that a partition has to be released. After it, the group gets the partition back all the same: what was not
/// durable is counted again by its next owner.
const RELEASE: Duration = Duration::from_secs(10);
/// Maximum number of reports of tasks that wait for the thread. Beyond it, tasks wait.
const EVENTS: usize = 64;

/// Everything that the thread owns.
pub(super) struct Poll<O: Owner> {
    options: ConsumerOptions,
    consumer: Arc<BaseConsumer<Context>>,
    owner: O,
    shared: Shared,
    partitions: BTreeMap<i32, Slot<O::Partition>>,
    /// Partitions that librdkafka reads.
    assigned: BTreeSet<i32>,
    /// Partitions of which the group waits until they are released.
    revoking: Option<BTreeSet<i32>>,
    /// Number of the next opening or release. A task whose number is another one was overtaken.
    serial: u64,
    events: mpsc::Receiver<Event<O::Partition>>,
    sender: mpsc::Sender<Event<O::Partition>>,
    seen: watch::Receiver<Observation>,
    statuses: watch::Sender<Status>,
}

enum Slot<P> {
    Opening { serial: u64, task: AbortHandle },
    Running(Box<Partition<P>>),
    Releasing { serial: u64, again: bool },
    Stopped { reason: String, last: Option<PartitionStatus> },
}

enum Event<P> {
    Opened(i32, u64, Result<Opened<P>, OpenError>),
    Released(i32, u64),
}

impl<O: Owner> Poll<O> {
    pub(super) fn new(
        options: ConsumerOptions,
        identity: TopicIdentity,
        consumer: Arc<BaseConsumer<Context>>,
        owner: O,
        letters: Option<Letters>,
        statuses: watch::Sender<Status>,
        runtime: Handle,
    ) -> Self {
        let (sender, events) = mpsc::channel(EVENTS);
        let (observations, seen) = watch::channel(Observation::default());
        runtime.spawn(observe(TopicClient::new(&options.brokers, &options.topic), observations));
        let thread = thread::current();
        let wake = Arc::new(move || thread.unpark());
        let shared = Shared { identity, mapping: options.mapping.clone(), letters, runtime, wake };
        let (partitions, assigned) = (BTreeMap::new(), BTreeSet::new());
        let (revoking, serial) = (None, 0);
        Self {
            options,
            consumer,
            owner,
            shared,
            partitions,
            assigned,
            revoking,
            serial,
            events,
            sender,
            seen,
            statuses,
        }
    }

    /// Reads until it is told to leave, then gives everything up in order.
    pub(super) fn run(mut self, leave: &AtomicBool) -> Result<(), ConsumerError> {
        let ended = self.read(leave).and_then(|()| self.leave());
        self.close();
        ended
    }

    fn read(&mut self, leave: &AtomicBool) -> Result<(), ConsumerError> {
        let mut report_at = Instant::now();
        while !leave.load(Ordering::Acquire) {
            let turn = self.turn()?;
            if Instant::now() >= report_at {
                self.report()?;
                report_at = Instant::now() + REPORT;
            }
            match turn {
                Turn::Busy => {}
                Turn::Blocked => thread::park_timeout(BLOCKED),
                Turn::Idle | Turn::Diverged | Turn::Failed(_) => thread::park_timeout(IDLE),
            }
        }
        Ok(())
    }

    /// Does everything that there is to do, once.
    fn turn(&mut self) -> Result<Turn, ConsumerError> {
        self.poll()?;
        while let Some(rebalance) = self.consumer.context().next() {
            self.rebalance(rebalance)?;
        }
        while let Ok(event) = self.events.try_recv() {
            self.event(event)?;
        }
        if self.seen.has_changed().unwrap_or(false) {
            self.observe()?;
        }
        let (mut outcome, mut ended) = (Turn::Idle, Vec::new());
        for (number, slot) in &mut self.partitions {
            let Slot::Running(partition) = slot else { continue };
            match partition.advance(&self.shared) {
                Turn::Idle => {}
                Turn::Busy => outcome = Turn::Busy,
                Turn::Blocked if outcome == Turn::Idle => outcome = Turn::Blocked,
                Turn::Blocked => {}
                turn @ (Turn::Diverged | Turn::Failed(_)) => ended.push((*number, turn)),
            }
        }
        for (number, turn) in ended {
            match turn {
                Turn::Failed(reason) => self.stop(number, reason)?,
                Turn::Diverged | Turn::Idle | Turn::Busy | Turn::Blocked => self.release(number, true)?,
            }
        }
        Ok(outcome)
    }

    /// Lets librdkafka call back. Records come by the queues of their partitions, never this way.
    fn poll(&self) -> Result<(), ConsumerError> {
        match self.consumer.poll(Duration::ZERO) {
            None => Ok(()),
            Some(Ok(_)) => Err(ConsumerError::Ended("record outside of its partition's queue".into())),
            Some(Err(error)) if is_fatal(&error) => Err(error.into()),
            Some(Err(error)) => {
                tracing::info!(%error, "librdkafka tries again");
                Ok(())
            }
        }
    }

    fn rebalance(&mut self, rebalance: Rebalance) -> Result<(), ConsumerError> {
        match rebalance {
            Rebalance::Assigned(partitions) => {
                // The group need not wait: each partition is assigned once it can be read.
                self.consumer.incremental_assign(&TopicPartitionList::new())?;
                tracing::info!(?partitions, "assigned");
                self.statuses.send_modify(|status| status.assigned += count(&partitions));
                for number in partitions {
                    self.open(number);
                }
            }
            Rebalance::Revoked { partitions, lost } => {
                tracing::info!(?partitions, lost, "revoked");
                self.statuses.send_modify(|status| {
                    status.revoked += count(&partitions);
                    status.lost += if lost { count(&partitions) } else { 0 };
                });
                for &number in &partitions {
                    if lost { self.forget(number) } else { self.release(number, false)? }
                }
                self.revoking = Some(partitions);
                self.finish_revocation()?;
            }
        }
        Ok(())
    }

    fn event(&mut self, event: Event<O::Partition>) -> Result<(), ConsumerError> {
        match event {
            Event::Opened(number, number_of_task, opened) => {
                match self.partitions.get(&number) {
                    Some(Slot::Opening { serial, .. }) if *serial == number_of_task => {}
                    _ => return Ok(()),
                }
                match opened {
                    Ok(opened) => self.begin(number, opened)?,
                    Err(error) => self.stop(number, error.to_string())?,
                }
            }
            Event::Released(number, number_of_task) => {
                match self.partitions.get(&number) {
                    Some(Slot::Releasing { serial, again }) if *serial == number_of_task => {
                        if *again {
                            self.open(number)
                        } else {
                            self.forget(number)
                        }
                    }
                    _ => return Ok(()),
                }
                self.finish_revocation()?;
            }
        }
        Ok(())
    }

    fn open(&mut self, number: i32) {
        self.serial += 1;
        let (serial, sender, wake) = (self.serial, self.sender.clone(), self.shared.wake.clone());
        let client = TopicClient::new(&self.options.brokers, &self.options.topic);
        let (owner, identity, missing) =
            (self.owner.clone(), self.shared.identity.clone(), self.options.missing);
        let task = self.shared.runtime.spawn(async move {
            let opened = open(owner, identity, client, number, missing).await;
            let _ = sender.send(Event::Opened(number, serial, opened)).await;
            wake();
        });
        self.partitions.insert(number, Slot::Opening { serial, task: task.abort_handle() });
    }

    fn begin(&mut self, number: i32, opened: Opened<O::Partition>) -> Result<(), ConsumerError> {
        let Opened { destination, offset, epoch } = opened;
        // The queue is split off first, so that no record takes another way.
        let queue = self.consumer.split_partition_queue(&self.options.topic, number);
        let queue = queue.ok_or_else(|| ConsumerError::Ended("partition without a queue".into()))?;
        let partition = Box::new(Partition::new(number, queue, destination, (offset, epoch), &self.shared));
        let mut list = TopicPartitionList::new();
        let from = Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX));
        list.add_partition_offset(&self.options.topic, number, from)?;
        self.consumer.incremental_assign(&list)?;
        tracing::info!(partition = number, offset, "counting");
        self.assigned.insert(number);
        self.partitions.insert(number, Slot::Running(partition));
        Ok(())
    }

    /// Stops reading a partition, and lets its node make durable what it was given. Then opens it again if asked to.
    fn release(&mut self, number: i32, again: bool) -> Result<(), ConsumerError> {
        self.unassign(number)?;
        match self.partitions.remove(&number) {
            Some(Slot::Running(partition)) => {
                self.serial += 1;
                let (serial, sender, wake) = (self.serial, self.sender.clone(), self.shared.wake.clone());
                self.shared.runtime.spawn(async move {
                    if timeout(RELEASE, partition.destination.release()).await.is_err() {
                        tracing::warn!(partition = number, "partition not released in time");
                    }
                    let _ = sender.send(Event::Released(number, serial)).await;
                    wake();
                });
                self.partitions.insert(number, Slot::Releasing { serial, again });
            }
            Some(Slot::Releasing { serial, .. }) => {
                self.partitions.insert(number, Slot::Releasing { serial, again });
            }
            Some(Slot::Opening { task, .. }) => task.abort(),
            Some(Slot::Stopped { .. }) | None => {}
        }
        Ok(())
    }

    /// Stops reading a partition until a person has decided, or it is revoked.
    fn stop(&mut self, number: i32, reason: String) -> Result<(), ConsumerError> {
        tracing::error!(partition = number, "stopped: {reason}");
        self.unassign(number)?;
        let last = match self.partitions.remove(&number) {
            Some(Slot::Running(partition)) => Some(partition.status()),
            Some(Slot::Stopped { last, .. }) => last,
            Some(Slot::Opening { task, .. }) => {
                task.abort();
                None
            }
            Some(Slot::Releasing { .. }) | None => None,
        };
        self.partitions.insert(number, Slot::Stopped { reason, last });
        Ok(())
    }

    /// Gives a partition up without a word.
    fn forget(&mut self, number: i32) {
        if let Some(Slot::Opening { task, .. }) = self.partitions.remove(&number) {
            task.abort();
        }
    }

    /// Tells librdkafka that revoked partitions are given up, once all of them are.
    fn finish_revocation(&mut self) -> Result<(), ConsumerError> {
        let Some(partitions) = &self.revoking else { return Ok(()) };
        if partitions.iter().any(|number| self.partitions.contains_key(number)) {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        for number in partitions.iter().filter(|number| self.assigned.remove(number)) {
            list.add_partition(&self.options.topic, *number);
        }
        self.revoking = None;
        Ok(self.consumer.incremental_unassign(&list)?)
    }

    fn unassign(&mut self, number: i32) -> Result<(), ConsumerError> {
        // Those that the group waits for are unassigned together, when all of them are released.
        let is_revoked = self.revoking.as_ref().is_some_and(|revoking| revoking.contains(&number));
        if !is_revoked && self.assigned.remove(&number) {
            let mut list = TopicPartitionList::new();
            list.add_partition(&self.options.topic, number);
            self.consumer.incremental_unassign(&list)?;
        }
        Ok(())
    }

    fn observe(&mut self) -> Result<(), ConsumerError> {
        let seen = self.seen.borrow_and_update().clone();
        if seen.topic_id.is_some_and(|id| id != self.shared.identity.topic_id) {
            let running = self.partitions.iter().filter(|(_, slot)| matches!(slot, Slot::Running(_)));
            let numbers: Vec<i32> = running.map(|(number, _)| *number).collect();
            for number in numbers {
                self.stop(number, OpenError::Recreated.to_string())?;
            }
        }
        for (number, slot) in &mut self.partitions {
            if let Slot::Running(partition) = slot {
                partition.reader.epoch = seen.epochs.get(number).copied().max(partition.reader.epoch);
                if let Some(&end) = seen.ends.get(number) {
                    partition.end = Some(end);
                    partition.destination.note_end(end);
                }
            }
        }
        Ok(())
    }

    /// Reports to those who watch, and commits offsets for those who watch the group.
    fn report(&mut self) -> Result<(), ConsumerError> {
        let statuses: BTreeMap<i32, PartitionStatus> =
            self.partitions.iter().map(|(number, slot)| (*number, slot.status())).collect();
        let mut offsets = TopicPartitionList::new();
        for (number, status) in &statuses {
            if status.stage == Stage::Running {
                let offset = Offset::Offset(i64::try_from(status.committed).unwrap_or(i64::MAX));
                offsets.add_partition_offset(&self.options.topic, *number, offset)?;
            }
        }
        if offsets.count() > 0
            && let Err(error) = self.consumer.commit(&offsets, CommitMode::Async)
        {
            tracing::debug!(%error, "offsets not committed");
        }
        self.statuses.send_modify(|status| status.partitions = statuses);
        Ok(())
    }

    /// Gives everything up in order.
    fn leave(&mut self) -> Result<(), ConsumerError> {
        self.report()?;
        let numbers: Vec<i32> = self.partitions.keys().copied().collect();
        for number in numbers {
            self.release(number, false)?;
        }
        while self.partitions.values().any(|slot| matches!(slot, Slot::Releasing { .. })) {
            self.poll()?;
            while let Ok(event) = self.events.try_recv() {
                self.event(event)?;
            }
            thread::park_timeout(IDLE);
        }
        Ok(())
    }

    /// Prepares the end of the consumer: it calls back once more when it is dropped, and waits for an answer.
    fn close(&mut self) {
        let numbers: Vec<i32> = self.partitions.keys().copied().collect();
        for number in numbers {
            self.forget(number);
        }
        let mut list = TopicPartitionList::new();
        for number in &self.assigned {
            list.add_partition(&self.options.topic, *number);
        }
        if (list.count() > 0 || self.revoking.is_some())
            && let Err(error) = self.consumer.incremental_unassign(&list)
        {
            tracing::warn!(%error, "failed to give partitions up in order");
        }
        self.consumer.context().close();
    }
}

impl<P: Destination> Slot<P> {
    fn status(&self) -> PartitionStatus {
        let without =
            |stage| PartitionStatus { stage, offset: 0, committed: 0, end: None, records: 0, skipped: 0 };
        match self {
            Self::Opening { .. } => without(Stage::Opening),
            Self::Releasing { .. } => without(Stage::Releasing),
            Self::Running(partition) => partition.status(),
            Self::Stopped { reason, last } => {
                let stage = Stage::Stopped(reason.clone());
                last.clone().map_or_else(
                    || without(stage.clone()),
                    |last| PartitionStatus { stage: stage.clone(), ..last },
                )
            }
        }
    }
}

fn count(partitions: &BTreeSet<i32>) -> u64 {
    partitions.len() as u64
}

fn is_fatal(error: &KafkaError) -> bool {
    matches!(error, KafkaError::MessageConsumptionFatal(_))
        || error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed)
}
