//! Builds the state that a store's files lead to, in parallel by shard.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use counter_keyspace::SessionId;

use crate::bytes::Malformed;
use crate::disk::Disk;
use crate::error::{Damage, OpenError};
use crate::files;
use crate::read::{self, SnapshotFrame, SnapshotReader};
use crate::rebuild::Rebuild;
use crate::record::{self, Opened, Record, Scope, ShardEnd};
use crate::replicas::{ColumnSink, ReplicaKey, Replicas};

use super::Inspected;

/// Maximum number of frames that wait for a shard.
const FRAMES_AHEAD: usize = 8;

/// How far a recovery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Number of bytes that have been read.
    pub read_bytes: u64,
    /// Number of bytes to be read.
    pub total_bytes: u64,
}

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
struct Batch {
    payload: Arc<[u8]>,
    records: Vec<Range<usize>>,
}

/// Builds all shards, and hands the columns to `sink`.
pub(crate) fn replay<R: Rebuild>(
    disk: &dyn Disk,
    inspected: &Inspected,
    shards: Vec<R>,
    sink: &mut dyn ColumnSink,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Vec<Rebuilt<R>>, Replicas), OpenError> {
    let lost = |Malformed| OpenError::Lost(Damage::Malformed);
    let (shards, replicas) = thread::scope(|scope| {
        let (senders, workers): (Vec<_>, Vec<_>) = shards
            .into_iter()
            .map(|shard| {
                let (sender, batches) = sync_channel(FRAMES_AHEAD);
                (sender, scope.spawn(move || build(shard, &batches)))
            })
            .unzip();
        let (columns, batches) = sync_channel(FRAMES_AHEAD);
        let of_columns = &mut *sink;
        let replicas = scope.spawn(move || build_columns(of_columns, &batches));
        let mut dispatch = Dispatch { senders, columns };
        let read = dispatch.all(disk, inspected, progress);
        drop(dispatch);
        let built: Vec<_> =
            workers.into_iter().map(|worker| worker.join().expect("it does not panic")).collect();
        let replicas = replicas.join().expect("it does not panic");
        read?;
        let built = built.into_iter().enumerate().map(|(n, built)| {
            let (rebuilt, adds_up) = built.map_err(lost)?;
            if adds_up { Ok(rebuilt) } else { Err(OpenError::Lost(Damage::Totals { shard: n })) }
        });
        Ok::<_, OpenError>((built.collect::<Result<Vec<_>, _>>()?, replicas.map_err(lost)?))
    })?;
    let shards =
        shards.into_iter().map(|shard| shard.unseal(sink)).collect::<Result<_, _>>().map_err(lost)?;
    let differs = replicas.ends.iter().find(|(replica, totals)| sink.totals(replica) != **totals);
    match differs {
        Some((replica, _)) => Err(OpenError::Lost(Damage::ColumnTotals { replica: replica.to_string() })),
        None => Ok((shards, replicas)),
    }
}

/// Hands records to the threads of their shards.
struct Dispatch {
    senders: Vec<SyncSender<Batch>>,
    columns: SyncSender<Batch>,
}

impl Dispatch {
    fn all(
        &mut self,
        disk: &dyn Disk,
        inspected: &Inspected,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), OpenError> {
        let total_bytes = inspected.snapshot_bytes + inspected.log_bytes;
        let mut read_bytes = 0;
        let mut count = |bytes: usize| {
            read_bytes += bytes as u64;
            progress(Progress { read_bytes, total_bytes });
        };
        if let Some(name) = &inspected.snapshot {
            let mut reader = SnapshotReader::open(disk, name.clone())?;
            while let SnapshotFrame::Page(page) = reader.next()? {
                self.frame(page)?;
                count(page.len());
            }
        }
        let seed = inspected.identity.seed();
        for &number in &inspected.files.segments {
            let bytes =
                read::whole(disk, &files::segment(number)).map_err(OpenError::disk("read a segment"))?;
            let Some((_, offset)) = read::header(&bytes)? else { continue };
            for frame in read::frames(&bytes, seed, offset) {
                if inspected.plan.has(number, frame.sequence) {
                    self.frame(frame.payload)?;
                }
                count(frame.len_bytes());
            }
        }
        Ok(())
    }

