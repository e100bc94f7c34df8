//! The lag of counts behind the log. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// Age from which on nobody knows any more where a log ends. Brokers are asked once per second.
const KNOWN_FOR: Duration = Duration::from_secs(5);

/// Ends of the logs of a topic's partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEnds {
    /// Time at which brokers were asked.
    pub at: Instant,
    /// Offset behind the last record of each partition that can be read; `None` where no broker has said it.
    pub ends: Vec<Option<u64>>,
}

/// Records of the log that are not counted yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// Number of offsets between what is counted and the end of the log.
    pub records: u64,
    /// Time since the log ended there. What was written since is not among the records.
    pub age: Duration,
}

impl LogEnds {
    /// Returns the offset behind the last record of a partition that can be read; `None` if no broker has said it.
    #[must_use]
    pub fn end_of(&self, partition: u32) -> Option<u64> {
        *usize::try_from(partition).ok().and_then(|partition| self.ends.get(partition))?
    }

    /// Returns the lag of a partition that is counted up to an offset; `None` if that is not known, or no longer.
    #[must_use]
    pub fn lag_of(&self, partition: u32, offset: u64, now: Instant) -> Option<Lag> {
        let age = now.saturating_duration_since(self.at);
        let end = self.end_of(partition)?;
        (age <= KNOWN_FOR).then_some(Lag { records: end.saturating_sub(offset), age })
    }

    /// Returns the lag of all partitions together, given where each is; `None` if that of one is not known.
    #[must_use]
    pub fn lag(&self, offset_of: impl Fn(u32) -> u64, now: Instant) -> Option<Lag> {
        let partitions = (0..).zip(&self.ends).map(|(partition, _)| partition);
        let lags = partitions.map(|partition| self.lag_of(partition, offset_of(partition), now));
        lags.reduce(|sum, lag| {
            let (sum, lag) = (sum?, lag?);
            Some(Lag { records: sum.records.saturating_add(lag.records), age: sum.age })
        })
        .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lag_is_known_only_if_all_ends_are_and_recently() {
        let at = Instant::now();
        let known = LogEnds { at, ends: vec![Some(10), Some(5)] };
        let now = at + Duration::from_secs(1);
        let offset_of = |partition| if partition == 0 { 7 } else { 6 };
        assert_eq!(known.lag(offset_of, now), Some(Lag { records: 3, age: Duration::from_secs(1) }));
        assert_eq!(known.lag_of(1, 2, now).map(|lag| lag.records), Some(3));
        assert_eq!(known.lag_of(2, 0, now), None);
        assert_eq!(known.lag(offset_of, at + KNOWN_FOR * 2), None);
        let unknown = LogEnds { at, ends: vec![Some(10), None] };
        assert_eq!(unknown.lag(offset_of, now), None);
        assert_eq!(unknown.lag_of(0, 10, now).map(|lag| lag.records), Some(0));
        assert_eq!(LogEnds { at, ends: Vec::new() }.lag(offset_of, now), None);
    }
}
