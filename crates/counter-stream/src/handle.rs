use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use counter_keyspace::top_k;
use futures_util::future::try_join_all;

use crate::error::{ReadError, StreamError};
use crate::kafka::TopicIdentity;
use crate::partition::{Partition, PartitionStatus};
use crate::partitions::Partitions;
use crate::record::PartitionId;
use crate::table::{Tallies, Total};

/// Number of counters that a partition hands out at a time, for less than a millisecond.
const PAGE: usize = 4096;

/// Number of bits of a cursor that are an index within a partition.
const INDEX_BITS: u32 = 32;

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
    /// Numbers of records, by outcome.
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
        Ok(self.values([name]).await?.pop().flatten())
    }

    /// Returns what counters add up to, in the order of their names; `None` for those that do not exist.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn values(
        &self,
        names: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Result<Vec<Option<Total>>, ReadError> {
        let names: Arc<[Box<[u8]>]> = names.into_iter().map(|name| name.as_ref().into()).collect();
        let partitions = self.readable()?;
        let all = try_join_all(partitions.iter().map(|partition| partition.values(&names))).await?;
        let mut sums = vec![None; names.len()];
        for values in all {
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum = [*sum, value].into_iter().flatten().reduce(Total::merge);
            }
        }
        Ok(sums)
    }

    /// Returns those of the next `most` counters from a cursor on whose names begin with a prefix, and the cursor to go
    /// on from. A scan begins at 0, and its cursors are good for this handle and its clones.
    ///
    /// A counter that exists throughout a scan is in at least one page: in one for each partition that has counted it.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn scan(
        &self,
        cursor: u64,
        most: usize,
        prefix: &[u8],
    ) -> Result<(Vec<(Box<[u8]>, Total)>, Option<u64>), ReadError> {
        let (place, index) = (cursor >> INDEX_BITS, cursor & u64::from(u32::MAX));
        let index = u32::try_from(index).expect("it has 32 bits");
        let partitions = self.readable()?;
        let partition = usize::try_from(place).ok().and_then(|place| partitions.get(place));
        let Some(partition) = partition else { return Ok((Vec::new(), None)) };
        let (mut page, next) = partition.counters(index, most.clamp(1, PAGE)).await?;
        page.retain(|(name, _)| name.starts_with(prefix));
        if partitions.len() > 1 && !page.is_empty() {
            let sums = self.values(page.iter().map(|(name, _)| name)).await?;
            page.iter_mut().zip(sums).for_each(|((_, total), sum)| *total = sum.unwrap_or(*total));
        }
        let is_last = place + 1 >= partitions.len() as u64;
        let next = match next {
            Some(index) => Some(place << INDEX_BITS | u64::from(index)),
            None => (!is_last).then_some((place + 1) << INDEX_BITS),
        };
        Ok((page, next))
    }

    /// Returns the `n` counters with the greatest values, greatest first; equal ones in the order of their names.
    ///
    /// Reads all counters of all partitions, since a name may be in several.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn top(&self, n: usize) -> Result<Vec<(Box<[u8]>, Total)>, ReadError> {
        let mut sums = HashMap::<Box<[u8]>, Total>::new();
        for partition in self.readable()?.iter() {
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
        for partition in self.readable()?.iter() {
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
        let status = |partition: &Partition| ((*partition.id).clone(), *partition.status.borrow());
        self.partitions.shared().iter().map(status).collect()
    }

    /// Returns the offset up to which each partition of a topic is counted here, by number.
    #[must_use]
    pub fn offsets(&self, topic: &TopicIdentity) -> BTreeMap<u32, u64> {
        let partitions = self.partitions.shared();
        let of_topic = partitions.iter().filter(|partition| topic.has(&partition.id));
        let offset = |partition: &Partition| partition.status.borrow().position.offset;
        of_topic.map(|partition| (partition.id.partition, offset(partition))).collect()
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
    fn readable(&self) -> Result<Arc<Vec<Partition>>, ReadError> {
        let partitions = self.partitions.shared();
        for partition in partitions.iter() {
            if let Some(fork) = partition.status.borrow().fork {
                return Err(ReadError::Forked { id: (*partition.id).clone(), fork });
            }
        }
        Ok(partitions)
    }
}
