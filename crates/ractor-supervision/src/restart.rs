use std::collections::VecDeque;
use std::time::Duration;

/// Choice of children to restart when one fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// Only the child that failed.
    #[default]
    OneForOne,
    /// The child that failed and all that were started after it, which are stopped first.
    RestForOne,
}

/// Condition for restarting a child.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// Whenever it ends.
    #[default]
    Permanent,
    /// Only when it fails: by a panic, an error or a kill.
    Transient,
    /// Never: when it ends, it is forgotten.
    Temporary,
}

/// Maximum rate of restarts that a supervisor tolerates. At a higher rate, something is wrong that restarting does
/// not mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intensity {
    /// Maximum number of restarts, of all children together.
    pub restarts: usize,
    /// Time span in which they are counted.
    pub within: Duration,
}

impl Default for Intensity {
    /// 10 restarts within 10 seconds.
    fn default() -> Self {
        Self { restarts: 10, within: Duration::from_secs(10) }
    }
}

/// Wait of a child that fails repeatedly before its next start.
///
/// The first failure costs no wait. From the second in a row on, the wait begins at `first` and doubles up to `max`.
/// A random half of it is left off, so that children that failed together do not return together. A row ends when the
/// child has run for as long as [`Intensity::within`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Maximum wait after the second failure in a row.
    pub first: Duration,
    /// Maximum wait of all.
    pub max: Duration,
}

impl Default for Backoff {
    /// From 10 milliseconds up to 10 seconds.
    fn default() -> Self {
        Self { first: Duration::from_millis(10), max: Duration::from_secs(10) }
    }
}

impl Backoff {
    /// Returns the wait after `failures` failures in a row, with a random number from 0 to 1.
    ///
    /// ```
    /// # use {ractor_supervision::Backoff, std::time::Duration};
    /// let backoff = Backoff { first: Duration::from_millis(10), max: Duration::from_millis(35) };
    /// let waits = [1, 2, 3, 4, 5].map(|failures| backoff.delay(failures, 1.0).as_millis());
    /// assert_eq!(waits, [0, 10, 20, 35, 35]);
    /// assert_eq!(backoff.delay(3, 0.0).as_millis(), 10);
    /// ```
    #[must_use]
    pub fn delay(&self, failures: u32, random: f64) -> Duration {
        let Some(doublings) = failures.checked_sub(2) else { return Duration::ZERO };
        let longest = self.first.saturating_mul(2_u32.saturating_pow(doublings)).min(self.max);
        longest.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
    }
}

/// Times of recent restarts.
#[derive(Debug, Default)]
pub(crate) struct Window(VecDeque<Duration>);

impl Window {
    /// Counts one more restart. Returns true if that is still within the intensity.
    pub(crate) fn allows(&mut self, intensity: Intensity, now: Duration) -> bool {
        while self.0.front().is_some_and(|&then| now.saturating_sub(then) >= intensity.within) {
            self.0.pop_front();
        }
        if self.0.len() >= intensity.restarts {
            return false;
        }
        self.0.push_back(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_count_for_as_long_as_the_window_is() {
        let intensity = Intensity { restarts: 2, within: Duration::from_secs(10) };
        let mut window = Window::default();
        let allowed =
            [0, 4, 9, 10, 11, 14].map(|second| window.allows(intensity, Duration::from_secs(second)));
        assert_eq!(allowed, [true, true, false, true, false, true]);
    }

    #[test]
    fn no_number_of_failures_overflows() {
        let backoff = Backoff::default();
        assert_eq!(backoff.delay(u32::MAX, 1.0), backoff.max);
        assert_eq!(backoff.delay(0, 1.0), Duration::ZERO);
    }
}
