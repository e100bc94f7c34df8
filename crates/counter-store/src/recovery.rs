//! Recovery: what the files of a store say, and the state that they lead to.

mod build;
mod replay;

use crate::check::{Base, LogCheck, Plan, Span, Verdict};
use crate::disk::Disk;
use crate::error::{Damage, OpenError};
use crate::files::{self, Files};
use crate::frame::Tip;
use crate::header::{self, Identity};
use crate::read::{self, Found, SnapshotFrame, SnapshotReader};
use crate::watermark::Watermark;

pub(crate) use build::Rebuilt;
pub use replay::Progress;
pub(crate) use replay::replay;

/// Contents of a store's files, all of it verified but the totals.
#[derive(Debug)]
pub(crate) struct Inspected {
    pub(crate) files: Files,
    pub(crate) identity: Identity,
    /// Number of times that the store has been opened.
    pub(crate) incarnation: u64,
    pub(crate) watermark: Option<Watermark>,
    pub(crate) plan: Plan,
    /// The damage, if its loss was accepted.
    pub(crate) damage: Option<Damage>,
    /// Greatest sequence number that was ever used.
    greatest: u64,
    /// Length of the snapshot that the state begins with, in bytes.
    pub(crate) snapshot_bytes: u64,
    /// Name of that snapshot.
    snapshot: Option<String>,
    /// Length of the segments, in bytes.
    pub(crate) log_bytes: u64,
}

/// Result of the inspection of a directory.
#[derive(Debug)]
pub(crate) enum Inspection {
    /// No store, and the watermark of one that was never written to, if there is one.
    Nothing(Option<Watermark>),
    /// A store.
    Store(Box<Inspected>),
}

impl Inspected {
    /// Returns the place behind which the log goes on. If something is missing, it is behind all that was ever
    /// written, and the next round has to hold the whole state.
    pub(crate) fn after(&self, fresh_checksum: u64) -> Tip {
        match self.damage {
            None => self.plan.end,
            Some(_) => Tip { sequence: self.greatest, checksum: fresh_checksum },
        }
    }

    /// Returns the number of the next segment.
    pub(crate) fn next_segment(&self) -> u64 {
        self.files.segments.last().map_or(1, |last| last + 1)
    }
}

/// Reads and verifies all files of a store. If something is missing and `accept_loss` is set, it settles for what is
/// provably consistent.
pub(crate) fn inspect(disk: &dyn Disk, accept_loss: bool) -> Result<Inspection, OpenError> {
    let read = OpenError::disk("read the directory");
    let files = Files::of(&disk.list().map_err(&read)?);
    let watermark = read::watermark(disk).map_err(&read)?;
    let needed = watermark.map_or(0, |watermark| watermark.durable.sequence);
    if files.is_empty() {
        let nothing = Damage::EndsEarly { end: 0, needed, by: "watermark" };
        return if needed == 0 { Ok(Inspection::Nothing(watermark)) } else { Err(OpenError::Lost(nothing)) };
    }
    // The newest snapshot that can be read; the log decides whether that is enough.
    let (mut first_damage, mut snapshot) = (None, None);
    for &start in files.snapshots.iter().rev() {
        match verify_snapshot(disk, files::snapshot(start)) {
            Ok(found) => {
                snapshot = Some(found);
                break;
            }
            Err(OpenError::Damaged(damage)) => _ = first_damage.get_or_insert(damage),
            Err(error) => return Err(error),
        }
    }
    let log = check_log(disk, &files, snapshot.as_ref().map(|(_, span, _)| *span), watermark)?;
    let Verdict { plan, damage, greatest } = log.verdict;
    let damage = damage.map(|damage| first_damage.unwrap_or(damage));
    let damage = damage.or_else(|| watermark.is_none().then_some(Damage::NoWatermark));
    if let Some(damage) = damage.clone().filter(|_| !accept_loss) {
        return Err(damage.into());
    }
    let Some(identity) = plan.identity.or(log.identity) else {
        return no_identity(damage, watermark);
    };
    if let (Some(damage), None) = (&damage, plan.identity) {
        return Err(OpenError::Lost(damage.clone()));
    }
    // A snapshot that a later round has made unnecessary is not read.
    let snapshot = snapshot.filter(|_| plan.base == Base::Snapshot);
    let (snapshot, snapshot_bytes) = snapshot.map_or((None, 0), |(name, _, bytes)| (Some(name), bytes));
    Ok(Inspection::Store(Box::new(Inspected {
        files,
        identity,
        incarnation: log.incarnation,
        watermark,
        plan,
        damage,
        greatest,
        snapshot_bytes,
        snapshot,
        log_bytes: log.bytes,
    })))
}

/// Decides about segments none of which has a header: there is nothing yet, or nothing any more.
fn no_identity(damage: Option<Damage>, watermark: Option<Watermark>) -> Result<Inspection, OpenError> {
    match damage {
        Some(damage) => Err(OpenError::Lost(damage)),
        None => Ok(Inspection::Nothing(watermark)),
    }
}

/// Reads all of a snapshot. Returns its name, what it says of the log, and its length.
fn verify_snapshot(disk: &dyn Disk, name: String) -> Result<(String, Span, u64), OpenError> {
    let mut reader = SnapshotReader::open(disk, name.clone())?;
    let mut bytes = 0;
    loop {
        match reader.next()? {
            SnapshotFrame::Page(page) => bytes += page.len() as u64,
            SnapshotFrame::Footer(footer) => {
                let span = reader.span(&footer);
                return if name == files::snapshot(span.start.sequence) {
                    Ok((name, span, bytes))
                } else {
                    Err(reader.damaged().into())
                };
            }
        }
    }
}

/// Log that has been read.
struct CheckedLog {
    verdict: Verdict,
    /// Identity that the last readable header has.
    identity: Option<Identity>,
    incarnation: u64,
    bytes: u64,
}

fn check_log(
    disk: &dyn Disk,
    files: &Files,
    snapshot: Option<Span>,
    watermark: Option<Watermark>,
) -> Result<CheckedLog, OpenError> {
    let mut check = LogCheck::new(snapshot, watermark);
    let (mut identity, mut incarnation, mut log_bytes) = (snapshot.map(|span| span.identity), 0, 0);
    let store = watermark.map(|watermark| watermark.store);
    let other = |file: String| OpenError::Damaged(Damage::OtherStore { file });
    for &number in &files.segments {
        let name = files::segment(number);
        let bytes = read::whole(disk, &name).map_err(OpenError::disk("read a segment"))?;
        let offset = match read::header(&bytes)? {
            Some((header, offset)) => {
                let expected = identity.map(|known| known.store).or(store);
                if expected.is_some_and(|expected| expected != header.identity.store) {
                    return Err(other(name));
                }
                identity = Some(header.identity);
                incarnation = incarnation.max(header.incarnation);
                check.header(number, &header);
                offset
            }
            None => {
                // Another life may have begun with it, and have opened sessions.
                incarnation += 1;
                check.unreadable_header(number);
                0
            }
        };
        let Some(store) = identity.map(|identity| identity.store).or(store) else { continue };
        read::scan(&bytes, header::seed(&store), offset, |found| match found {
            Found::Frame(frame) => {
                log_bytes += frame.len_bytes() as u64;
                check.frame(&frame);
            }
            Found::Hole => check.hole(),
        });
    }
    if let (Some(identity), Some(store)) = (identity, store)
        && identity.store != store
    {
        return Err(other(crate::watermark::NAME.into()));
    }
    Ok(CheckedLog { verdict: check.finish(), identity, incarnation, bytes: log_bytes })
}
