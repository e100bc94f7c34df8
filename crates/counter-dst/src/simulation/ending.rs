//! The end of a simulation: without faults, nodes agree within a bounded time, and nothing is left of them.

use std::time::Duration;

use counter_cluster::{ClusterStatus, ReplicaId, Total, Totals};
use counter_protocol::CounterName;
use ractor_transport::NodeName;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::Simulation;
use crate::oracle::Violation;
use crate::schedule::{Schedule, counter};

/// Time within which nodes agree once all faults are over.
const AGREE_WITHIN: Duration = Duration::from_secs(30);

/// Time within which all tasks end once all nodes have.
const TASKS_END_WITHIN: Duration = Duration::from_secs(90);

/// Interval between looks at what is to come.
const LOOK_EVERY: Duration = Duration::from_millis(50);

impl Simulation {
    /// Checks that a node hands over what others lack, that all nodes agree, and that nothing is left when they have
    /// ended.
    pub(super) async fn end(&mut self, schedule: &Schedule) -> Result<(), Violation> {
        // Half of the time the first node goes before all have everything.
        if schedule.is_alone {
            return self.stop().await;
        }
        let is_early = schedule.seed.is_multiple_of(2);
        if is_early {
            self.shut_down().await?;
        }
        self.agree().await?;
        for name in (0..schedule.names).map(counter) {
            self.agree_on(&name).await?;
        }
        self.attend().await?;
        self.world.note(format_args!("all agree"));
        if !is_early {
            self.shut_down().await?;
        }
        self.stop().await
    }

    /// Shuts the first node down. If it says that the others hold everything, they do.
    async fn shut_down(&mut self) -> Result<(), Violation> {
        self.attend().await?;
        let Some(node) = self.nodes[0].take() else { return Ok(()) };
        let life = node.replica().clone();
        let status = node.handle().status().await.map_err(|error| format!("no status: {error}"))?;
        let known: Vec<_> = status.peers.into_iter().map(|peer| peer.node).collect();
        let outcome = node.shutdown().await;
        self.world.note(format_args!("n0 is shut down: {outcome:?}"));
        self.world.end_life(0);
        if outcome.is_err() || known.is_empty() {
            // What it has not handed over is on its disk only, which is as good as lost until it starts again.
            self.world.lock().oracle.lost_disk(&life.node);
            return Ok(());
        }
        for node in self.nodes.iter().flatten().filter(|node| known.contains(node.name())) {
            let status = node.handle().status().await.map_err(|error| format!("no status: {error}"))?;
            let of_life = status.replicas.iter().filter(|(id, _)| *id == life);
            let operations = of_life.map(|(_, totals)| totals.total.operations).sum();
            self.world.lock().oracle.handed_over(&life, operations)?;
        }
        Ok(())
    }

    /// Waits until all nodes are connected and hold the same, and nothing that nodes have sent before they ended can
    /// change that any more.
    async fn agree(&mut self) -> Result<(), Violation> {
        let end = Instant::now() + AGREE_WITHIN;
        loop {
            self.attend().await?;
            let mut statuses = Vec::new();
            for node in self.nodes.iter().flatten() {
                let status = node.handle().status().await.map_err(|error| format!("no status: {error}"))?;
                statuses.push(status);
            }
            let others = statuses.len() - 1;
            let is_complete = |status: &ClusterStatus| {
                status.peers.iter().filter(|peer| peer.is_up && peer.lag == 0).count() == others
            };
            let first = counted(&statuses[0]);
            let is_quiet = !self.world.lock().has_late_messages();
            if is_quiet && statuses.iter().all(|status| is_complete(status) && counted(status) == first) {
                return Ok(());
            }
            if Instant::now() >= end {
                return Err(format!(
                    "nodes do not agree {AGREE_WITHIN:?} after the last fault: {statuses:?}"
                ));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn agree_on(&self, name: &CounterName) -> Result<(), Violation> {
        let mut totals = Vec::<Total>::new();
        for node in self.nodes.iter().flatten() {
            let handle = node.handle();
            // The replies have the entries of each replica, which are checked on their way.
            let unanswered = handle.refresh(Some(name.as_bytes()), Duration::from_secs(4)).await;
            let is_gone = |name: &NodeName| self.nodes[0].is_none() && name.as_str() == "n0";
            if unanswered.as_ref().map_or(true, |nodes| !nodes.iter().all(is_gone)) {
                return Err(format!("{} gets no answers: {unanswered:?}", node.name()));
            }
            let reading =
                handle.value(name.as_bytes()).await.map_err(|error| format!("no reading: {error}"))?;
            totals.push(reading.total);
        }
        self.world.note(format_args!("{name}={}/{}", totals[0].value, totals[0].operations));
        if totals.iter().any(|total| *total != totals[0]) {
            return Err(format!("nodes hold {totals:?} of {name}"));
        }
        self.world.lock().oracle.finally(name, totals[0])
    }

    /// Ends all nodes, and waits until no task is left.
    async fn stop(&mut self) -> Result<(), Violation> {
        for node in 0..self.nodes.len() {
            if let Some(running) = self.nodes[node].take() {
                self.world.end_life(node);
                running.kill().await;
            }
        }
        let end = Instant::now() + TASKS_END_WITHIN;
        while Handle::current().metrics().num_alive_tasks() > 0 {
            if Instant::now() >= end {
                return Err(format!("{} tasks are left", Handle::current().metrics().num_alive_tasks()));
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }
}

/// Returns the replicas that have counted something.
fn counted(status: &ClusterStatus) -> Vec<&(ReplicaId, Totals)> {
    let mut counted: Vec<_> = status.replicas.iter().filter(|(_, totals)| totals.names > 0).collect();
    counted.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    counted
}
