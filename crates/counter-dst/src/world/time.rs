//! Clocks of nodes, and the time that their disks take.

use std::time::Duration;

use tokio::time::Instant;

use super::{NodeState, State};
use crate::clock::BEGINNING_MS;
use crate::coverage::Kind;
use crate::random::generator;

impl State {
    /// Returns what a node's clock shows, and the most that it may have shown, had it gone on from where it was most
    /// ahead. In milliseconds since the Unix epoch.
    pub(crate) fn clock_of(&self, node: usize) -> (u64, u64) {
        let true_ms = BEGINNING_MS + u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX);
        let NodeState { clock_offset_ms, most_ahead_ms, .. } = self.nodes[node];
        (true_ms.saturating_add_signed(clock_offset_ms), true_ms.saturating_add_signed(most_ahead_ms))
    }

    /// Tells the histories of counters that live once what the clock of their node shows.
    pub(crate) fn tell_time(&mut self) {
        let (now_ms, latest_ms) = self.clock_of(0);
        let histories = self.oracle.histories.values_mut();
        histories.for_each(|history| history.clock_shows(now_ms, latest_ms));
    }

    /// Lets an operation of a node's disk take its time, unless the node is starting: nothing happens meanwhile.
    pub(crate) fn takes_time(&mut self, node: usize) {
        let this = &mut self.nodes[node];
        let is_slow = |(until, _): &(Instant, Duration)| *until > Instant::now() && this.serving.is_some();
        let Some((_, up_to)) = this.disk_is_slow.filter(is_slow) else { return };
        let mut rng = generator(self.seed, "disk", &[node as u64, this.disk.operations()]);
        this.disk_time += up_to.mul_f64(rng.f64());
        self.coverage.fired(Kind::SlowDisk);
    }
}
