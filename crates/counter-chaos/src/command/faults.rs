//! Faults of the command: a partition, a kill and a pause, one after the other.

use std::time::Duration;

use fastrand::Rng;
use tokio::time::{Instant, sleep};

use super::{DEADLINE, Output, list, time};
use crate::cluster::Cluster;
use crate::loads::Loads;
use crate::reports::Reports;
use crate::sent::Sent;

/// Duration of the partition, and of the time without faults before each fault.
const FAULT_TIME: Duration = Duration::from_secs(2);

/// Index of the node that each fault happens to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Victims {
    cut: usize,
    killed: usize,
    paused: usize,
}

impl Victims {
    pub(super) fn draw(seed: u64, nodes: usize) -> Self {
        let mut random = Rng::with_seed(seed);
        Self { cut: random.usize(..nodes), killed: random.usize(..nodes), paused: random.usize(..nodes) }
    }
}

/// Cuts a node off and heals the partition, kills one and starts it again, and pauses one until the others notice.
/// Returns the index of the node that was killed, and what was sent to it.
pub(super) async fn disturb(
    cluster: &mut Cluster,
    loads: &mut Loads,
    Victims { cut, killed, paused }: Victims,
    out: &mut Output<'_>,
) -> anyhow::Result<(usize, Sent)> {
    sleep(FAULT_TIME).await;
    partition(cluster, cut, out).await?;
    // So what it has counted meanwhile reaches the others before the kill.
    sleep(FAULT_TIME).await;

    let (name, others) = (cluster.name(killed).clone(), all_but(cluster, killed));
    cluster.kill(killed).await?;
    let sent = loads.ended(killed).await?;
    out.line(&format!("killed: {name}, by SIGKILL"))?;
    let noticed = noticed_down(cluster, killed).await?;
    out.line(&format!("{others} go on, and name it down after {}", time(noticed)))?;
    let begun = Instant::now();
    cluster.restart(killed).await?;
    cluster.wait_until_connected(DEADLINE).await?;
    out.line(&format!("restarted: {name}; connected after {}", time(begun.elapsed())))?;
    loads.resume(killed, cluster.client(killed)?);
    sleep(FAULT_TIME).await;

    let name = cluster.name(paused).clone();
    cluster.pause(paused).await?;
    out.line(&format!("stopped: {name}, by SIGSTOP"))?;
    let noticed = noticed_down(cluster, paused).await?;
    out.line(&format!("{} go on, and name it down after {}", all_but(cluster, paused), time(noticed)))?;
    cluster.resume(paused)?;
    let back = cluster.wait_until_connected(DEADLINE).await?;
    out.line(&format!("continued: {name}; connected after {}", time(back)))?;
    Ok((killed, sent))
}

async fn partition(cluster: &Cluster, node: usize, out: &mut Output<'_>) -> anyhow::Result<()> {
    cluster.isolate(node);
    out.line(&format!("cut: {} | {}", cluster.name(node), all_but(cluster, node)))?;
    sleep(FAULT_TIME).await;
    let reports = cluster.reports().await?;
    let held = reports.iter().map(|(name, report)| format!("{name} {}", report.operations));
    let held: Vec<_> = held.collect();
    out.line(&format!("both sides go on; operations that each knows of: {}", held.join(", ")))?;
    cluster.heal_all();
    out.line(&format!("healed: connected after {}", time(cluster.wait_until_connected(DEADLINE).await?)))
}

/// Waits until all others report a node as down.
async fn noticed_down(cluster: &Cluster, node: usize) -> anyhow::Result<Duration> {
    let name = cluster.name(node).clone();
    let down = |reports: &Reports| reports.values().all(|report| !report.sees(&name));
    cluster.wait_until(&format!("{name} is down"), DEADLINE, down).await
}

fn all_but(cluster: &Cluster, node: usize) -> String {
    list(cluster.names().enumerate().filter(|(other, _)| *other != node).map(|(_, name)| name))
}
