//! Does what the [`CommitterState`] decides.

use counter_keyspace::KeyspaceError;
use tokio::time::Instant;

use crate::progress::{Inbox, Publisher};
use crate::replicas::Columns;
use crate::source::Source;

use super::state::{Action, CommitterState, Event, Timing, Work};
use super::{Committer, RoundError, wait_for};

/// Commits until it is told to stop. Everything but the disk is waited for without blocking.
pub(crate) async fn run<S: Source, C: Columns>(
    mut committer: Committer<S, C>,
    timing: Timing,
    inbox: &Inbox,
    committed: &Publisher,
) {
    let mut state = CommitterState::new(timing);
    let start = Instant::now();
    loop {
        let requests = inbox.requests();
        committer.raise_session_floor(requests.session_floor);
        match state.next(start.elapsed(), requests, committer.work()) {
            // Requests have to wait for the next attempt.
            Action::Wait(until) if state.is_failed() => inbox.stopping_until(start + until).await,
            Action::Wait(until) => inbox.requested_until(start + until).await,
            Action::Stop => break,
            action => {
                let event = committer.act(action, inbox, committed).await;
                wait_for(&*committer.disk).await;
                state.handle(start.elapsed(), event, requests.is_stopping);
            }
        }
    }
    committed.publish(|committed| committed.is_stopped = true);
}

impl<S: Source, C: Columns> Committer<S, C> {
    /// Does what was decided, and publishes the outcome.
    async fn act(&mut self, action: Action, inbox: &Inbox, committed: &Publisher) -> Event {
        match action {
            Action::Round | Action::Rewrite => {
                let round = inbox.begin_round();
                // After the round has begun: it answers whoever has added one before.
                self.replicas.add_members(inbox.take_members());
                let done = if action == Action::Round { self.round().await } else { self.rewrite().await };
                self.publish(round, done, committed)
            }
            Action::StartSnapshot => match self.start_snapshot() {
                Ok(()) => Event::Stepped,
                // The log has been rolled, or has failed to.
                Err(error) => self.publish(0, Err(error.into()), committed),
            },
            Action::SnapshotStep => {
                if let Err(error) = self.snapshot_step().await {
                    tracing::warn!(?error, "snapshot failed, and will be tried again");
                    self.abandon_snapshot();
                }
                Event::Stepped
            }
            Action::PrepareSpare => {
                if let Err(error) = self.prepare_spare() {
                    tracing::warn!(%error, "failed to reserve space for the log");
                }
                Event::Reserved
            }
            Action::SyncWatermark => match self.sync_watermark() {
                Ok(()) => Event::WatermarkSynced,
                Err(error) => self.publish(0, Err(error.into()), committed),
            },
            Action::Stop | Action::Wait(_) => unreachable!("these are not for the committer"),
        }
    }

    fn publish(&mut self, round: u64, done: Result<(), RoundError>, committed: &Publisher) -> Event {
        match done {
            Ok(()) => {
                committed.publish(|committed| {
                    committed.versions.clone_from(&self.versions);
                    committed.rounds = round;
                    committed.is_failed = false;
                    committed.session_floor = self.committed_floor;
                });
                Event::Committed
            }
            Err(RoundError::Disk(error)) => {
                tracing::error!(%error, "disk failed; the state will be written anew");
                committed.publish(|committed| {
                    committed.failures += 1;
                    committed.is_failed = true;
                });
                Event::DiskFailed
            }
            Err(RoundError::Source(error)) => {
                if matches!(error, KeyspaceError::Stopped) {
                    // No round will come any more.
                    committed.publish(|committed| committed.is_stopped = true);
                }
                tracing::warn!(%error, "keyspace or its replication did not answer");
                Event::SourceFailed
            }
        }
    }

    fn work(&self) -> Work {
        Work {
            has_snapshot_step: self.has_snapshot_step(),
            needs_snapshot: self.needs_snapshot(),
            needs_spare: !self.log.has_spare(),
        }
    }
}