    fn frame(&mut self, payload: &[u8]) -> Result<(), OpenError> {
        let mut by_shard: Vec<Vec<Range<usize>>> = vec![Vec::new(); self.senders.len()];
        let mut columns = Vec::new();
        for record in record::split(payload) {
            let (shard, record) = record.map_err(|Malformed| OpenError::Lost(Damage::Malformed))?;
            let start = record.as_ptr().addr() - payload.as_ptr().addr();
            let range = start..start + record.len();
            let scope = record::scope(record);
            if matches!(scope, Scope::Columns | Scope::ShardsAndColumns) {
                columns.push(range.clone());
            }
            match scope {
                Scope::Shards | Scope::ShardsAndColumns => {
                    by_shard.iter_mut().for_each(|records| records.push(range.clone()));
                }
                Scope::Shard => {
                    by_shard.get_mut(shard).ok_or(OpenError::Lost(Damage::Malformed))?.push(range);
                }
                Scope::Columns => {}
            }
        }
        let payload: Arc<[u8]> = payload.into();
        let senders = self.senders.iter().chain([&self.columns]);
        for (sender, records) in senders.zip(by_shard.into_iter().chain([columns])) {
            if !records.is_empty() {
                // A thread that has found a malformed record has gone, and is asked about it at the end.
                let _ = sender.send(Batch { payload: Arc::clone(&payload), records });
            }
        }
        Ok(())
    }
}

/// Builds one shard. Returns whether it adds up, too.
fn build<R: Rebuild>(shard: R, batches: &Receiver<Batch>) -> Result<(Rebuilt<R>, bool), Malformed> {
    let mut rebuilt = Rebuilt { shard, end: ShardEnd::default(), sealed: Vec::new(), adds_up: true };
    let mut floor = SessionId::default();
    for Batch { payload, records } in batches {
        for range in records {
            match record::parse(&payload[range])? {
                Record::Floor(of_all) => floor = floor.max(of_all),
                record => rebuilt.apply(record)?,
            }
        }
    }
    let adds_up = rebuilt.adds_up && rebuilt.shard.totals() == rebuilt.end.totals;
    // The floor is durable before the shards forget what is below it, so their totals may include that.
    rebuilt.shard.set_session_floor(floor);
    rebuilt.end.session_floor = rebuilt.end.session_floor.max(floor);
    Ok((rebuilt, adds_up))
}

/// Hands the columns to the sink, and returns what else the log says of replicas.
fn build_columns(sink: &mut dyn ColumnSink, batches: &Receiver<Batch>) -> Result<Replicas, Malformed> {
    let mut replicas = Replicas::default();
    for Batch { payload, records } in batches {
        for range in records {
            match record::parse(&payload[range])? {
                Record::Opened(opened) => replicas.own = Some(opened.own),
                Record::Member(member) => _ = replicas.members.insert(member),
                Record::Column(replica, entries) => {
                    for entry in entries.entries() {
                        let entry = entry?;
                        accept(sink.set(&replica, entry.name, entry.count))?;
                    }
                }
                Record::ColumnEnd(replica, totals) => _ = replicas.ends.insert(replica, totals),
                _ => return Err(Malformed),
            }
        }
    }
    Ok(replicas)
}

const fn accept(is_accepted: bool) -> Result<(), Malformed> {
    if is_accepted { Ok(()) } else { Err(Malformed) }
}

impl<R: Rebuild> Rebuilt<R> {
    /// Hands what has become columns to the sink. What the log says of these columns is newer.
    fn unseal(mut self, sink: &mut dyn ColumnSink) -> Result<Self, Malformed> {
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
