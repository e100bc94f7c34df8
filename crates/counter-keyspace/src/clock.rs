use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Source of time for deadlines.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Returns what the clocks show now.
    fn now(&self) -> Reading;
}

/// Times of two clocks at the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Time in milliseconds since the Unix epoch. It may jump.
    pub wall_ms: u64,
    /// Time since some moment of this process. It never goes back.
    pub monotonic: Duration,
}

/// The clocks of the system. Their monotonic time is tokio's, which tests can pause.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
}

/// Time of a shard, which never goes back.
///
/// While the wall clock is behind, the shard's time advances by monotonic time. Pure apart from its source.
#[derive(Debug, Default)]
pub(crate) struct ShardClock {
    source: Option<Arc<dyn Clock>>,
    last: Option<Duration>,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Reading {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Reading {
            wall_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX),
            monotonic: self.started.elapsed(),
        }
    }
}

impl From<Arc<dyn Clock>> for ShardClock {
    fn from(source: Arc<dyn Clock>) -> Self {
        Self { source: Some(source), last: None }
    }
}

impl ShardClock {
    /// Returns the time after `before_ms`, which was the result of the previous call.
    pub(crate) fn after(&mut self, before_ms: u64) -> u64 {
        let Some(source) = &self.source else { return before_ms };
        let Reading { wall_ms, monotonic } = source.now();
        if wall_ms > before_ms {
            self.last = Some(monotonic);
            return wall_ms;
        }
        // Whole milliseconds are taken, and fractions left for the next time.
        let last = *self.last.get_or_insert(monotonic);
        let passed_ms = u64::try_from(monotonic.saturating_sub(last).as_millis()).unwrap_or(u64::MAX);
        self.last = Some(last + Duration::from_millis(passed_ms));
        before_ms.saturating_add(passed_ms)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Debug)]
    struct Manual(Mutex<Reading>);

    impl Clock for Manual {
        fn now(&self) -> Reading {
            *self.0.lock().unwrap()
        }
    }

    #[test]
    fn a_shards_time_never_goes_back_and_never_stands_still() {
        let source = Arc::new(Manual(Mutex::new(Reading { wall_ms: 1_000, monotonic: Duration::ZERO })));
        let mut clock = ShardClock::from(Arc::clone(&source) as Arc<dyn Clock>);
        let mut at = |before_ms, wall_ms, monotonic_us| {
            *source.0.lock().unwrap() = Reading { wall_ms, monotonic: Duration::from_micros(monotonic_us) };
            clock.after(before_ms)
        };
        assert_eq!(at(5_000, 1_000, 0), 5_000, "recovered from a time that is ahead");
        assert_eq!(at(5_000, 1_001, 1_500), 5_001);
        assert_eq!(at(5_001, 1_002, 2_000), 5_002);
        assert_eq!(at(5_002, 6_000, 3_000), 6_000);
        assert_eq!(at(6_000, 10, 14_000), 6_011, "the wall clock was set back");
        assert_eq!(at(6_011, 7_000, 15_000), 7_000);
    }
}
