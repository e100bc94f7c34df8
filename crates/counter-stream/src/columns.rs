//! Source from which the store takes the partitions, as columns.

use std::sync::Arc;

use counter_keyspace::KeyspaceError;
use counter_store::{ColumnEnds, ColumnPage, Columns, ReplicaKey};
use futures_util::future::try_join_all;

use crate::partition::Partition;
use crate::partitions::Partitions;
use crate::table::OwnCut;

/// Number of bits of a position in a snapshot that are an index within a partition.
const INDEX_BITS: u32 = 32;

/// Columns of all partitions of a member.
///
/// A round holds one cut of each partition that has changed. The cuts are taken when the round begins, and do not
/// change while they are written.
#[derive(Debug)]
pub(crate) struct PartitionColumns {
    partitions: Partitions,
    round: Option<Round>,
    /// The next round has to hold the whole state.
    needs_complete: bool,
}

#[derive(Debug)]
struct Round {
    cuts: Vec<(Partition, Arc<OwnCut>)>,
    /// Number of cuts that have been handed out.
    given: usize,
}

impl PartitionColumns {
    pub(crate) const fn new(partitions: Partitions) -> Self {
        Self { partitions, round: None, needs_complete: false }
    }

    /// Returns the round, which begins if it has not yet.
    async fn round(&mut self) -> Result<&mut Round, KeyspaceError> {
        if self.round.is_none() {
            let is_complete = self.needs_complete;
            let takes = self.partitions.all().into_iter().map(|partition| async move {
                let own = partition.take(is_complete).await?;
                Ok::<_, KeyspaceError>(own.map(|own| (partition, own)))
            });
            let cuts = try_join_all(takes).await?.into_iter().flatten().collect();
            self.round = Some(Round { cuts, given: 0 });
        }
        self.round.as_mut().ok_or(KeyspaceError::Stopped)
    }
}

impl Round {
    /// Hands out cuts until there are enough entries.
    fn page(&mut self, most: usize) -> ColumnPage {
        let (mut page, mut entries) = (ColumnPage::default(), 0);
        while entries < most
            && let Some((partition, own)) = self.cuts.get(self.given)
        {
            let column = own.page();
            entries += column.len();
            page.columns.push((ReplicaKey::from(&*partition.id), column));
            self.given += 1;
        }
        page.left = self.cuts[self.given..].iter().map(|(_, own)| own.cut.changes.len()).sum();
        page
    }
}

impl Columns for PartitionColumns {
    async fn pull(&mut self, most: usize) -> Result<ColumnPage, KeyspaceError> {
        Ok(self.round().await?.page(most))
    }

    async fn finish(&mut self) -> Result<(ColumnPage, ColumnEnds), KeyspaceError> {
        let round = self.round().await?;
        let end = |(partition, own): &(Partition, Arc<OwnCut>)| {
            (ReplicaKey::from(&*partition.id), own.column_totals())
        };
        Ok((round.page(usize::MAX), round.cuts.iter().map(end).collect()))
    }

    fn confirm(&mut self) {
        let cuts = self.round.take().into_iter().flat_map(|round| round.cuts);
        cuts.for_each(|(partition, own)| partition.confirm(&own));
        self.needs_complete = false;
    }

    fn retry(&mut self) {
        // Whatever was not confirmed is in the next cut, too.
        self.round = None;
    }

    fn reset(&mut self) {
        (self.round, self.needs_complete) = (None, true);
    }

    async fn snapshot_page(
        &mut self,
        from: u64,
        most: usize,
    ) -> Result<(ColumnPage, Option<u64>), KeyspaceError> {
        let place = usize::try_from(from >> INDEX_BITS).unwrap_or(usize::MAX);
        let index = u32::try_from(from & u64::from(u32::MAX)).expect("it has 32 bits");
        let partitions = self.partitions.all();
        let Some(partition) = partitions.get(place) else { return Ok((ColumnPage::default(), None)) };
        let (page, next) = partition.page(index, most).await?;
        let columns = vec![(ReplicaKey::from(&*partition.id), page)];
        let next_place = ((place + 1) as u64) << INDEX_BITS;
        let next = match next {
            Some(index) => Some((place as u64) << INDEX_BITS | u64::from(index)),
            None => (place + 1 < partitions.len()).then_some(next_place),
        };
        Ok((ColumnPage { columns, left: 0 }, next))
    }
}
