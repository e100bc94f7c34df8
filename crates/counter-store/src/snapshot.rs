//! Snapshots as they are written: pages of the live tables between two places in the log.

use std::io;
use std::sync::Arc;

use counter_keyspace::EntryPage;

use crate::bytes::{Malformed, Reader, put};
use crate::committer::put_page;
use crate::disk::{Disk, DiskFile};
use crate::files;
use crate::frame::{self, Flags, Tip};
use crate::header::Header;
use crate::record::Payload;
use crate::replicas::ColumnPage;

/// Distinguishes the frames of snapshots from those of the log.
pub(crate) const SEED: u64 = 0x736e_6170_7368_6f74;

/// Last frame of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    /// Number of frames, this one included.
    pub(crate) frames: u64,
    /// Number of entries.
    pub(crate) entries: u64,
    /// Last frame of the first round that began after the last page.
    pub(crate) end: u64,
}

impl Footer {
    fn write(&self, into: &mut Vec<u8>) {
        [self.frames, self.entries, self.end].iter().for_each(|&number| put(into, number));
    }

    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        let mut payload = Reader(payload);
        let mut read = || {
            let [frames, entries, end] = [payload.number()?, payload.number()?, payload.number()?];
            payload.end()?;
            Ok::<_, Malformed>(Self { frames, entries, end })
        };
        read().ok()
    }
}

/// Snapshot that is being written.
#[derive(Debug)]
pub(crate) struct SnapshotWriter {
    disk: Arc<dyn Disk>,
    file: Box<dyn DiskFile>,
    seed: u64,
    start: Tip,
    offset: u64,
    unsynced_bytes: u64,
    tip: Tip,
    entries: u64,
    frame: Vec<u8>,
    payload: Payload,
}

impl SnapshotWriter {
    /// Starts a snapshot behind the frame that the header names.
    pub(crate) fn create(disk: Arc<dyn Disk>, header: &Header) -> io::Result<Self> {
        match disk.remove(files::UNFINISHED_SNAPSHOT) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = disk.create(files::UNFINISHED_SNAPSHOT)?;
        let mut frame = Vec::new();
        header.write(&mut frame);
        file.write_at(0, &frame)?;
        let offset = frame.len() as u64;
        let (seed, start) = (header.identity.seed() ^ SEED, header.after);
        Ok(Self {
            disk,
            file,
            seed,
            start,
            offset,
            unsynced_bytes: offset,
            tip: Tip::default(),
            entries: 0,
            frame,
            payload: Payload::default(),
        })
    }

    /// Writes a page of counters.
    pub(crate) fn page(&mut self, shard: usize, page: &EntryPage) -> io::Result<()> {
        self.entries += page.len() as u64;
        self.write(|payload, full| payload.entries(shard, page, full))
    }

    /// Writes a page of columns.
    pub(crate) fn columns(&mut self, page: &ColumnPage) -> io::Result<()> {
        self.entries += page.len() as u64;
        self.write(|payload, full| put_page(page, payload, full))
    }

    /// Writes records by a function that is given a payload and what to do when it is full.
    pub(crate) fn write(
        &mut self,
        records: impl FnOnce(&mut Payload, &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut payload = std::mem::take(&mut self.payload);
        let written = records(&mut payload, &mut |bytes| self.frame(Flags::NONE, bytes));
        self.payload = payload;
        written
    }

    /// Syncs what has been written, if it is at least as much as this. Little by little it takes less long at the end.
    pub(crate) fn sync_from(&mut self, bytes: u64) -> io::Result<()> {
        if self.unsynced_bytes >= bytes {
            self.file.sync()?;
            self.unsynced_bytes = 0;
        }
        Ok(())
    }

    /// Ends the snapshot with its footer and gives it its name, durably.
    pub(crate) fn finish(&mut self, end: u64) -> io::Result<()> {
        let payload = std::mem::take(&mut self.payload);
        if !payload.is_empty() {
            self.frame(Flags::NONE, payload.bytes())?;
        }
        let mut footer = Vec::new();
        Footer { frames: self.tip.sequence + 1, entries: self.entries, end }.write(&mut footer);
        self.frame(Flags::COMMIT, &footer)?;
        self.file.sync()?;
        self.disk.rename(files::UNFINISHED_SNAPSHOT, &files::snapshot(self.start.sequence))?;
        self.disk.sync_dir()
    }

    pub(crate) const fn len_bytes(&self) -> u64 {
        self.offset
    }

    fn frame(&mut self, flags: Flags, payload: &[u8]) -> io::Result<()> {
        self.tip = frame::write(&mut self.frame, self.seed, flags, self.tip, 0, payload);
        self.file.write_at(self.offset, &self.frame)?;
        self.offset += self.frame.len() as u64;
        self.unsynced_bytes += self.frame.len() as u64;
        Ok(())
    }
}
