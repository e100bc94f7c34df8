//! What can happen to a cluster, one thing after another.

use std::time::Duration;

use fastrand::Rng;
use tokio::time::{Instant, sleep};

use super::{DEADLINE, list, print, time};
use crate::harness::{Cluster, Loads, Reports, Sent};

/// How long a node is cut off, and how long all goes well before the next thing happens.
const APART: Duration = Duration::from_secs(2);

/// Which node each thing happens to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Victims {
    cut: usize,
    killed: usize,
    stopped: usize,
}

impl Victims {
    pub(super) fn draw(seed: u64, nodes: usize) -> Self {
        let mut random = Rng::with_seed(seed);
        Self { cut: random.usize(..nodes), killed: random.usize(..nodes), stopped: random.usize(..nodes) }
    }
}

/// Cuts a node off and heals the wires, kills one and starts it again, stops one until the others notice. Returns what
/// was sent to the one that was killed.
pub(super) async fn disturb(
    cluster: &mut Cluster,
    loads: &mut Loads,
    Victims { cut, killed, stopped }: Victims,
) -> anyhow::Result<(usize, Sent)> {
    sleep(APART).await;
    apart(cluster, cut).await?;
    // What it counted meanwhile reaches the others first: what a kill loses is another question.
    sleep(APART).await;

    let (name, others) = (cluster.name(killed).clone(), all_but(cluster, killed));
    cluster.kill(killed).await?;
    let sent = loads.ended(killed).await?;
    print(&format!("killed: {name}, by SIGKILL"))?;
    let noticed = noticed_down(cluster, killed).await?;
    print(&format!("{others} go on, and name it down after {}", time(noticed)))?;
    let begun = Instant::now();
    cluster.restart(killed).await?;
    cluster.connected(DEADLINE).await?;
    print(&format!("restarted: {name}; connected after {}", time(begun.elapsed())))?;
    loads.resume(killed, cluster.client(killed)?);
    sleep(APART).await;

    let name = cluster.name(stopped).clone();
    cluster.stop(stopped)?;
    print(&format!("stopped: {name}, by SIGSTOP"))?;
    let noticed = noticed_down(cluster, stopped).await?;
    print(&format!("{} go on, and name it down after {}", all_but(cluster, stopped), time(noticed)))?;
    cluster.resume(stopped)?;
    let back = cluster.connected(DEADLINE).await?;
    print(&format!("continued: {name}; connected after {}", time(back)))?;
    Ok((killed, sent))
}

async fn apart(cluster: &Cluster, node: usize) -> anyhow::Result<()> {
    cluster.isolate(node);
    print(&format!("cut: {} | {}", cluster.name(node), all_but(cluster, node)))?;
    sleep(APART).await;
    let reports = cluster.reports().await?;
    let held = reports.iter().map(|(name, report)| format!("{name} {}", report.total.operations));
    let held: Vec<_> = held.collect();
    print(&format!("both sides go on; operations that each knows of: {}", held.join(", ")))?;
    cluster.heal_all();
    print(&format!("healed: connected after {}", time(cluster.connected(DEADLINE).await?)))
}

/// Waits until all others name a node down.
async fn noticed_down(cluster: &Cluster, node: usize) -> anyhow::Result<Duration> {
    let name = cluster.name(node).clone();
    let down = |reports: &Reports| reports.values().all(|report| !report.sees(&name));
    cluster.until(&format!("{name} is down"), DEADLINE, down).await
}

fn all_but(cluster: &Cluster, node: usize) -> String {
    list(cluster.names().enumerate().filter(|(other, _)| *other != node).map(|(_, name)| name))
}
