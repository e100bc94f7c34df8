//! The `cluster` command: a cluster on this machine that shows what it can take.

mod chaos;

use std::io::{self, Write};
use std::path::PathBuf;
use std::slice;
use std::time::Duration;

use anyhow::Context;
use counter_cluster::{NodeName, Total};
use tokio::time::Instant;

use crate::harness::{Cluster, ClusterOptions, Kept, Loads, Plan, Sent};
use crate::requests::Report;
use chaos::Victims;

/// How long anything may take that takes a moment.
const DEADLINE: Duration = Duration::from_secs(30);

/// How long the operations take under chaos, so that there is something to disturb.
const CHAOS_SECONDS: u64 = 20;

/// How many operations are acknowledged at once when they are sent as fast as possible.
const AT_ONCE: u64 = 1000;

/// When there is a pace, so many loads go to a node in a second: so little is not acknowledged yet when it is killed.
const LOADS_PER_SECOND: u64 = 200;

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program to start nodes with: this one.
    pub program: PathBuf,
    /// How many nodes.
    pub nodes: usize,
    /// How many operations on each.
    pub operations: u64,
    /// Over how many names.
    pub names: u64,
    /// Over how many seconds; as fast as possible if there is no figure, and no chaos.
    pub seconds: Option<u64>,
    /// Whether to cut, kill and stop nodes meanwhile.
    pub chaos: bool,
    /// The operations and the victims.
    pub seed: u64,
}

/// Starts a cluster, counts on all nodes, and checks what they hold. Prints what happens.
///
/// # Errors
/// If the cluster does not hold just what it was sent, or anything takes too long.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let Options { program, nodes, operations, names, seconds, chaos, seed } = options;
    let begun = Instant::now();
    let mut cluster = Cluster::start(ClusterOptions { program, nodes, tls: false }).await?;
    let all = list(cluster.names());
    print(&format!("{nodes} nodes on this machine: {all} (seed {seed})"))?;
    print(&format!("started and connected after {}", time(begun.elapsed())))?;

    let seconds = seconds.or(chaos.then_some(CHAOS_SECONDS));
    let per_second = seconds.map(|seconds| (operations / seconds).max(1));
    let at_once = per_second.map_or(AT_ONCE, |rate| (rate / LOADS_PER_SECOND).max(1));
    let pace = seconds.map(|seconds| format!(" in {seconds} s")).unwrap_or_default();
    print(&format!("{all} count {operations} operations each on {names} names{pace}"))?;
    let begun = Instant::now();
    let plans = (0..).map(|node| Plan { operations, names, seed: seed + node, at_once, per_second });
    let mut loads = Loads::start(&cluster, plans.take(nodes))?;
    let killed = if chaos {
        Some(chaos::disturb(&mut cluster, &mut loads, Victims::draw(seed, nodes)).await?)
    } else {
        None
    };
    let alive = loads.finish().await?;
    print(&format!("all is sent after {}", time(begun.elapsed())))?;
    print(&format!("all agree after {}", time(cluster.settle(DEADLINE).await?)))?;
    table(&cluster).await?;
    verdict(&cluster, &alive, killed).await
}

/// What each node holds in all.
async fn table(cluster: &Cluster) -> anyhow::Result<()> {
    print(&format!("\n{:<8} {:>14} {:>14} {:>10}", "node", "operations", "total", "names"))?;
    for (name, Report { names, total: Total { value, operations }, .. }) in cluster.reports().await? {
        print(&format!("{:<8} {operations:>14} {value:>14} {names:>10}", name.as_str()))?;
    }
    print("")
}

/// Compares name by name on each node with what was sent, which is worked out anew.
async fn verdict(cluster: &Cluster, alive: &[Sent], killed: Option<(usize, Sent)>) -> anyhow::Result<()> {
    let Some((node, sent)) = killed else {
        cluster.compare(alive, &[]).await?;
        return print("exact: just what was sent");
    };
    let Kept { lost, .. } = cluster.compare(alive, slice::from_ref(&sent)).await?;
    let name = cluster.name(node);
    print(&format!(
        "{name} was killed: {lost} of its {} acknowledged operations had not been replicated",
        sent.operations()
    ))?;
    print("exact: just what was sent, but for those")
}

fn print(line: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("failed to write to the standard output")
}

fn time(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}

/// As one says it: `a, b and c`.
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
    fn names_are_listed_as_one_says_it() {
        let list_of = |names: &[&str]| {
            let names: Vec<NodeName> = names.iter().map(|name| name.parse().unwrap()).collect();
            list(names.iter())
        };
        assert_eq!(list_of(&["a"]), "a");
        assert_eq!(list_of(&["a", "b"]), "a and b");
        assert_eq!(list_of(&["a", "b", "c"]), "a, b and c");
    }
}
