//! Reads of counters, from whoever knows their values.

use counter_keyspace::{KeyspaceHandle, Page, PageToken};
use counter_protocol::{AggregatedStats, Count, CounterName};

use super::error::CountersError;
use super::node::NodeCounters;
use super::{Counters, Handle, TopicCounters};

/// Source of the counters' values.
pub(super) enum Counted<'a> {
    Here(&'a KeyspaceHandle),
    Cluster(&'a NodeCounters),
    Topic(&'a TopicCounters),
}

impl Counters {
    /// Returns the value and the number of operations of a counter as it stands, whether that is durable or not.
    ///
    /// # Errors
    /// [`CountersError`].
    pub async fn count(&self, name: impl AsRef<[u8]>) -> Result<Option<Count>, CountersError> {
        match self.counted() {
            Counted::Here(keyspace) => Ok(keyspace.count(name).await?),
            Counted::Cluster(node) => node.count(name.as_ref()).await,
            Counted::Topic(topic) => topic.count(name.as_ref()).await,
        }
    }

    /// Returns one page of up to `max_counters` counters, at least one, and the position of the next. A counter that
    /// exists throughout a scan is in at least one page.
    ///
    /// # Errors
    /// [`CountersError`].
    pub async fn scan_up_to(
        &self,
        token: PageToken,
        max_counters: usize,
    ) -> Result<(Page, Option<PageToken>), CountersError> {
        self.scan_prefix(token, max_counters, b"").await
    }

    /// Returns one page of up to `max_counters` counters whose names begin with `prefix`, like
    /// [`scan_up_to`](Self::scan_up_to).
    ///
    /// # Errors
    /// [`CountersError`].
    pub async fn scan_prefix(
        &self,
        token: PageToken,
        max_counters: usize,
        prefix: &[u8],
    ) -> Result<(Page, Option<PageToken>), CountersError> {
        match self.counted() {
            Counted::Here(keyspace) => Ok(keyspace.scan_prefix(token, max_counters, prefix).await?),
            Counted::Cluster(node) => node.scan(token, max_counters, prefix).await,
            Counted::Topic(topic) => topic.scan(token, max_counters, prefix).await,
        }
    }

    /// Returns the `n` counters with the largest values, those of equal value in order of name.
    ///
    /// # Errors
    /// [`CountersError`].
    pub async fn top(&self, n: usize) -> Result<Vec<(CounterName, Count)>, CountersError> {
        match self.counted() {
            Counted::Here(keyspace) => Ok(keyspace.top(n).await?),
            Counted::Cluster(node) => node.top(n).await,
            Counted::Topic(topic) => topic.top(n).await,
        }
    }

    /// Returns the totals of all counters. In a cluster, rejections and restarts are this node's.
    ///
    /// # Errors
    /// [`CountersError`].
    pub async fn stats(&self) -> Result<AggregatedStats, CountersError> {
        match self.counted() {
            Counted::Here(keyspace) => Ok(keyspace.stats().await?),
            Counted::Cluster(node) => node.stats().await,
            Counted::Topic(topic) => Ok(topic.partition_stats()?.into_iter().collect()),
        }
    }

    /// Returns the totals of each shard, which has what was counted here since the start in a cluster; or of each
    /// partition of a topic.
    ///
    /// # Errors
    /// [`CountersError`].
    pub async fn shard_stats(&self) -> Result<Vec<AggregatedStats>, CountersError> {
        match &self.handle {
            Handle::Topic(topic) => topic.partition_stats(),
            Handle::Memory(_) | Handle::Store(_) | Handle::Node(_) => {
                Ok(self.keyspace()?.shard_stats().await?)
            }
        }
    }

    /// Returns who knows what counters come to. A node that does not replicate has what its keyspace has.
    pub(super) fn counted(&self) -> Counted<'_> {
        match &self.handle {
            Handle::Memory(keyspace) => Counted::Here(keyspace),
            Handle::Store(store) => Counted::Here(store.keyspace()),
            Handle::Node(node) if node.replica().is_some() => Counted::Cluster(node),
            Handle::Node(node) => Counted::Here(node.0.keyspace()),
            Handle::Topic(topic) => Counted::Topic(topic),
        }
    }
}
