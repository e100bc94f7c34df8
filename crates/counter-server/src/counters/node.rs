//! Counters of a node of a cluster: its own outcomes, and what is known of other nodes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use counter_cluster::{ClusterStatus, Durability, Node, NodeHandle, ReplicaId, Total};
use counter_keyspace::{Entry, EntryPage, Operation, Outcome, Page, PageToken, SessionId};
use counter_protocol::{AggregatedStats, Count, CounterName};
use counter_store::{Committed, SessionIssuer};
use ractor_transport::NodeName;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::changes::ChangedCounters;
use super::error::CountersError;
use super::sessions::{close_in_memory, lock};

/// Time until nodes are asked again that were too few.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Time that an answer may take beyond the one that its question waits.
const ANSWER_TIME: Duration = Duration::from_secs(1);

/// Operations with their names, which outlive the question for what other nodes know of them.
type Operations = (Vec<Operation>, Arc<[CounterName]>);

/// Counters of a node, with outboxes of its own.
#[derive(Clone, Debug)]
pub(super) struct NodeCounters(pub(super) NodeHandle);

/// Sessions of a node, which its store issues if it has one.
#[derive(Debug)]
pub(super) struct NodeSessions {
    node: NodeHandle,
    in_memory: Option<Mutex<SessionIssuer>>,
}

impl NodeCounters {
    /// Applies operations on this node, and returns the sums that they led to.
    pub(super) async fn apply<N: AsRef<[u8]>>(
        &self,
        operations: impl IntoIterator<Item = (N, Operation)>,
        durability: Durability,
    ) -> Result<Vec<Outcome>, CountersError> {
        let operations = collect(operations)?;
        let applied = self.0.apply_at(pairs(&operations), durability).await?;
        self.sums(operations, applied.outcomes).await
    }

    /// Applies operations once, as the request of a session.
    pub(super) async fn apply_in_session<N: AsRef<[u8]>>(
        &self,
        session: SessionId,
        sequence: u64,
        operations: impl IntoIterator<Item = (N, Operation)>,
        durability: Durability,
    ) -> Result<Vec<Outcome>, CountersError> {
        let operations = collect(operations)?;
        let applied = self.0.apply_in_session(session, sequence, pairs(&operations), durability).await?;
        self.sums(operations, applied.outcomes).await
    }

    async fn sums(
        &self,
        (operations, names): Operations,
        own: Vec<Outcome>,
    ) -> Result<Vec<Outcome>, CountersError> {
        let others = self.0.others_of(names).await?;
        let all = operations.into_iter().zip(own).zip(others);
        Ok(all.map(|((operation, own), others)| sum(operation, own, others)).collect())
    }

    pub(super) async fn count(&self, name: &[u8]) -> Result<Option<Count>, CountersError> {
        let total = self.0.value(name).await?.total;
        Ok((total.operations > 0).then(|| nearest(total)))
    }

    /// Returns a page like those of a keyspace.
    pub(super) async fn scan(
        &self,
        token: PageToken,
        most: usize,
        prefix: &[u8],
    ) -> Result<(Page, Option<PageToken>), CountersError> {
        let (page, next) = self.0.scan(token.to_cursor(), most, prefix).await?;
        let page = page.into_iter().map(|(name, total)| (name, nearest(total))).collect();
        Ok((page, next.map(PageToken::from_cursor)))
    }

    pub(super) async fn top(&self, n: usize) -> Result<Page, CountersError> {
        let top = self.0.top(n).await?;
        Ok(top.into_iter().map(|(name, total)| (name, nearest(total))).collect())
    }

    /// Returns the totals of the cluster, with rejections and restarts of this node.
    pub(super) async fn stats(&self) -> Result<AggregatedStats, CountersError> {
        let (status, own) = (self.0.status().await?, self.0.keyspace().stats().await?);
        Ok(of_cluster(own, &status))
    }

    pub(super) async fn status(&self) -> Result<ClusterStatus, CountersError> {
        Ok(self.0.status().await?)
    }

    pub(super) fn replica(&self) -> Option<ReplicaId> {
        self.0.replica()
    }

