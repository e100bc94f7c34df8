//! Lines that are not counted, and the warnings of them.

use std::time::Duration;

use counter_protocol::CounterName;
use tokio::time::Instant;

/// Minimum time between two warnings, so that a bad source does not fill the log.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// Reason why a line is not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// The name, or the whole line, has too many bytes.
    #[error("too long: names have at most {} bytes", CounterName::MAX_BYTES)]
    TooLong,
    /// The text after the tab is not an amount.
    #[error("expected a name, or a name, a tab and an amount")]
    Malformed,
}

/// Counts of refused lines, and the warnings of them. Pure: time is an argument.
#[derive(Debug)]
pub(crate) struct Refusals {
    total: u64,
    /// Latest refused line since the last warning.
    unreported: Option<(u64, Refusal)>,
    next_warning: Instant,
}

impl Refusals {
    /// Creates a record without refusals. The first one is reported at once.
    pub(crate) const fn new(now: Instant) -> Self {
        Self { total: 0, unreported: None, next_warning: now }
    }

    /// Records that a line, by its number, is not counted.
    pub(crate) const fn record(&mut self, line: u64, refusal: Refusal) {
        self.total += 1;
        self.unreported = Some((line, refusal));
    }

    /// Time of the next warning, if there is a refusal to report.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.unreported.map(|_| self.next_warning)
    }

    /// Returns a warning of the refusals since the last one, if there are any.
    pub(crate) fn warning(&mut self, now: Instant) -> Option<String> {
        let (line, refusal) = self.unreported.take()?;
        self.next_warning = now + WARN_EVERY;
        let total = self.total;
        Some(format!(
            "standard input: line {line} is not counted: {refusal} (lines not counted so far: {total})"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_refusal_is_reported_at_once_and_later_ones_together() {
        let now = Instant::now();
        let mut refusals = Refusals::new(now);
        assert_eq!((refusals.due(), refusals.warning(now)), (None, None));
        refusals.record(3, Refusal::Malformed);
        assert_eq!(refusals.due(), Some(now));
        assert_eq!(
            refusals.warning(now).unwrap(),
            "standard input: line 3 is not counted: expected a name, or a name, a tab and an amount \
             (lines not counted so far: 1)"
        );
        assert_eq!((refusals.due(), refusals.warning(now)), (None, None));

        refusals.record(4, Refusal::Malformed);
        refusals.record(9, Refusal::TooLong);
        assert_eq!(refusals.due(), Some(now + WARN_EVERY));
        assert_eq!(
            refusals.warning(now + WARN_EVERY).unwrap(),
            "standard input: line 9 is not counted: too long: names have at most 65536 bytes \
             (lines not counted so far: 3)"
        );
        assert_eq!(refusals.due(), None);
    }
}
