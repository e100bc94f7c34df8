//! Counters that follow a topic: written through its log, and read as far as the log is counted here.

mod runs;
mod status;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use counter_keyspace::{Operation, Outcome, Page, PageToken};
use counter_protocol::{AggregatedStats, Count, CounterName};
use counter_stream::kafka::{Consumer, Lag, LogWatch, Status, TopicIdentity};
use counter_stream::producer::{Increment, Producer};
use counter_stream::{StreamHandle, Total};
use futures_util::future::try_join_all;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::error::CountersError;
use super::node::clamp;
use super::positions::Positions;
use super::{Applied, Durability};
use runs::run_len;

pub use status::{LagStatus, PartitionStatus, TopicStatus};

/// Error of increments that the log may have.
const UNACKNOWLEDGED: CountersError =
    CountersError::UnknownOutcome("the log has not acknowledged it in time");

/// Counters of a topic. A clone knows what was written through it, and nothing of what was written through others.
#[derive(Debug)]
pub(crate) struct TopicCounters {
    topic: Arc<Topic>,
    written: Mutex<Positions>,
}

/// State that all clones share.
#[derive(Debug)]
pub(crate) struct Topic {
    handle: StreamHandle,
    identity: TopicIdentity,
    status: watch::Receiver<Status>,
    log: LogWatch,
    /// One for all, so that their increments become few records. `None` if records of increments would count otherwise.
    producer: Option<Producer>,
    /// Time for an increment to be in the log and to be counted.
    deadline: Duration,
}

impl Clone for TopicCounters {
    fn clone(&self) -> Self {
        Self { topic: Arc::clone(&self.topic), written: Mutex::default() }
    }
}

impl TopicCounters {
    pub(crate) fn new(
        handle: StreamHandle,
        consumer: &Consumer,
        producer: Option<Producer>,
        deadline: Duration,
    ) -> Self {
        let (identity, status, log) = (consumer.topic().clone(), consumer.status(), consumer.log());
        let topic = Topic { handle, identity, status, log, producer, deadline };
        Self { topic: topic.into(), written: Mutex::default() }
    }

    /// Carries operations out in their order. An increment is answered with what its counter comes to once it is
    /// counted here, which takes up to `wait`.
    pub(super) async fn apply<N: AsRef<[u8]>>(
        &self,
        operations: impl IntoIterator<Item = (N, Operation)>,
        durability: Durability,
        wait: Option<Duration>,
    ) -> Result<Applied, CountersError> {
        if matches!(durability, Durability::Replicated(_)) {
            return Err(CountersError::NotOnTopic { command: "replication to a number of nodes" });
        }
        let operations: Vec<_> = operations.into_iter().collect();
        if let Some(command) = operations.iter().find_map(|(_, operation)| operation.needs_one_owner()) {
            return Err(CountersError::NotOnTopic { command });
        }
        let (mut applied, mut rest) = (Applied::default(), &operations[..]);
        while !rest.is_empty() {
            let (run, behind) = rest.split_at(run_len(rest));
            if let Err(error) = self.run(run, wait, &mut applied).await {
                let is_all_written = behind.iter().all(|(_, operation)| !is_increment(*operation));
                return Err(failure(error, applied.positions, is_all_written));
            }
            rest = behind;
        }
        Ok(applied)
    }

    /// Carries out operations of which no increment comes behind a question for the same name.
    async fn run<N: AsRef<[u8]>>(
        &self,
        run: &[(N, Operation)],
        wait: Option<Duration>,
        applied: &mut Applied,
    ) -> Result<(), CountersError> {
        let increments: Vec<Increment<'_>> = run
            .iter()
            .filter_map(|(name, operation)| match *operation {
                Operation::Add(amount) => Some(Increment { name: name.as_ref(), amount }),
                _ => None,
            })
            .collect();
        if !increments.is_empty() {
            self.write(&increments, wait, &mut applied.positions).await?;
        }
        // Not later than the values, which so are at most as far behind.
        applied.lag = self.lag();
        let values = self.topic.handle.values(run.iter().map(|(name, _)| name)).await?;
        let outcomes = run.iter().zip(values).map(|((_, operation), value)| outcome(*operation, value));
        applied.outcomes.extend(outcomes);
        Ok(())
    }

