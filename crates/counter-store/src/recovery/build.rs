//! Shards and columns, as they are built of records.

use std::ops::Range;
use std::sync::Arc;

use counter_keyspace::SessionId;

use crate::bytes::Malformed;
use crate::rebuild::Rebuild;
use crate::record::{self, Opened, Record, ShardEnd};
use crate::replicas::{ColumnSink, ReplicaKey, Replicas};

/// State of a shard that has been built, and what it had to add up to.
#[derive(Debug)]
pub(crate) struct Rebuilt<R: Rebuild> {
    pub(crate) shard: R,
    pub(crate) end: ShardEnd,
    /// Counters that have become columns.
    sealed: Vec<(ReplicaKey, R::Counters)>,
    /// True if they have added up.
    adds_up: bool,
}

/// Records of one shard, or of the columns, in one frame.
pub(super) struct Batch {
    pub(super) payload: Arc<[u8]>,
    pub(super) records: Vec<Range<usize>>,
}

/// A structure that is built of batches.
pub(super) trait Build {
    /// The finished structure.
    type Built;

    /// Takes the next batch.
    fn take(&mut self, batch: Batch) -> Result<(), Malformed>;

    /// Returns what the batches have led to.
    fn build(self) -> Self::Built;
}

/// Shard that is being built.
pub(super) struct ShardBuild<R: Rebuild> {
    rebuilt: Rebuilt<R>,
    /// Sessions of all shards below this one have ended.
    floor: SessionId,
}

impl<R: Rebuild> ShardBuild<R> {
    pub(super) fn new(shard: R) -> Self {
        let rebuilt = Rebuilt { shard, end: ShardEnd::default(), sealed: Vec::new(), adds_up: true };
        Self { rebuilt, floor: SessionId::default() }
    }
}

impl<R: Rebuild> Build for ShardBuild<R> {
    /// The shard, and whether it adds up.
    type Built = (Rebuilt<R>, bool);

    fn take(&mut self, Batch { payload, records }: Batch) -> Result<(), Malformed> {
        for range in records {
            match record::parse(&payload[range])? {
                Record::Floor(of_all) => self.floor = self.floor.max(of_all),
                record => self.rebuilt.apply(record)?,
            }
        }
        Ok(())
    }

    fn build(self) -> (Rebuilt<R>, bool) {
        let Self { mut rebuilt, floor } = self;
        let adds_up = rebuilt.adds_up && rebuilt.shard.totals() == rebuilt.end.totals;
        // The floor is durable before the shards forget what is below it, so their totals may include that.
        rebuilt.shard.set_session_floor(floor);
        rebuilt.end.session_floor = rebuilt.end.session_floor.max(floor);
        (rebuilt, adds_up)
    }
}

/// Columns that are handed to a sink, and what else the log says of replicas.
pub(super) struct ColumnsBuild<'a> {
    sink: &'a mut dyn ColumnSink,
    replicas: Replicas,
}

impl<'a> ColumnsBuild<'a> {
    pub(super) fn new(sink: &'a mut dyn ColumnSink) -> Self {
        Self { sink, replicas: Replicas::default() }
    }
}

impl Build for ColumnsBuild<'_> {
    type Built = Replicas;

    fn take(&mut self, Batch { payload, records }: Batch) -> Result<(), Malformed> {
        for range in records {
            match record::parse(&payload[range])? {
                Record::Opened(opened) => self.replicas.own = Some(opened.own),
                Record::Member(member) => _ = self.replicas.members.insert(member),
                Record::Column(replica, entries) => {
                    for entry in entries.entries() {
                        let entry = entry?;
                        accept(self.sink.set(&replica, entry.name, entry.count))?;
                    }
                }
                Record::ColumnEnd(replica, totals) => _ = self.replicas.ends.insert(replica, totals),
                _ => return Err(Malformed),
            }
        }
        Ok(())
    }

    fn build(self) -> Replicas {
        self.replicas
    }
}

const fn accept(is_accepted: bool) -> Result<(), Malformed> {
    if is_accepted { Ok(()) } else { Err(Malformed) }
}

impl<R: Rebuild> Rebuilt<R> {
    /// Hands what has become columns to the sink. What the log says of these columns is newer.
    pub(super) fn unseal(mut self, sink: &mut dyn ColumnSink) -> Result<Self, Malformed> {
        for (replica, counters) in self.sealed.drain(..) {
            accept(R::show(&counters, &mut |name, count| sink.merge(&replica, name, count)))?;
        }
        Ok(self)
    }

    fn apply(&mut self, record: Record<'_>) -> Result<(), Malformed> {
        let shard = &mut self.shard;
        match record {
            Record::Reset => shard.reset(),
            Record::Entries(list) => {
                for entry in list.entries() {
                    accept(shard.insert(entry?))?;
                }
            }
            Record::Removed(list) => {
                for name in list.names() {
                    accept(shard.remove(name?))?;
                }
            }
            Record::Sessions(list) => {
                for session in list.sessions() {
                    let (id, record) = session?;
                    shard.insert_session(id, record);
                }
            }
            Record::End(end) => {
                shard.set_rejected(end.totals.rejected_operations);
                shard.set_session_floor(end.session_floor);
                shard.set_clock(end.clock_ms);
                self.end = end;
            }
            Record::Opened(Opened { own, sealed }) => {
                if let Some(sealed) = sealed {
                    self.adds_up &= shard.totals() == self.end.totals;
                    self.sealed.push((sealed, shard.take_counters()));
                }
                shard.set_session_floor(own.first_session());
            }
            Record::Floor(_) | Record::Member(_) | Record::Column(..) | Record::ColumnEnd(..) => {
                return Err(Malformed);
            }
        }
        Ok(())
    }
}
