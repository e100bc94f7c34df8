//! Decides what the committer does next. Pure: time is an argument, counted from any moment.

use std::time::Duration;

use crate::progress::Requests;

/// Interval at which a watermark is synced.
const WATERMARK_INTERVAL: Duration = Duration::from_secs(1);

/// Time after which a failed disk is tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Pace of the committer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timing {
    /// Time between the ends of two rounds that nobody waits for.
    pub(crate) round_interval: Duration,
    /// Time between two steps of a snapshot.
    pub(crate) step_interval: Duration,
}

/// The committer's next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Commits a round.
    Round,
    /// Writes the whole state anew.
    Rewrite,
    /// Begins a snapshot.
    StartSnapshot,
    /// Takes a step of the snapshot.
    SnapshotStep,
    /// Reserves a segment.
    PrepareSpare,
    /// Syncs the watermark.
    SyncWatermark,
    /// Ends.
    Stop,
    /// Waits for a request up to this time.
    Wait(Duration),
}

/// Outcome of an [`Action`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A round has been committed, or the state has been written anew.
    Committed,
    /// The disk has failed.
    DiskFailed,
    /// The keyspace has failed: nothing has been committed.
    SourceFailed,
    /// A step of a snapshot has been taken, or has failed.
    Stepped,
    /// A segment has been reserved, or could not be.
    Reserved,
    /// The watermark has been synced.
    WatermarkSynced,
}

/// Pending work besides rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) has_snapshot_step: bool,
    pub(crate) needs_snapshot: bool,
    pub(crate) needs_spare: bool,
}

/// State of the committer.
#[derive(Clone, Debug)]
pub(crate) struct CommitterState {
    timing: Timing,
    next_round: Duration,
    next_step: Duration,
    next_reservation: Duration,
    /// When the watermark is due, if it has been written since it was synced.
    next_sync: Option<Duration>,
    /// When the failed disk is tried again.
    retry: Option<Duration>,
    last: Last,
}

/// Progress of an orderly end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    NotYet,
    RoundCommitted,
    WatermarkSynced,
}

impl CommitterState {
    pub(crate) const fn new(timing: Timing) -> Self {
        Self {
            timing,
            next_round: Duration::ZERO,
            next_step: Duration::ZERO,
            next_reservation: Duration::ZERO,
            next_sync: None,
            retry: None,
            last: Last::NotYet,
        }
    }

    /// Decides what to do now.
    pub(crate) fn next(&self, now: Duration, requests: Requests, work: Work) -> Action {
        if let Some(retry) = self.retry {
            return match (now >= retry, requests.is_stopping) {
                (false, false) => Action::Wait(retry),
                // The last attempt is made at once, and there is none after it.
                (_, true) if self.last == Last::RoundCommitted => Action::Stop,
                _ => Action::Rewrite,
            };
        }
        if requests.is_stopping {
            return match self.last {
                Last::NotYet => Action::Round,
                Last::RoundCommitted => Action::SyncWatermark,
                Last::WatermarkSynced => Action::Stop,
            };
        }
        if requests.is_waited_for || now >= self.next_round {
            return Action::Round;
        }
        if work.needs_spare && now >= self.next_reservation {
            return Action::PrepareSpare;
        }
        if self.next_sync.is_some_and(|sync| now >= sync) {
            return Action::SyncWatermark;
        }
        if work.needs_snapshot && now >= self.next_step {
            return Action::StartSnapshot;
        }
        if work.has_snapshot_step && now >= self.next_step {
            return Action::SnapshotStep;
        }
        let has_step = work.has_snapshot_step || work.needs_snapshot;
        let step = has_step.then_some(self.next_step);
        Action::Wait([step, self.next_sync].into_iter().flatten().fold(self.next_round, Duration::min))
    }

