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
use crate::record::{self, Record, ShardEnd};

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
pub(crate) struct Rebuilt<R> {
    pub(crate) shard: R,
    pub(crate) end: ShardEnd,
}

/// Records of one shard in one frame.
struct Batch {
    payload: Arc<[u8]>,
    records: Vec<Range<usize>>,
}

/// Builds all shards.
pub(crate) fn replay<R: Rebuild>(
    disk: &dyn Disk,
    inspected: &Inspected,
    shards: Vec<R>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<Rebuilt<R>>, OpenError> {
    thread::scope(|scope| {
        let (senders, workers): (Vec<_>, Vec<_>) = shards
            .into_iter()
            .map(|shard| {
                let (sender, batches) = sync_channel(FRAMES_AHEAD);
                (sender, scope.spawn(move || build(shard, &batches)))
            })
            .unzip();
        let mut dispatch = Dispatch { senders };
        let read = dispatch.all(disk, inspected, progress);
        drop(dispatch);
        let built: Vec<_> =
            workers.into_iter().map(|worker| worker.join().expect("it does not panic")).collect();
        read?;
        let built = built.into_iter().enumerate().map(|(n, built)| {
            let (rebuilt, adds_up) = built.map_err(|Malformed| OpenError::Lost(Damage::Malformed))?;
            if adds_up { Ok(rebuilt) } else { Err(OpenError::Lost(Damage::Totals { shard: n })) }
        });
        built.collect()
    })
}

/// Hands records to the threads of their shards.
struct Dispatch {
    senders: Vec<SyncSender<Batch>>,
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
        for record in record::split(payload) {
            let (shard, record) = record.map_err(|Malformed| OpenError::Lost(Damage::Malformed))?;
            let start = record.as_ptr().addr() - payload.as_ptr().addr();
            let range = start..start + record.len();
            if record::is_for_all(record) {
                by_shard.iter_mut().for_each(|records| records.push(range.clone()));
            } else {
                by_shard.get_mut(shard).ok_or(OpenError::Lost(Damage::Malformed))?.push(range);
            }
        }
        let payload: Arc<[u8]> = payload.into();
        for (sender, records) in self.senders.iter().zip(by_shard) {
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
    let mut rebuilt = Rebuilt { shard, end: ShardEnd::default() };
    let mut floor = SessionId::default();
    for Batch { payload, records } in batches {
        for range in records {
            match record::parse(&payload[range])? {
                Record::Floor(of_all) => floor = floor.max(of_all),
                record => rebuilt.apply(record)?,
            }
        }
    }
    let adds_up = rebuilt.shard.totals() == rebuilt.end.totals;
    // The floor is durable before the shards forget what is below it, so their totals may include that.
    rebuilt.shard.set_session_floor(floor);
    rebuilt.end.session_floor = rebuilt.end.session_floor.max(floor);
    Ok((rebuilt, adds_up))
}

impl<R: Rebuild> Rebuilt<R> {
    fn apply(&mut self, record: Record<'_>) -> Result<(), Malformed> {
        let shard = &mut self.shard;
        let accept = |is_of_shard| if is_of_shard { Ok(()) } else { Err(Malformed) };
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
            Record::Floor(_) => return Err(Malformed),
        }
        Ok(())
    }
}
