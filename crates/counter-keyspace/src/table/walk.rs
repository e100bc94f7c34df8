use counter_protocol::Count;

use super::{PAGE_NAME_BYTES, SEGMENTS, Table};
use crate::handle::Page;
use crate::key::Key;
use crate::place_set::Place;

/// Maximum number of counters that are visited for one page.
const MAX_VISITS: usize = 4096;

/// Position in a walk over a table. The default is its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TablePosition {
    segment: u32,
    /// Entries from this index on have been visited, or have come since the segment was entered. `None` before that.
    below: Option<u32>,
}

impl TablePosition {
    /// Returns the position as a number of 40 bits, which is 0 only for the beginning.
    pub(crate) const fn to_bits(self) -> u64 {
        // Nothing is below index 0, so 0 is free for the beginning of a segment.
        let below = match self.below {
            Some(below) => below,
            None => 0,
        };
        (self.segment as u64) << 32 | below as u64
    }

    /// Returns the position of the lowest 40 bits of a number.
    #[expect(clippy::cast_possible_truncation, reason = "they are parts of the number")]
    pub(crate) const fn from_bits(bits: u64) -> Self {
        let below = match bits as u32 {
            0 => None,
            below => Some(below),
        };
        Self { segment: (bits >> 32) as u8 as u32, below }
    }
}

impl Table {
    /// Visits up to `most` counters from a position on, or fewer if `visit` returns false. Returns the position of the
    /// next one.
    ///
    /// Walks each segment downwards, because a removal moves the last entry into the gap: an entry may be visited
    /// again, but none that exists throughout is missed.
    pub(crate) fn walk(
        &self,
        from: TablePosition,
        most: usize,
        mut visit: impl FnMut(Place, Key<'_>, Count) -> bool,
    ) -> Option<TablePosition> {
        let mut left = most.max(1);
        for segment in from.segment..SEGMENTS {
            let len = self.segments[segment as usize].indices().end;
            let below = from.below.filter(|_| segment == from.segment).map_or(len, |below| below.min(len));
            for index in (0..below).rev() {
                if left == 0 {
                    return Some(TablePosition { segment, below: Some(index + 1) });
                }
                let Some((key, count)) = self.at((segment, index)) else { continue };
                left = if visit((segment, index), key, count) { left - 1 } else { 0 };
            }
        }
        None
    }

    /// Returns up to `most` counters from a position on whose names begin with `prefix`, and the position of the next.
    /// Visits no more than `MAX_VISITS`, so that a rare prefix does not keep others waiting.
    pub(crate) fn page(
        &self,
        from: TablePosition,
        most: usize,
        prefix: &[u8],
    ) -> (Page, Option<TablePosition>) {
        let (mut counters, mut name_bytes) = (Page::new(), 0);
        let next = self.walk(from, MAX_VISITS, |place, key, count| {
            if key.name.starts_with(prefix) && !self.is_expired(place) {
                name_bytes += key.name.len();
                counters.push((key.into(), count));
            }
            counters.len() < most && name_bytes < PAGE_NAME_BYTES
        });
        (counters, next)
    }
}