    /// Takes the outcome of an action.
    pub(crate) fn handle(&mut self, now: Duration, event: Event, is_stopping: bool) {
        if is_stopping && self.last == Last::NotYet {
            self.last = Last::RoundCommitted;
        }
        match event {
            Event::Committed => {
                self.retry = None;
                self.next_round = now + self.timing.round_interval;
                self.next_sync.get_or_insert(now + WATERMARK_INTERVAL);
            }
            Event::DiskFailed => self.retry = Some(now + RETRY_INTERVAL),
            Event::SourceFailed => self.next_round = now + self.timing.round_interval,
            Event::Stepped => self.next_step = now + self.timing.step_interval,
            Event::Reserved => self.next_reservation = now + RETRY_INTERVAL,
            Event::WatermarkSynced => {
                self.next_sync = None;
                if self.last == Last::RoundCommitted {
                    self.last = Last::WatermarkSynced;
                }
            }
        }
    }

    /// Returns true if the disk has failed.
    pub(crate) const fn is_failed(&self) -> bool {
        self.retry.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(100);
    const TIMING: Timing = Timing { round_interval: INTERVAL, step_interval: Duration::from_millis(2) };
    const IDLE: Work = Work { has_snapshot_step: false, needs_snapshot: false, needs_spare: false };

    fn committed() -> (CommitterState, Requests) {
        let mut state = CommitterState::new(TIMING);
        assert_eq!(state.next(Duration::ZERO, Requests::default(), IDLE), Action::Round);
        state.handle(Duration::ZERO, Event::Committed, false);
        (state, Requests::default())
    }

    #[test]
    fn a_round_begins_at_once_when_somebody_waits_and_otherwise_after_the_interval() {
        let (state, mut requests) = committed();
        assert_eq!(state.next(Duration::ZERO, requests, IDLE), Action::Wait(INTERVAL));
        assert_eq!(state.next(INTERVAL, requests, IDLE), Action::Round);
        requests.is_waited_for = true;
        assert_eq!(state.next(Duration::ZERO, requests, IDLE), Action::Round);
    }

    #[test]
    fn a_snapshot_never_delays_a_round() {
        let (mut state, mut requests) = committed();
        let work = Work { has_snapshot_step: true, ..IDLE };
        assert_eq!(state.next(Duration::ZERO, requests, work), Action::SnapshotStep);
        state.handle(Duration::ZERO, Event::Stepped, false);
        assert_eq!(state.next(Duration::ZERO, requests, work), Action::Wait(TIMING.step_interval));
        requests.is_waited_for = true;
        assert_eq!(state.next(TIMING.step_interval, requests, work), Action::Round);
    }

    #[test]
    fn a_snapshot_takes_its_steps_at_intervals_however_long_they_take() {
        let (mut state, requests) = committed();
        let work = Work { has_snapshot_step: true, ..IDLE };
        let (step, mut now) = (TIMING.step_interval, Duration::ZERO);
        for _ in 0..10 {
            assert_eq!(state.next(now, requests, work), Action::SnapshotStep);
            // The step itself takes three intervals.
            now += 3 * step;
            state.handle(now, Event::Stepped, false);
            assert_eq!(state.next(now, requests, work), Action::Wait(now + step));
            now += step;
        }
    }

    #[test]
    fn nothing_but_a_rewrite_follows_a_failure() {
        let (mut state, mut requests) = committed();
        state.handle(Duration::ZERO, Event::DiskFailed, false);
        requests.is_waited_for = true;
        assert_eq!(state.next(INTERVAL, requests, IDLE), Action::Wait(RETRY_INTERVAL));
        assert_eq!(state.next(RETRY_INTERVAL, requests, IDLE), Action::Rewrite);
        state.handle(RETRY_INTERVAL, Event::Committed, false);
        assert!(!state.is_failed());
    }

    #[test]
    fn the_end_is_a_round_and_a_synced_watermark_or_one_attempt_at_them() {
        for is_failed in [false, true] {
            let (mut state, mut requests) = committed();
            requests.is_stopping = true;
            let now = Duration::ZERO;
            if is_failed {
                state.handle(now, Event::DiskFailed, false);
                assert_eq!(state.next(now, requests, IDLE), Action::Rewrite);
                state.handle(now, Event::DiskFailed, true);
            } else {
                assert_eq!(state.next(now, requests, IDLE), Action::Round);
                state.handle(now, Event::Committed, true);
                assert_eq!(state.next(now, requests, IDLE), Action::SyncWatermark);
                state.handle(now, Event::WatermarkSynced, true);
            }
            assert_eq!(state.next(now, requests, IDLE), Action::Stop);
        }
    }
}
