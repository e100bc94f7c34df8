//! Reads the files of a store.

use std::io;

use memchr::memmem;

use crate::check::Span;
use crate::disk::{Disk, DiskFile};
use crate::error::{Damage, OpenError};
use crate::frame::{self, Flags, Frame, HEAD_BYTES, Tip};
use crate::header::{self, Header, NoHeader};
use crate::snapshot::{Footer, SEED};
use crate::watermark::{FILE_BYTES, NAME, Watermark};

/// Returns all of a file.
pub(crate) fn whole(disk: &dyn Disk, name: &str) -> io::Result<Vec<u8>> {
    let file = disk.open(name)?;
    let len = usize::try_from(file.len_bytes()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; len];
    let read = file.read_at(0, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Returns the watermark, if there is one that can be read.
pub(crate) fn watermark(disk: &dyn Disk) -> io::Result<Option<Watermark>> {
    let mut bytes = [0; FILE_BYTES];
    let file = match disk.open(NAME) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let len = file.read_at(0, &mut bytes)?;
    Ok(Watermark::read(&bytes[..len]).map(|(watermark, _)| watermark))
}

/// An item of a segment, in order.
pub(crate) enum Found<'a> {
    /// A frame.
    Frame(Frame<'a>),
    /// Something that is not a frame, in front of another frame or of nothing.
    Hole,
}

/// Shows all frames from this offset on, whatever is between them.
pub(crate) fn scan<'a>(segment: &'a [u8], seed: u64, mut offset: usize, mut show: impl FnMut(Found<'a>)) {
    while offset < segment.len() {
        if let Some(frame) = frame::read(&segment[offset..], seed) {
            offset += frame.len_bytes();
            show(Found::Frame(frame));
            continue;
        }
        show(Found::Hole);
        // The next candidate: a frame behind a hole may prove that the hole was durable.
        let next = memmem::find(&segment[offset + 1..], &frame::MAGIC);
        offset = next.map_or(segment.len(), |at| offset + 1 + at);
    }
}

/// Shows the frames of a segment up to the first thing that is none.
pub(crate) fn frames(segment: &[u8], seed: u64, mut offset: usize) -> impl Iterator<Item = Frame<'_>> {
    std::iter::from_fn(move || {
        let frame = frame::read(segment.get(offset..)?, seed)?;
        offset += frame.len_bytes();
        Some(frame)
    })
}

/// Returns the header of a file.
pub(crate) fn header(bytes: &[u8]) -> Result<Option<(Header, usize)>, OpenError> {
    match Header::read(bytes) {
        Ok(header) => Ok(Some(header)),
        Err(NoHeader::Damaged) => Ok(None),
        Err(NoHeader::Newer(found)) => Err(OpenError::Newer { found, known: header::FORMAT }),
    }
}

/// Snapshot that is being read.
#[derive(Debug)]
pub(crate) struct SnapshotReader {
    file: Box<dyn DiskFile>,
    name: String,
    pub(crate) header: Header,
    offset: u64,
    tip: Tip,
    buffer: Vec<u8>,
}

impl SnapshotReader {
    /// Opens a snapshot.
    pub(crate) fn open(disk: &dyn Disk, name: String) -> Result<Self, OpenError> {
        let read = OpenError::disk("read a snapshot");
        let mut file = disk.open(&name).map_err(&read)?;
        // What matters is what is on disk.
        file.forget_cached().map_err(&read)?;
        let mut bytes = [0; header::MAX_BYTES];
        let len = file.read_at(0, &mut bytes).map_err(&read)?;
        let Some((header, offset)) = header(&bytes[..len])? else {
            return Err(Damage::Snapshot { file: name }.into());
        };
        Ok(Self { file, name, header, offset: offset as u64, tip: Tip::default(), buffer: Vec::new() })
    }

    /// Reads the next frame: a page, or the footer at the end.
    pub(crate) fn next(&mut self) -> Result<SnapshotFrame<'_>, OpenError> {
        let read = OpenError::disk("read a snapshot");
        let mut head = [0; HEAD_BYTES];
        let n = self.file.read_at(self.offset, &mut head).map_err(&read)?;
        let len = if n == HEAD_BYTES { frame::len_bytes(&head) } else { None };
        let damaged = || OpenError::from(Damage::Snapshot { file: self.name.clone() });
        let len = len.ok_or_else(damaged)?;
        self.buffer.resize(len, 0);
        let n = self.file.read_at(self.offset, &mut self.buffer).map_err(&read)?;
        let frame = frame::read(&self.buffer[..n], self.header.identity.seed() ^ SEED).ok_or_else(damaged)?;
        if frame.before() != self.tip {
            return Err(damaged());
        }
        self.tip = frame.tip();
        self.offset += len as u64;
        if !frame.flags.has(Flags::COMMIT) {
            return Ok(SnapshotFrame::Page(frame.payload));
        }
        let is_last = self.file.read_at(self.offset, &mut [0]).map_err(&read)? == 0;
        let footer = Footer::read(frame.payload).filter(|footer| is_last && footer.frames == frame.sequence);
        footer.map(SnapshotFrame::Footer).ok_or_else(damaged)
    }

    /// Returns what the snapshot says of the log, once its footer has been read.
    pub(crate) fn span(&self, footer: &Footer) -> Span {
        Span { identity: self.header.identity, start: self.header.after, end: footer.end }
    }

    pub(crate) fn damaged(&self) -> Damage {
        Damage::Snapshot { file: self.name.clone() }
    }
}

/// Frame of a snapshot.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SnapshotFrame<'a> {
    /// Records.
    Page(&'a [u8]),
    /// The last frame.
    Footer(Footer),
}
