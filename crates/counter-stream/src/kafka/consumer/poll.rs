//! The loop of the polling thread.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

use super::assignment::Assignment;
use super::context::{Context, Rebalance};
use super::observer::Observation;
use super::opening::{OpenError, Opened, open};
use super::partition::{Partition, Shared, Turn};
use super::slot::Slot;
use super::status::{PartitionStatus, Stage, Status};
use super::{ConsumerError, ConsumerOptions, Requests};
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
    assignment: Assignment,
    /// Number of the next opening or release. A task whose number is another one was overtaken.
    serial: u64,
    events: mpsc::Receiver<Event<O::Partition>>,
    sender: mpsc::Sender<Event<O::Partition>>,
    seen: watch::Receiver<Observation>,
    statuses: watch::Sender<Status>,
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
        (seen, statuses): (watch::Receiver<Observation>, watch::Sender<Status>),
        runtime: Handle,
    ) -> Self {
        let (sender, events) = mpsc::channel(EVENTS);
        let thread = thread::current();
        let wake = Arc::new(move || thread.unpark());
        let shared = Shared { identity, mapping: options.mapping.clone(), letters, runtime, wake };
        let (partitions, serial) = (BTreeMap::new(), 0);
        let assignment = Assignment::new(consumer.clone(), &options.topic);
        Self {
            options,
            consumer,
            owner,
            shared,
            partitions,
            assignment,
            serial,
            events,
            sender,
            seen,
            statuses,
        }
    }

    /// Reads until it is told to leave, then gives everything up in order.
    pub(super) fn run(mut self, requests: &Requests) -> Result<(), ConsumerError> {
        let ended = self.read(requests).and_then(|()| self.leave());
        self.close();
        ended
    }

    fn read(&mut self, requests: &Requests) -> Result<(), ConsumerError> {
        let mut report_at = Instant::now();
        while !requests.leave.load(Ordering::Acquire) {
            if requests.retry.swap(false, Ordering::AcqRel) {
                self.retry_stopped();
            }
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
                self.assignment.accept()?;
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
                self.assignment.revoke(partitions);
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
        self.assignment.begin(number, offset)?;
        tracing::info!(partition = number, offset, "counting");
        self.partitions.insert(number, Slot::Running(partition));
        Ok(())
    }

    /// Stops reading a partition, and lets its node make durable what it was given. Then opens it again if asked to.
    fn release(&mut self, number: i32, again: bool) -> Result<(), ConsumerError> {
        self.assignment.end(number)?;
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
        self.assignment.end(number)?;
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

    /// Opens the partitions that have stopped.
    fn retry_stopped(&mut self) {
        let stopped = self.partitions.iter().filter(|(_, slot)| matches!(slot, Slot::Stopped { .. }));
        let numbers: Vec<i32> = stopped.map(|(number, _)| *number).collect();
        for number in numbers {
            self.open(number);
        }
    }

    /// Gives a partition up without a word.
    fn forget(&mut self, number: i32) {
        if let Some(Slot::Opening { task, .. }) = self.partitions.remove(&number) {
            task.abort();
        }
    }

    /// Lets the group have what it has revoked, once all of it is given up.
    fn finish_revocation(&mut self) -> Result<(), ConsumerError> {
        let partitions = &self.partitions;
        Ok(self.assignment.finish_revocation(|number| !partitions.contains_key(&number))?)
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
                let log = seen.log.as_ref().zip(u32::try_from(*number).ok());
                if let Some(end) = log.and_then(|(log, number)| log.end_of(number)) {
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
        let running = statuses.iter().filter(|(_, status)| status.stage == Stage::Running);
        self.assignment.commit(running.map(|(number, status)| (*number, status.committed)))?;
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
        self.assignment.close();
        self.consumer.context().close();
    }
}

fn count(partitions: &BTreeSet<i32>) -> u64 {
    partitions.len() as u64
}

fn is_fatal(error: &KafkaError) -> bool {
    matches!(error, KafkaError::MessageConsumptionFatal(_))
        || error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed)
}