    /// Asks all nodes for their counts, all of which have to answer.
    pub(super) async fn refresh(&self, name: Option<&[u8]>, deadline: Duration) -> Result<(), CountersError> {
        let unanswered = self.0.refresh(name, deadline).await?;
        if unanswered.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = unanswered.iter().map(NodeName::as_str).collect();
        Err(CountersError::Unanswered { nodes: names.join(", ") })
    }

    /// Waits until `nodes` others have received what was sent through this clone, and returns how many have.
    pub(super) async fn received_until(&self, nodes: usize, end: Instant) -> Result<usize, CountersError> {
        repeat_until(nodes, end, |within| self.0.received(nodes, within)).await
    }

    /// Waits until `nodes` others have committed what was sent through this clone, and returns how many have.
    pub(super) async fn committed_until(&self, nodes: usize, end: Instant) -> Result<usize, CountersError> {
        repeat_until(nodes, end, |within| self.0.copies(nodes, within)).await
    }

    /// Returns changes that have been counted here with the sums that they led to.
    pub(super) async fn with_sums(
        &self,
        ChangedCounters { removed, changed }: ChangedCounters,
    ) -> Result<ChangedCounters, CountersError> {
        let names: Result<Arc<[_]>, _> = changed.iter().map(|entry| CounterName::new(entry.name)).collect();
        let others = self.0.others_of(names?).await?;
        let mut sums = EntryPage::default();
        for (entry, mut total) in changed.iter().zip(others) {
            total.add(entry.count);
            sums.push(Entry { count: nearest(total), ..entry });
        }
        Ok(ChangedCounters { removed, changed: sums })
    }
}

impl NodeSessions {
    /// Creates the sessions of a node, of which each client of one without a store has up to `limit` open.
    pub(super) fn new(node: &Node, limit: usize) -> Self {
        let incarnation = node.replica().incarnation;
        let node = node.handle();
        let in_memory =
            node.committed().is_none().then(|| Mutex::new(SessionIssuer::first(incarnation, limit)));
        Self { node, in_memory }
    }

    pub(super) fn open(&self, client: &str) -> Result<SessionId, CountersError> {
        Ok(match &self.in_memory {
            Some(sessions) => lock(sessions).open(client)?,
            None => self.node.open_session(client)?,
        })
    }

    pub(super) async fn close(&self, id: SessionId) -> Result<(), CountersError> {
        match &self.in_memory {
            Some(sessions) => close_in_memory(sessions, self.node.keyspace(), id).await,
            None => Ok(self.node.close_session(id).await?),
        }
    }

    /// Returns how far the node's store has come, if it has one.
    pub(super) fn committed(&self) -> Option<watch::Receiver<Committed>> {
        self.node.committed()
    }
}

/// Returns the totals of the cluster in place of those of a node, of which rejections and restarts stay.
pub(crate) fn of_cluster(own: AggregatedStats, status: &ClusterStatus) -> AggregatedStats {
    let Total { value: total_value, operations: total_operations } = status.total();
    AggregatedStats { num_counters: status.names, total_value, total_operations, ..own }
}

/// Asks until enough nodes have something, or the time is over.
async fn repeat_until<E: Into<CountersError>, F: Future<Output = Result<usize, E>>>(
    nodes: usize,
    end: Instant,
    ask: impl Fn(Duration) -> F,
) -> Result<usize, CountersError> {
    loop {
        let within = end.saturating_duration_since(Instant::now());
        // A disk that has failed keeps the question from being answered.
        let Ok(reached) = timeout_at(end + ANSWER_TIME, ask(within)).await else { return Ok(0) };
        let reached = reached.map_err(Into::into)?;
        if reached >= nodes || Instant::now() >= end {
            return Ok(reached);
        }
        sleep_until(end.min(Instant::now() + ASK_AGAIN)).await;
    }
}

fn collect<N: AsRef<[u8]>>(
    operations: impl IntoIterator<Item = (N, Operation)>,
) -> Result<Operations, CountersError> {
    let (mut collected, mut names) = (Vec::new(), Vec::new());
    for (name, operation) in operations {
        names.push(CounterName::new(name.as_ref())?);
        collected.push(operation);
    }
    Ok((collected, names.into()))
}

