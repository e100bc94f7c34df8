//! Snapshots: written, verified and cleaned up after in small steps between rounds.

use std::io;

use counter_keyspace::SessionId;
use mutations::Mutation;

use crate::files::{self, Files};
use crate::header::Header;
use crate::read::{SnapshotFrame, SnapshotReader};
use crate::record::Payload;
use crate::replicas::Columns;
use crate::snapshot::SnapshotWriter;
use crate::source::Source;

use super::{Committer, RoundError};

/// Number of counters in a page.
const PAGE_ENTRIES: usize = 4096;

/// Number of session records in a page.
const PAGE_SESSIONS: usize = 1024;

/// Bytes after which a snapshot is synced while it is written.
const SYNC_BYTES: u64 = 4 << 20;

/// Number of frames that are read back in a step.
const FRAMES_READ: usize = 4;

/// Snapshot under way.
#[derive(Debug)]
pub(super) struct SnapshotJob<T> {
    start: u64,
    /// Segment that the log begins with, seen from the snapshot.
    segment: u64,
    phase: Phase<T>,
}

#[derive(Debug)]
enum Phase<T> {
    Counters {
        writer: SnapshotWriter,
        shard: usize,
        from: T,
    },
    Sessions {
        writer: SnapshotWriter,
        shard: usize,
        after: Option<SessionId>,
    },
    Columns {
        writer: SnapshotWriter,
        from: u64,
    },
    /// Waits for the end of a round that has begun after the last page.
    Round {
        writer: SnapshotWriter,
    },
    Verify {
        reader: SnapshotReader,
    },
}

impl<S: Source, C: Columns> Committer<S, C> {
    /// Begins a snapshot, in front of which everything is durable. An error is one of the log.
    pub(crate) fn start_snapshot(&mut self) -> io::Result<()> {
        self.log.roll()?;
        self.size.written_bytes = self.log.written_bytes();
        self.size.before_bytes = 0;
        if let Err(error) = self.create_snapshot() {
            tracing::warn!(%error, "snapshot failed, and will be tried again");
        }
        Ok(())
    }

    fn create_snapshot(&mut self) -> io::Result<()> {
        let header = Header { after: self.log.durable(), ..self.log.header() };
        let mut writer = SnapshotWriter::create(self.disk.clone(), &header)?;
        let (ends, floor, replicas) = (&self.ends, self.committed_floor, &self.replicas);
        writer.write(|payload: &mut Payload, full| {
            replicas.begin_snapshot(payload, full)?;
            ends.iter().enumerate().for_each(|(shard, end)| payload.end(shard, end));
            payload.floor(floor);
            Ok(())
        })?;
        let phase = Phase::Counters { writer, shard: 0, from: S::Token::default() };
        self.job = Some(SnapshotJob { start: header.after.sequence, segment: self.log.segment(), phase });
        Ok(())
    }

