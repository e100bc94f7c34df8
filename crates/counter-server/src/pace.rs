//! Bounds the share of the time that something costly takes. Pure.

use tokio::time::Instant;

/// Idle time after a run, as a multiple of its duration.
const IDLE_FACTOR: u32 = 20;

/// Decides when something costly may run again, so that it takes less than a twentieth of the time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    /// `None` before the first run.
    idle_until: Option<Instant>,
}

impl Pace {
    /// Returns true if it may run now.
    pub(crate) fn allows(&self, now: Instant) -> bool {
        self.idle_until.is_none_or(|end| end <= now)
    }

    /// Notes that it has run.
    pub(crate) fn ran(&mut self, began: Instant, ended: Instant) {
        self.idle_until = Some(ended + ended.duration_since(began) * IDLE_FACTOR);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Returns how often something that takes `cost` runs in an hour, if it is wanted every second.
    fn runs(cost: Duration) -> u32 {
        let (start, mut pace, mut runs) = (Instant::now(), Pace::default(), 0);
        let mut now = start;
        while now < start + Duration::from_secs(3600) {
            let began = now;
            if pace.allows(began) {
                now += cost;
                pace.ran(began, now);
                runs += 1;
            }
            now += Duration::from_secs(1);
        }
        runs
    }

    #[test]
    fn what_is_cheap_runs_whenever_it_is_wanted() {
        assert_eq!(runs(Duration::ZERO), 3600);
        assert!(runs(Duration::from_millis(40)) > 3400);
    }

    #[test]
    fn what_is_costly_takes_less_than_a_twentieth_of_the_time() {
        for cost in [100, 500, 2000, 30_000].map(Duration::from_millis) {
            let share = runs(cost) * cost;
            assert!(share <= Duration::from_secs(3600 / 20) + cost && runs(cost) > 5, "{share:?}");
        }
    }
}
