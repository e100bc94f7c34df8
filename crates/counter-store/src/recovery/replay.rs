//! Builds the state that a store's files lead to, in parallel by shard where there are threads.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use crate::bytes::Malformed;
use crate::disk::Disk;
use crate::error::{Damage, OpenError};
use crate::files;
use crate::read::{self, SnapshotFrame, SnapshotReader};
use crate::rebuild::Rebuild;
use crate::record::{self, Scope};
use crate::replicas::{ColumnSink, Replicas};
use crate::store::Driver;

use super::Inspected;
use super::build::{Batch, Build, ColumnsBuild, Rebuilt, ShardBuild};

/// Maximum number of frames that wait for a shard.
const FRAMES_AHEAD: usize = 8;

/// Progress of a recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Number of bytes that have been read.
    pub read_bytes: u64,
    /// Number of bytes to be read.
    pub total_bytes: u64,
}

/// Builds all shards, each by a thread of its own if the driver has threads, and hands the columns to `sink`.
pub(crate) fn replay<R: Rebuild>(
    disk: &dyn Disk,
    inspected: &Inspected,
    shards: Vec<R>,
    sink: &mut dyn ColumnSink,
    driver: Driver,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Vec<Rebuilt<R>>, Replicas), OpenError> {
    let shards: Vec<_> = shards.into_iter().map(ShardBuild::new).collect();
    let columns = ColumnsBuild::new(&mut *sink);
    let (shards, replicas) = match driver {
        Driver::Thread => in_parallel(disk, inspected, shards, columns, progress)?,
        Driver::Task => in_order(disk, inspected, shards, columns, progress)?,
    };
    let shards = shards.into_iter().enumerate().map(|(n, (rebuilt, adds_up))| {
        if adds_up { Ok(rebuilt) } else { Err(OpenError::Lost(Damage::Totals { shard: n })) }
    });
    let shards = shards.collect::<Result<Vec<_>, _>>()?;
    let shards =
        shards.into_iter().map(|shard| shard.unseal(sink)).collect::<Result<_, _>>().map_err(lost)?;
    let differs = replicas.ends.iter().find(|(replica, totals)| sink.totals(replica) != **totals);
    match differs {
        Some((replica, _)) => Err(OpenError::Lost(Damage::ColumnTotals { replica: replica.to_string() })),
        None => Ok((shards, replicas)),
    }
}

/// Builds everything in threads.
fn in_parallel<S: Build + Send, C: Build + Send>(
    disk: &dyn Disk,
    inspected: &Inspected,
    shards: Vec<S>,
    columns: C,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Vec<S::Built>, C::Built), OpenError>
where
    S::Built: Send,
    C::Built: Send,
{
    thread::scope(|scope| {
        let (mut senders, workers): (Vec<_>, Vec<_>) = shards
            .into_iter()
            .map(|shard| {
                let (sender, batches) = sync_channel(FRAMES_AHEAD);
                (sender, scope.spawn(move || build(shard, &batches)))
            })
            .unzip();
        let (sender, batches) = sync_channel(FRAMES_AHEAD);
        senders.push(sender);
        let columns = scope.spawn(move || build(columns, &batches));
        // A thread that has found a malformed record has gone, and is asked about it at the end.
        let read = dispatch(disk, inspected, workers.len(), progress, &mut |place, batch| {
            let _ = senders[place].send(batch);
            Ok(())
        });
        drop(senders);
        let shards: Vec<_> =
            workers.into_iter().map(|worker| worker.join().expect("it does not panic")).collect();
        let columns = columns.join().expect("it does not panic");
        read?;
        let shards = shards.into_iter().collect::<Result<_, _>>().map_err(lost)?;
        Ok((shards, columns.map_err(lost)?))
    })
}

fn build<B: Build>(mut build: B, batches: &Receiver<Batch>) -> Result<B::Built, Malformed> {
    batches.iter().try_for_each(|batch| build.take(batch))?;
    Ok(build.build())
}

/// Builds everything here, batch by batch.
fn in_order<S: Build, C: Build>(
    disk: &dyn Disk,
    inspected: &Inspected,
    mut shards: Vec<S>,
    mut columns: C,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Vec<S::Built>, C::Built), OpenError> {
    dispatch(disk, inspected, shards.len(), progress, &mut |place, batch| match shards.get_mut(place) {
        Some(shard) => shard.take(batch),
        None => columns.take(batch),
    })?;
    Ok((shards.into_iter().map(Build::build).collect(), columns.build()))
}

const fn lost(Malformed: Malformed) -> OpenError {
    OpenError::Lost(Damage::Malformed)
}

/// Hands the records of the snapshot and of the log that count to the shards, and behind them to the columns.
fn dispatch(
    disk: &dyn Disk,
    inspected: &Inspected,
    shards: usize,
    progress: &mut dyn FnMut(Progress),
    hand_out: &mut dyn FnMut(usize, Batch) -> Result<(), Malformed>,
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
            dispatch_frame(page, shards, hand_out).map_err(lost)?;
            count(page.len());
        }
    }
    let seed = inspected.identity.seed();
    for &number in &inspected.files.segments {
        let bytes = read::whole(disk, &files::segment(number)).map_err(OpenError::disk("read a segment"))?;
        let Some((_, offset)) = read::header(&bytes)? else { continue };
        for frame in read::frames(&bytes, seed, offset) {
            if inspected.plan.has(number, frame.sequence) {
                dispatch_frame(frame.payload, shards, hand_out).map_err(lost)?;
            }
            count(frame.len_bytes());
        }
    }
    Ok(())
}

fn dispatch_frame(
    payload: &[u8],
    shards: usize,
    hand_out: &mut dyn FnMut(usize, Batch) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut by_shard: Vec<Vec<Range<usize>>> = vec![Vec::new(); shards];
    let mut columns = Vec::new();
    for record in record::split(payload) {
        let (shard, record) = record?;
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
            Scope::Shard => by_shard.get_mut(shard).ok_or(Malformed)?.push(range),
            Scope::Columns => {}
        }
    }
    let payload: Arc<[u8]> = payload.into();
    for (place, records) in by_shard.into_iter().chain([columns]).enumerate() {
        if !records.is_empty() {
            hand_out(place, Batch { payload: Arc::clone(&payload), records })?;
        }
    }
    Ok(())
}