fn pairs((operations, names): &Operations) -> impl Iterator<Item = (&[u8], Operation)> {
    names.iter().map(CounterName::as_bytes).zip(operations.iter().copied())
}

/// Adds what other nodes have counted to an outcome. A sum beyond 64 bits is out of range.
fn sum(operation: Operation, own: Outcome, others: Total) -> Outcome {
    let exists_elsewhere = others.operations > 0;
    match own {
        Outcome::Value(None) if !exists_elsewhere => own,
        Outcome::Value(None) if operation == Operation::Ttl => Outcome::Ttl(None),
        Outcome::Value(None) if operation == Operation::Persist => Outcome::Deadline(None),
        Outcome::Value(value) => {
            let sum = i128::from(value.unwrap_or(0)) + others.value;
            i64::try_from(sum).map_or(Outcome::OutOfRange(clamp(sum)), |sum| Outcome::Value(Some(sum)))
        }
        Outcome::Count(None) if !exists_elsewhere => own,
        Outcome::Count(count) => {
            let mut total = others;
            total.add(count.unwrap_or_default());
            match i64::try_from(total.value) {
                Ok(_) => Outcome::Count(Some(nearest(total))),
                Err(_) => Outcome::OutOfRange(clamp(total.value)),
            }
        }
        Outcome::OutOfRange(value) => Outcome::OutOfRange(clamp(i128::from(value) + others.value)),
        // What has no sum, or is refused by a keyspace that is replicated.
        _ => own,
    }
}

/// Returns a sum as a count, with the nearest value in the range of 64 bits.
fn nearest(Total { value, operations }: Total) -> Count {
    Count { value: clamp(value), operations: u64::try_from(operations).unwrap_or(u64::MAX) }
}

/// Returns the nearest value in the range of 64 bits.
pub(super) fn clamp(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Total = Total { value: 0, operations: 0 };

    fn others(value: i64) -> Total {
        Total { value: value.into(), operations: 2 }
    }

    #[test]
    fn an_outcome_is_what_is_counted_here_and_elsewhere() {
        let value = |own, others| sum(Operation::Get, Outcome::Value(own), others);
        assert_eq!(value(None, NONE), Outcome::Value(None));
        assert_eq!(value(None, others(0)), Outcome::Value(Some(0)));
        assert_eq!(value(Some(3), NONE), Outcome::Value(Some(3)));
        assert_eq!(value(Some(3), others(-5)), Outcome::Value(Some(-2)));
        let count = |own, others| sum(Operation::GetCount, Outcome::Count(own), others);
        let [three, five] = [3, 5].map(|operations| Some(Count { value: 3, operations }));
        assert_eq!((count(None, NONE), count(three, NONE)), (Outcome::Count(None), Outcome::Count(three)));
        assert_eq!(count(three, others(0)), Outcome::Count(five));
        assert_eq!(count(None, others(3)), Outcome::Count(Some(Count { value: 3, operations: 2 })));
    }

    #[test]
    fn a_sum_beyond_64_bits_is_out_of_range() {
        let value = |own, others| sum(Operation::Add(1), Outcome::Value(Some(own)), others);
        assert_eq!(value(i64::MAX - 5, others(5)), Outcome::Value(Some(i64::MAX)));
        assert_eq!(value(i64::MAX - 5, others(6)), Outcome::OutOfRange(i64::MAX));
        assert_eq!(value(-2, others(i64::MIN)), Outcome::OutOfRange(i64::MIN));
        let count = Outcome::Count(Some(Count { value: i64::MAX, operations: 1 }));
        assert_eq!(sum(Operation::GetCount, count, others(1)), Outcome::OutOfRange(i64::MAX));
        assert_eq!(sum(Operation::Add(1), Outcome::OutOfRange(7), others(-3)), Outcome::OutOfRange(4));
    }

    #[test]
    fn a_counter_that_exists_elsewhere_exists_without_a_deadline() {
        let absent = Outcome::Value(None);
        assert_eq!(sum(Operation::Ttl, absent, NONE), absent);
        assert_eq!(sum(Operation::Ttl, absent, others(1)), Outcome::Ttl(None));
        assert_eq!(sum(Operation::Persist, absent, others(1)), Outcome::Deadline(None));
    }
}
