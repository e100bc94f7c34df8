//! The command `counter-chaos`: a cluster on this machine that counts through faults, and is checked.

mod faults;

use std::io::Write;
use std::path::PathBuf;
use std::slice;
use std::time::Duration;

use anyhow::Context;
use ractor_transport::NodeName;
use tokio::time::Instant;

use crate::cluster::{Cluster, ClusterOptions};
use crate::compare::Kept;
use crate::loads::Loads;
use crate::report::Report;
use crate::sent::{Plan, Sent};
use faults::Victims;

/// Time that any change of the cluster's state may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// Time in seconds over which operations are spread by default if there are faults.
const FAULTS_SECONDS: u64 = 20;

/// Number of operations in a load when they are sent as fast as possible.
const AT_ONCE: u64 = 1000;

/// Number of loads that a node gets in a second when there is a rate. With many small ones, little is not acknowledged
/// yet when a node is killed.
const LOADS_PER_SECOND: u64 = 200;

/// Options of [`run`].
#[derive(Clone, Debug)]
pub struct ChaosOptions {
    /// Path of the executable `counter-server`.
    pub program: PathBuf,
    /// Number of nodes.
    pub nodes: usize,
    /// Number of operations on each node.
    pub operations: u64,
    /// Number of names.
    pub names: u64,
    /// Time in seconds over which the operations are spread. By default 20 with faults, and as fast as possible
    /// without.
    pub seconds: Option<u64>,
    /// Cuts off, kills and pauses a node each.
    pub faults: bool,
    /// Seed of the operations and of the nodes that faults happen to.
    pub seed: u64,
}

/// Starts a cluster, counts on all nodes, disturbs them, and checks what they hold. Writes its progress to `out`.
///
/// # Errors
/// If the nodes do not hold exactly what they were sent, anything takes too long, or `out` cannot be written to.
pub async fn run(options: ChaosOptions, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let ChaosOptions { program, nodes, operations, names, seconds, faults, seed } = options;
    let out = &mut Output(out);
    let begun = Instant::now();
    let mut cluster = Cluster::start(ClusterOptions { program, nodes, tls: false, durability: None }).await?;
    let all = list(cluster.names());
    out.line(&format!("{nodes} nodes on this machine: {all} (seed {seed})"))?;
    out.line(&format!("started and connected after {}", time(begun.elapsed())))?;

    let seconds = seconds.or(faults.then_some(FAULTS_SECONDS));
    let per_second = seconds.map(|seconds| (operations / seconds).max(1));
    let at_once = per_second.map_or(AT_ONCE, |rate| (rate / LOADS_PER_SECOND).max(1));
    let pace = seconds.map(|seconds| format!(" in {seconds} s")).unwrap_or_default();
    out.line(&format!("{all} count {operations} operations each on {names} names{pace}"))?;
    let begun = Instant::now();
    let plans = (0..).map(|node| Plan { operations, names, seed: seed + node, at_once, per_second });
    let mut loads = Loads::start(&cluster, plans.take(nodes))?;
    let killed = if faults {
        Some(faults::disturb(&mut cluster, &mut loads, Victims::draw(seed, nodes), out).await?)
    } else {
        None
    };
    let alive = loads.finish().await?;
    out.line(&format!("all is sent after {}", time(begun.elapsed())))?;
    out.line(&format!("all agree after {}", time(cluster.wait_until_converged(DEADLINE).await?)))?;
    table(&cluster, out).await?;
    verdict(&cluster, &alive, killed, out).await
}

/// Prints the totals of each node.
async fn table(cluster: &Cluster, out: &mut Output<'_>) -> anyhow::Result<()> {
    out.line(&format!("\n{:<8} {:>14} {:>14} {:>10}", "node", "operations", "total", "names"))?;
    for (name, Report { counters, value, operations, .. }) in cluster.reports().await? {
        out.line(&format!("{:<8} {operations:>14} {value:>14} {counters:>10}", name.as_str()))?;
    }
    out.line("")
}

/// Compares the counters of each node with the operations that were sent, and prints the result.
async fn verdict(
    cluster: &Cluster,
    alive: &[Sent],
    killed: Option<(usize, Sent)>,
    out: &mut Output<'_>,
) -> anyhow::Result<()> {
    let Some((node, sent)) = killed else {
        cluster.compare(alive, &[]).await?;
        return out.line("exact: just what was sent");
    };
    let Kept { lost, .. } = cluster.compare(alive, slice::from_ref(&sent)).await?;
    let name = cluster.name(node);
    out.line(&format!(
        "{name} was killed: {lost} of its {} acknowledged operations had not been replicated",
        sent.operations()
    ))?;
    out.line("exact: just what was sent, but for those")
}

/// Writer of progress, one line at a time.
struct Output<'a>(&'a mut (dyn Write + Send));

impl Output<'_> {
    fn line(&mut self, line: &str) -> anyhow::Result<()> {
        writeln!(self.0, "{line}").and_then(|()| self.0.flush()).context("failed to write the progress")
    }
}

fn time(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}

/// Joins names for a sentence: `a, b and c`.
fn list<'a>(names: impl Iterator<Item = &'a NodeName>) -> String {
    let names: Vec<_> = names.map(NodeName::as_str).collect();
    match names.as_slice() {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        _ => names.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_joined_with_commas_and_an_and() {
        let list_of = |names: &[&str]| {
            let names: Vec<NodeName> = names.iter().map(|name| name.parse().unwrap()).collect();
            list(names.iter())
        };
        assert_eq!(list_of(&["a"]), "a");
        assert_eq!(list_of(&["a", "b"]), "a and b");
        assert_eq!(list_of(&["a", "b", "c"]), "a, b and c");
    }
}
