use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use counter_keyspace::top_k;
use futures_util::future::try_join_all;

use crate::error::{ReadError, StreamError};
use crate::partition::{Partition, PartitionStatus};
use crate::partitions::Partitions;
use crate::record::PartitionId;
use crate::table::{Tallies, Total};

/// Number of counters that a partition hands out at a time, for less than a millisecond.
const PAGE: usize = 4096;

/// Handle for reading what a member knows. Clones are the same.
///
/// A value is the sum over all partitions, as far as this member has heard of them. What it shows of its own partitions
/// may not be durable yet; it is what their records add up to even so.
#[derive(Clone, Debug)]
pub struct StreamHandle {
    partitions: Partitions,
}

/// Totals of all partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Number of names. One that is in several partitions counts in each.
    pub names: u64,
    /// Sum over all names.
    pub total: Total,
    /// What became of the records.
    pub tallies: Tallies,
}

impl StreamHandle {
    pub(crate) const fn new(partitions: Partitions) -> Self {
        Self { partitions }
    }

    /// Returns what a counter adds up to, if there is one.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn value(&self, name: impl AsRef<[u8]>) -> Result<Option<Total>, ReadError> {
        let name: Arc<[u8]> = name.as_ref().into();
        let partitions = self.readable()?;
        let values = try_join_all(partitions.iter().map(|partition| partition.value(&name))).await?;
        Ok(values.into_iter().flatten().reduce(Total::merge))
    }

    /// Returns the `n` counters with the greatest values, greatest first; equal ones in the order of their names.
    ///
    /// Reads all counters of all partitions, since a name may be in several.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn top(&self, n: usize) -> Result<Vec<(Box<[u8]>, Total)>, ReadError> {
        let mut sums = HashMap::<Box<[u8]>, Total>::new();
        for partition in self.readable()? {
            let mut from = Some(0);
            while let Some(index) = from {
                let (page, next) = partition.counters(index, PAGE).await?;
                for (name, total) in page {
                    let sum = sums.entry(name).or_default();
                    *sum = sum.merge(total);
                }
                from = next;
            }
        }
        let ranked = sums.into_iter().map(|(name, total)| (std::cmp::Reverse(total), name));
        Ok(top_k(n, ranked).into_iter().map(|(total, name)| (name, total.0)).collect())
    }

    /// Returns the totals of all partitions.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn totals(&self) -> Result<Totals, ReadError> {
        let mut totals = Totals::default();
        for partition in self.readable()? {
            let status = *partition.status.borrow();
            totals.names += status.names;
            totals.total = totals.total.merge(status.total);
            totals.tallies = totals.tallies.merge(status.tallies);
        }
        Ok(totals)
    }

    /// Returns what is known of each partition here.
    #[must_use]
    pub fn partitions(&self) -> BTreeMap<PartitionId, PartitionStatus> {
        let status = |partition: Partition| ((*partition.id).clone(), *partition.status.borrow());
        self.partitions.all().into_iter().map(status).collect()
    }

    /// Waits until all records before an offset are counted here, by this member or by another one that it has heard of
    /// them from. Returns what is known of the partition then.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn wait_for(
        &self,
        partition: &PartitionId,
        offset: u64,
    ) -> Result<PartitionStatus, StreamError> {
        let mut count = self.partitions.count();
        let partition = loop {
            match self.partitions.get(partition) {
                Some(partition) => break partition,
                None => count.changed().await.map_err(|_| StreamError::Stopped)?,
            }
        };
        let mut status = partition.status.subscribe();
        let is_over = |status: &PartitionStatus| status.position.offset >= offset || status.fork.is_some();
        let reached = *status.wait_for(is_over).await.map_err(|_| StreamError::Stopped)?;
        match reached.fork {
            Some(fork) => Err(StreamError::Forked { id: (*partition.id).clone(), fork }),
            None => Ok(reached),
        }
    }

    /// Returns the partitions if all of them can be relied on.
    fn readable(&self) -> Result<Vec<Partition>, ReadError> {
        let partitions = self.partitions.all();
        for partition in &partitions {
            if let Some(fork) = partition.status.borrow().fork {
                return Err(ReadError::Forked { id: (*partition.id).clone(), fork });
            }
        }
        Ok(partitions)
    }
}