    /// Writes increments, and waits until they are in the log, at positions that are noted, and counted here.
    async fn write(
        &self,
        increments: &[Increment<'_>],
        wait: Option<Duration>,
        written: &mut Positions,
    ) -> Result<(), CountersError> {
        let Topic { producer, deadline, .. } = &*self.topic;
        let producer = producer.as_ref().ok_or(CountersError::ReadOnlyTopic)?;
        let began = Instant::now();
        producer.try_increment(increments)?;
        self.flush().await.map_err(|_| UNACKNOWLEDGED)?;
        let positions: Positions =
            increments.iter().map(|increment| producer.position(increment.name)).collect();
        self.lock_written().merge(&positions);
        written.merge(&positions);
        match timeout_at(began + wait.unwrap_or(*deadline), self.counted(&positions)).await {
            Ok(counted) => counted,
            Err(_) => Err(CountersError::NotCounted { positions }),
        }
    }

    /// Adds an amount without an answer. Waits for room if too many names wait for the log.
    pub(super) async fn increment(&self, name: &[u8], amount: i64) -> Result<(), CountersError> {
        let producer = self.topic.producer.as_ref().ok_or(CountersError::ReadOnlyTopic)?;
        Ok(producer.increment(name, amount).await?)
    }

    /// Waits until everything that was sent through any clone is in the log.
    pub(super) async fn flush(&self) -> Result<(), CountersError> {
        let Topic { producer, deadline, .. } = &*self.topic;
        let Some(producer) = producer else { return Ok(()) };
        match timeout(*deadline, producer.flush()).await {
            Ok(flushed) => Ok(flushed.map(drop)?),
            Err(_) => Err(UNACKNOWLEDGED),
        }
    }

    /// Waits until everything before these positions is counted here, for up to `wait`.
    pub(crate) async fn reach(
        &self,
        positions: &Positions,
        wait: Option<Duration>,
    ) -> Result<(), CountersError> {
        let wait = wait.unwrap_or(self.topic.deadline);
        if let Ok(counted) = timeout(wait, self.counted(positions)).await {
            return counted;
        }
        let reached = self.topic.handle.offsets(&self.topic.identity);
        let offset_of = |partition| reached.get(&partition).copied().unwrap_or(0);
        let behind = positions.iter().filter(|(partition, offset)| offset_of(*partition) < *offset);
        let behind = behind.map(|(partition, _)| (partition, offset_of(partition))).collect();
        Err(CountersError::NotReached { positions: positions.clone(), behind })
    }

    async fn counted(&self, positions: &Positions) -> Result<(), CountersError> {
        let Topic { handle, identity, .. } = &*self.topic;
        try_join_all(positions.iter().map(|(partition, offset)| async move {
            handle.wait_for(&identity.partition(partition), offset).await.map(drop)
        }))
        .await?;
        Ok(())
    }

    /// Returns the positions behind what was written and answered through this clone.
    pub(crate) fn written(&self) -> Positions {
        self.lock_written().clone()
    }

    /// Returns how far what is counted here is behind the log, if that is known.
    pub(crate) fn lag(&self) -> Option<Lag> {
        let offsets = self.topic.handle.offsets(&self.topic.identity);
        let offset_of = |partition| offsets.get(&partition).copied().unwrap_or(0);
        self.topic.log.ends()?.lag(offset_of, Instant::now())
    }

    pub(super) async fn scan(
        &self,
        token: PageToken,
        most: usize,
        prefix: &[u8],
    ) -> Result<(Page, Option<PageToken>), CountersError> {
        let (page, next) = self.topic.handle.scan(token.to_cursor(), most, prefix).await?;
        Ok((named(page)?, next.map(PageToken::from_cursor)))
    }

    pub(super) async fn top(&self, n: usize) -> Result<Page, CountersError> {
        named(self.topic.handle.top(n).await?)
    }

    pub(super) async fn count(&self, name: &[u8]) -> Result<Option<Count>, CountersError> {
        Ok(self.topic.handle.value(name).await?.map(nearest))
    }

    /// Returns the totals of each partition.
    pub(super) fn partition_stats(&self) -> Result<Vec<AggregatedStats>, CountersError> {
        self.topic.handle.totals()?;
        let partitions = self.topic.handle.partitions().into_values();
        let stats = partitions.map(|status| AggregatedStats {
            num_counters: status.names,
            total_value: status.total.value,
            total_operations: status.total.operations,
            rejected_operations: status.tallies.refused.into(),
            ..AggregatedStats::default()
        });
        Ok(stats.collect())
    }

    fn lock_written(&self) -> MutexGuard<'_, Positions> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn is_increment(operation: Operation) -> bool {
    matches!(operation, Operation::Add(_))
}

/// Returns what there is to say of operations of which some are in the log, and one has failed.
fn failure(error: CountersError, written: Positions, is_all_written: bool) -> CountersError {
    match error {
        error if written.is_empty() => error,
        // The increments before the failure are written, and so are those behind it.
        CountersError::NotCounted { .. } | CountersError::PartitionStopped(_) if is_all_written => {
            CountersError::NotCounted { positions: written }
        }
        _ => CountersError::UnknownOutcome("only some of the increments are in the log"),
    }
}

/// Returns what an operation comes to, given what its counter adds up to behind it.
fn outcome(operation: Operation, total: Option<Total>) -> Outcome {
    let value = total.map(Total::value_i64).transpose();
    match (operation, value) {
        // It has been applied, whatever can be told of it.
        (Operation::Add(_), Err(_) | Ok(None)) => Outcome::Applied,
        (Operation::Ttl, Ok(Some(_)) | Err(_)) => Outcome::Ttl(None),
        (Operation::Persist, Ok(Some(_)) | Err(_)) => Outcome::Deadline(None),
        (Operation::GetCount, Ok(_)) => Outcome::Count(total.map(nearest)),
        (_, Ok(value)) => Outcome::Value(value),
        (_, Err(_)) => Outcome::OutOfRange(total.map_or(0, |total| clamp(total.value))),
    }
}

fn named(counters: Vec<(Box<[u8]>, Total)>) -> Result<Page, CountersError> {
    counters.into_iter().map(|(name, total)| Ok((CounterName::new(&*name)?, nearest(total)))).collect()
}

/// Returns a sum as a count, with the nearest value in the range of 64 bits.
fn nearest(Total { value, operations }: Total) -> Count {
    Count { value: clamp(value), operations: u64::try_from(operations).unwrap_or(u64::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_whether_everything_is_in_the_log() {
        let (none, some) = (Positions::default(), Positions::from_iter([(3, 18)]));
        let not_counted = CountersError::NotCounted { positions: some.clone() };
        assert_eq!(failure(CountersError::LogFull, none, false), CountersError::LogFull);
        assert_eq!(failure(not_counted.clone(), some.clone(), true), not_counted);
        for (error, is_all_written) in [(not_counted, false), (CountersError::LogFull, true)] {
            let failure = failure(error, some.clone(), is_all_written);
            assert!(matches!(failure, CountersError::UnknownOutcome(_)), "{failure}");
        }
    }

    #[test]
    fn a_sum_beyond_64_bits_is_told_of_but_is_no_value() {
        let total = |value| Some(Total { value, operations: 2 });
        let beyond = i128::from(i64::MAX) + 1;
        assert_eq!(outcome(Operation::Add(1), total(7)), Outcome::Value(Some(7)));
        assert_eq!(outcome(Operation::Add(1), total(beyond)), Outcome::Applied);
        assert_eq!(outcome(Operation::Get, total(beyond)), Outcome::OutOfRange(i64::MAX));
        assert_eq!(outcome(Operation::GetCount, total(-beyond - 1)), Outcome::OutOfRange(i64::MIN));
        assert_eq!(outcome(Operation::Get, None), Outcome::Value(None));
        assert_eq!(outcome(Operation::GetCount, None), Outcome::Count(None));
        assert_eq!(outcome(Operation::Ttl, total(beyond)), Outcome::Ttl(None));
        assert_eq!(outcome(Operation::Ttl, None), Outcome::Value(None));
    }
}
