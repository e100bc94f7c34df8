//! Commits rounds: takes what has changed, writes it, makes it durable, and says so.

mod driver;
mod job;
mod replicas;
mod round;
mod state;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;

use counter_keyspace::{KeyspaceError, SessionId};
use tokio::time::sleep;

use crate::disk::{Disk, DiskFile};
use crate::frame::Tip;
use crate::log::Log;
use crate::record::{Payload, ShardEnd};
use crate::replicas::Columns;
use crate::source::Source;
use crate::store::open::Writers;
use crate::watermark::{FILE_BYTES, NAME, Watermark};

pub(crate) use driver::run;
pub(crate) use replicas::{ReplicaWriter, put_page};
pub(crate) use state::Timing;

use job::SnapshotJob;

/// Writes rounds and snapshots.
#[derive(Debug)]
pub(crate) struct Committer<S: Source, C: Columns> {
    disk: Arc<dyn Disk>,
    log: Log,
    watermark: WatermarkFile,
    source: S,
    replicas: ReplicaWriter<C>,
    /// End of each shard's last committed round.
    ends: Vec<ShardEnd>,
    /// Versions of the shards in the last round.
    versions: Vec<u64>,
    /// Sessions below this one are to end, and those below that one have durably ended.
    session_floor: SessionId,
    committed_floor: SessionId,
    payload: Payload,
    /// The next round has to hold the whole state.
    needs_complete: bool,
    job: Option<SnapshotJob<S::Token>>,
    size: LogSize,
}

/// When the next snapshot is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogSize {
    /// Minimum length of a log that a snapshot is worth, in bytes.
    pub(crate) min_bytes: u64,
    /// Length of the log before this process, in bytes.
    pub(crate) before_bytes: u64,
    /// Length of the last snapshot, in bytes.
    pub(crate) snapshot_bytes: u64,
    /// Number of bytes that had been written to the log when the last snapshot began.
    pub(crate) written_bytes: u64,
}

impl LogSize {
    pub(crate) const fn new(min_bytes: u64, before_bytes: u64, snapshot_bytes: u64) -> Self {
        Self { min_bytes, before_bytes, snapshot_bytes, written_bytes: 0 }
    }
}

/// Error of a round.
#[derive(Debug)]
pub(crate) enum RoundError {
    /// The disk has failed: what is durable is unknown.
    Disk(io::Error),
    /// The keyspace has stopped, or did not answer.
    Source(KeyspaceError),
}

impl From<io::Error> for RoundError {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

impl From<KeyspaceError> for RoundError {
    fn from(error: KeyspaceError) -> Self {
        Self::Source(error)
    }
}

impl<S: Source, C: Columns> Committer<S, C> {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        Writers { log, watermark, size }: Writers,
        source: S,
        ends: Vec<ShardEnd>,
        replicas: ReplicaWriter<C>,
    ) -> Self {
        let session_floor = ends.iter().map(|end| end.session_floor).max().unwrap_or_default();
        Self {
            disk,
            log,
            watermark,
            versions: vec![0; source.shards()],
            source,
            replicas,
            ends,
            session_floor,
            committed_floor: session_floor,
            payload: Payload::default(),
            needs_complete: false,
            job: None,
            size,
        }
    }

    /// Makes the next round hold the whole state.
    pub(crate) fn require_complete(&mut self) {
        self.source.reset();
        self.replicas.columns.reset();
        self.needs_complete = true;
    }

    /// Writes the whole state into a new segment, after an error. Nothing that was written since the last durable round
    /// is trusted, and neither is anything before it: recovery will begin with this round.
    pub(crate) async fn rewrite(&mut self) -> Result<(), RoundError> {
        self.abandon_snapshot();
        self.payload.clear();
        self.require_complete();
        self.log.restart()?;
        self.watermark.reopen(&*self.disk)?;
        self.round().await
    }

    pub(crate) fn prepare_spare(&mut self) -> io::Result<()> {
        self.log.prepare_spare()
    }

    pub(crate) fn sync_watermark(&mut self) -> io::Result<()> {
        self.watermark.sync()
    }

    /// Returns true if a snapshot is due.
    pub(crate) fn needs_snapshot(&self) -> bool {
        let LogSize { min_bytes, before_bytes, snapshot_bytes, written_bytes } = self.size;
        let log_bytes = self.log.written_bytes() - written_bytes + before_bytes;
        self.job.is_none() && log_bytes > snapshot_bytes.max(min_bytes) && self.log.is_synced()
    }
}

/// Lets the time pass that operations of a disk have taken without blocking.
async fn wait_for(disk: &dyn Disk) {
    let delay = disk.take_delay();
    if !delay.is_zero() {
        sleep(delay).await;
    }
}

/// The watermark as it is written.
///
/// One of its two places is synced and stays as it is, until the other one is synced as well. So a crash leaves one of
/// them whole, however it tears what is written.
#[derive(Debug)]
pub(crate) struct WatermarkFile {
    file: Box<dyn DiskFile>,
    last: Watermark,
    /// Place that is written to.
    place: usize,
    is_synced: bool,
}

impl WatermarkFile {
    /// Opens the watermark, creates it if there is none, and writes it durably.
    pub(crate) fn start(disk: &dyn Disk, last: Watermark) -> io::Result<Self> {
        let mut file = match disk.open(NAME) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut file = disk.create(NAME)?;
                file.preallocate(FILE_BYTES as u64)?;
                file
            }
            file => file?,
        };
        // What is there may not be durable yet. It has to be, before the other place is written to.
        file.sync()?;
        disk.sync_dir()?;
        let mut bytes = [0; FILE_BYTES];
        let len = file.read_at(0, &mut bytes)?;
        let place = Watermark::read(&bytes[..len]).map_or(0, |(_, place)| 1 - place);
        let mut watermark = Self { file, last, place, is_synced: false };
        watermark.write(last.durable)?;
        watermark.sync()?;
        Ok(watermark)
    }

    /// Writes how far the log is durable. It need not be durable itself to prove what it proves, so it is not synced
    /// each time.
    pub(crate) fn write(&mut self, durable: Tip) -> io::Result<()> {
        self.last.writes += 1;
        self.last.durable = durable;
        let (at, bytes) = self.last.write(self.place);
        self.is_synced = false;
        self.file.write_at(at, &bytes)
    }

    /// Makes durable what has been written.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if !self.is_synced {
            self.file.sync()?;
            self.is_synced = true;
            self.place = 1 - self.place;
        }
        Ok(())
    }

    fn reopen(&mut self, disk: &dyn Disk) -> io::Result<()> {
        // A failed sync has left one place unknown. The other one stays as it is until a sync succeeds.
        let place = self.place;
        let file = disk.open(NAME)?;
        *self = Self { file, last: self.last, place, is_synced: false };
        Ok(())
    }
}