    /// Takes the next step of a snapshot. An error has cost nothing but the snapshot.
    pub(crate) async fn snapshot_step(&mut self) -> Result<(), RoundError> {
        let Some(SnapshotJob { start, segment, phase }) = self.job.take() else { return Ok(()) };
        let next = match phase {
            Phase::Counters { mut writer, shard, from } => {
                let (page, next) = self.source.snapshot_page(shard, from, PAGE_ENTRIES).await?;
                writer.page(shard, &page)?;
                writer.sync_from(SYNC_BYTES)?;
                match next {
                    Some(from) => Phase::Counters { writer, shard, from },
                    None => Phase::Sessions { writer, shard, after: None },
                }
            }
            Phase::Sessions { mut writer, shard, after } => {
                let records = self.source.session_page(shard, after, PAGE_SESSIONS).await?;
                let of_page = records.iter().map(|(id, record)| (*id, record));
                writer.write(|payload, full| payload.sessions(shard, of_page, full))?;
                writer.sync_from(SYNC_BYTES)?;
                match records.last() {
                    Some((last, _)) => Phase::Sessions { writer, shard, after: Some(*last) },
                    None if shard + 1 == self.ends.len() => Phase::Columns { writer, from: 0 },
                    None => Phase::Counters { writer, shard: shard + 1, from: S::Token::default() },
                }
            }
            Phase::Columns { mut writer, from } => {
                let (page, next) = self.replicas.columns.snapshot_page(from, PAGE_ENTRIES).await?;
                writer.columns(&page)?;
                writer.sync_from(SYNC_BYTES)?;
                match next {
                    Some(from) => Phase::Columns { writer, from },
                    None if Mutation::PublishSnapshotEarly.is_planted() => {
                        self.job = Some(SnapshotJob { start, segment, phase: Phase::Round { writer } });
                        self.end_snapshot_pages();
                        return Ok(());
                    }
                    None => Phase::Round { writer },
                }
            }
            phase @ Phase::Round { .. } => phase,
            Phase::Verify { reader } => match self.verify(reader, start, segment)? {
                Some(reader) => Phase::Verify { reader },
                None => return Ok(()),
            },
        };
        self.job = Some(SnapshotJob { start, segment, phase: next });
        Ok(())
    }

    /// Completes a snapshot whose pages are all written: the round that has just ended began after the last of them.
    pub(super) fn end_snapshot_pages(&mut self) {
        let Some(SnapshotJob { start, segment, phase: Phase::Round { mut writer } }) =
            self.job.take_if(|job| matches!(job.phase, Phase::Round { .. }))
        else {
            return;
        };
        let finished = writer.finish(self.log.durable().sequence).map_err(|source| source.to_string());
        let opened = finished.and_then(|()| {
            SnapshotReader::open(&*self.disk, files::snapshot(start)).map_err(|error| error.to_string())
        });
        match opened {
            Ok(reader) => {
                self.size.snapshot_bytes = writer.len_bytes();
                self.job = Some(SnapshotJob { start, segment, phase: Phase::Verify { reader } });
            }
            Err(error) => tracing::warn!(error, "snapshot failed, and will be tried again"),
        }
    }

    /// Returns true if a snapshot has something to do now.
    pub(crate) const fn has_snapshot_step(&self) -> bool {
        matches!(&self.job, Some(job) if !matches!(job.phase, Phase::Round { .. }))
    }

    /// Gives up a snapshot.
    pub(crate) fn abandon_snapshot(&mut self) {
        if self.job.take().is_some() {
            let _ = self.disk.remove(files::UNFINISHED_SNAPSHOT);
        }
    }

    /// Reads some of a snapshot back. What it has replaced is removed when all of it has been read.
    fn verify(
        &mut self,
        mut reader: SnapshotReader,
        start: u64,
        segment: u64,
    ) -> io::Result<Option<SnapshotReader>> {
        for _ in 0..FRAMES_READ {
            match reader.next().map_err(io::Error::other) {
                Ok(SnapshotFrame::Page(_)) => {}
                Ok(SnapshotFrame::Footer(_)) => return self.remove_before(start, segment).map(|()| None),
                Err(error) => {
                    // What it was to replace is still there.
                    let _ = self.disk.remove(&files::snapshot(start));
                    return Err(error);
                }
            }
        }
        Ok(Some(reader))
    }

    /// Removes what a snapshot has replaced. Whatever a crash leaves of it is not needed: recovery begins with the
    /// newest snapshot, and an older one without all of its log is refused.
    fn remove_before(&self, start: u64, segment: u64) -> io::Result<()> {
        let Files { segments, snapshots, .. } = Files::of(&self.disk.list()?);
        for old in snapshots.into_iter().filter(|&old| old < start) {
            self.disk.remove(&files::snapshot(old))?;
        }
        self.disk.sync_dir()?;
        for old in segments.into_iter().filter(|&old| old < segment) {
            self.disk.remove(&files::segment(old))?;
        }
        self.disk.sync_dir()
    }
}
