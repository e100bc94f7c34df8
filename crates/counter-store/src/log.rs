//! The log as it is written: frames in segments that are reserved ahead of need.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use crate::disk::{Disk, DiskFile};
use crate::files;
use crate::frame::{self, Flags, OVERHEAD_BYTES, Tip};
use crate::header::{self, Header};

/// Log that frames are appended to.
#[derive(Debug)]
pub(crate) struct Log {
    disk: Arc<dyn Disk>,
    segment_bytes: u64,
    /// Header of the current segment.
    header: Header,
    number: u64,
    file: Box<dyn DiskFile>,
    /// Offset in the segment at which the next frame begins.
    offset: u64,
    /// Last frame that has been written, and last one that is durable.
    tip: Tip,
    durable: Tip,
    has_spare: bool,
    /// Bytes that have been written to the log in all.
    written_bytes: u64,
    frame: Vec<u8>,
}

impl Log {
    /// Starts a log in a new segment, behind the frame that the header names. Everything that the earlier segments
    /// hold beyond that frame is void from now on.
    pub(crate) fn start(
        disk: Arc<dyn Disk>,
        segment_bytes: u64,
        header: Header,
        number: u64,
        has_spare: bool,
    ) -> io::Result<Self> {
        let mut frame = Vec::new();
        let (file, offset) = start_segment(&*disk, segment_bytes, &header, number, has_spare, &mut frame)?;
        let (tip, durable) = (header.after, header.after);
        Ok(Self {
            disk,
            segment_bytes,
            header,
            number,
            file,
            offset,
            tip,
            durable,
            has_spare: false,
            written_bytes: offset,
            frame,
        })
    }

    /// Appends a frame, in a new segment if the current one has no room.
    pub(crate) fn append(&mut self, flags: Flags, payload: &[u8]) -> io::Result<()> {
        let len = (OVERHEAD_BYTES + payload.len()) as u64;
        if self.offset + len > self.segment_bytes && self.offset > header::MAX_BYTES as u64 {
            self.roll()?;
        }
        let seed = self.header.identity.seed();
        let tip = frame::write(&mut self.frame, seed, flags, self.tip, self.durable.sequence, payload);
        self.file.write_at(self.offset, &self.frame)?;
        self.offset += len;
        self.written_bytes += len;
        self.tip = tip;
        Ok(())
    }

    /// Makes durable what has been appended.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if self.durable != self.tip {
            self.file.sync()?;
            self.durable = self.tip;
        }
        Ok(())
    }

    /// Goes on in a new segment. What is in the current one is synced first: so an earlier segment never lacks what a
    /// later one builds upon.
    pub(crate) fn roll(&mut self) -> io::Result<()> {
        self.file.sync()?;
        self.begin_segment(self.tip)
    }

    /// Goes on in a new segment behind the last durable frame, after an error. Trusts nothing that was written since.
    pub(crate) fn restart(&mut self) -> io::Result<()> {
        // Each attempt has a file of its own: what a failed one has left is void.
        self.begin_segment(self.durable)
    }

    fn begin_segment(&mut self, after: Tip) -> io::Result<()> {
        let header = Header { after, ..self.header };
        let has_spare = std::mem::take(&mut self.has_spare);
        self.number += 1;
        let frame = &mut self.frame;
        let started = start_segment(&*self.disk, self.segment_bytes, &header, self.number, has_spare, frame);
        let (file, offset) = started?;
        (self.file, self.offset, self.header, self.tip) = (file, offset, header, after);
        self.written_bytes += offset;
        Ok(())
    }

    /// Reserves the segment after the current one. It is also the space for an orderly end on a full disk.
    pub(crate) fn prepare_spare(&mut self) -> io::Result<()> {
        if !self.has_spare {
            prepare_spare(&*self.disk, self.segment_bytes)?;
            self.has_spare = true;
        }
        Ok(())
    }

    pub(crate) const fn has_spare(&self) -> bool {
        self.has_spare
    }

    pub(crate) const fn durable(&self) -> Tip {
        self.durable
    }

    /// Returns true if everything that has been appended is durable.
    pub(crate) fn is_synced(&self) -> bool {
        self.durable == self.tip
    }

    pub(crate) const fn header(&self) -> Header {
        self.header
    }

    /// Returns the number of the current segment.
    pub(crate) const fn segment(&self) -> u64 {
        self.number
    }

    pub(crate) const fn written_bytes(&self) -> u64 {
        self.written_bytes
    }
}

/// Reserves a segment, durably but for its name.
fn prepare_spare(disk: &dyn Disk, segment_bytes: u64) -> io::Result<()> {
    match disk.remove(files::SPARE) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut spare = disk.create(files::SPARE)?;
    let prepared = spare.preallocate(segment_bytes).and_then(|()| spare.sync());
    if prepared.is_err() {
        // A file without its space is of no use, and may take the last of it.
        let _ = disk.remove(files::SPARE);
    }
    prepared
}

/// Creates a segment, durably, and returns it with the offset behind its header.
fn start_segment(
    disk: &dyn Disk,
    segment_bytes: u64,
    header: &Header,
    number: u64,
    has_spare: bool,
    buffer: &mut Vec<u8>,
) -> io::Result<(Box<dyn DiskFile>, u64)> {
    if !has_spare {
        prepare_spare(disk, segment_bytes)?;
    }
    let name = files::segment(number);
    disk.rename(files::SPARE, &name)?;
    let mut file = disk.open(&name)?;
    header.write(buffer);
    file.write_at(0, buffer)?;
    file.sync()?;
    disk.sync_dir()?;
    Ok((file, buffer.len() as u64))
}
