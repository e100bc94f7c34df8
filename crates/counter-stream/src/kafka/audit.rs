//! Checks that a log still is the one whose records were counted. Pure.

use crate::record::Position;

/// State of a partition's log, according to a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogBounds {
    /// Offset of its first record.
    pub begin: u64,
    /// Offset behind its last record.
    pub end: u64,
    /// Offset behind the last record of the leader epoch that the position names, or of the last one before it; `None`
    /// where the position names none or the broker knows none.
    pub epoch_end: Option<u64>,
}

/// Policy if the log begins behind the position, because it keeps records for a limited time or size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutOfRange {
    /// Stop the partition.
    #[default]
    Stop,
    /// Go on with the first record there is. Those in between are not counted.
    Skip,
}

/// Difference between a log and the one whose records were counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Divergence {
    /// Records that have not been counted are no longer there.
    #[error(
        "log that begins at offset {begin}, behind offset {offset}, the next one to count: \
         start with --skip-missing to leave out what is gone"
    )]
    Expired {
        /// Next offset to count.
        offset: u64,
        /// First offset of the log.
        begin: u64,
    },
    /// Records that have been counted are not in the log.
    #[error(
        "log that ends at offset {end}, before offset {offset}, up to which records were counted: \
         count the topic anew, in empty directories with a higher --generation"
    )]
    BeyondEnd {
        /// Next offset to count.
        offset: u64,
        /// End of the log.
        end: u64,
    },
    /// Records that have been counted were replaced by others.
    #[error(
        "log that was truncated at offset {end}, after records up to offset {offset} were counted (leader epoch \
         {epoch}): count the topic anew, in empty directories with a higher --generation"
    )]
    Truncated {
        /// Next offset to count.
        offset: u64,
        /// Where the log of that epoch ends.
        end: u64,
        /// Epoch of the leader whose records were counted.
        epoch: u32,
    },
}

/// Returns the offset to read from.
///
/// # Errors
/// [`Divergence`] if the log is not the one that the position is of.
pub fn first_offset(position: Position, log: LogBounds, missing: OutOfRange) -> Result<u64, Divergence> {
    let Position { offset, leader_epoch } = position;
    if offset > log.end {
        return Err(Divergence::BeyondEnd { offset, end: log.end });
    }
    if let (Some(epoch), Some(end)) = (leader_epoch, log.epoch_end)
        && end < offset
    {
        return Err(Divergence::Truncated { offset, end, epoch });
    }
    match missing {
        OutOfRange::Stop if offset < log.begin => Err(Divergence::Expired { offset, begin: log.begin }),
        OutOfRange::Stop | OutOfRange::Skip => Ok(offset.max(log.begin)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: LogBounds = LogBounds { begin: 10, end: 20, epoch_end: None };

    fn at(offset: u64) -> Position {
        Position { offset, leader_epoch: None }
    }

    #[test]
    fn a_position_within_the_log_is_where_reading_begins() {
        for offset in [10, 15, 20] {
            assert_eq!(first_offset(at(offset), LOG, OutOfRange::Stop), Ok(offset));
        }
    }

    #[test]
    fn records_that_are_gone_stop_the_partition_or_are_skipped_as_told() {
        for offset in [0, 9] {
            let expired = Err(Divergence::Expired { offset, begin: 10 });
            assert_eq!(first_offset(at(offset), LOG, OutOfRange::Stop), expired);
            assert_eq!(first_offset(at(offset), LOG, OutOfRange::Skip), Ok(10));
        }
    }

    #[test]
    fn a_log_that_ends_before_what_was_counted_stops_the_partition_in_any_case() {
        for missing in [OutOfRange::Stop, OutOfRange::Skip] {
            let beyond = Err(Divergence::BeyondEnd { offset: 21, end: 20 });
            assert_eq!(first_offset(at(21), LOG, missing), beyond);
        }
    }

    #[test]
    fn a_log_whose_epoch_ends_before_what_was_counted_was_truncated() {
        let position = Position { offset: 15, leader_epoch: Some(3) };
        for (epoch_end, expected) in [
            (None, Ok(15)),
            (Some(20), Ok(15)),
            (Some(15), Ok(15)),
            (Some(14), Err(Divergence::Truncated { offset: 15, end: 14, epoch: 3 })),
        ] {
            assert_eq!(first_offset(position, LogBounds { epoch_end, ..LOG }, OutOfRange::Stop), expected);
        }
    }
}
