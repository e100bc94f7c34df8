//! A node that is killed under load.

use std::collections::BTreeMap;
use std::time::Duration;

use counter_cluster::Total;
use counter_node::harness::{Cluster, Reports};
use counter_protocol::CounterName;
use tokio::time::Instant;

use super::setup::{NEVER, alone, cluster};
use super::writer::{Writer, longest_pause};

/// What was acknowledged so long before the kill must not be lost. It is far more than it takes, for machines that have
/// other things to do.
const LOST_AT_MOST: Duration = Duration::from_millis(500);

/// What the others may do without an acknowledgement. Far more than it takes, too.
const PAUSE_AT_MOST: Duration = Duration::from_secs(1);

const BACK_WITHIN: Duration = Duration::from_secs(5);

/// What the node that is to be killed has counted, as another node knows it.
fn of_c(reports: &Reports, node: &str) -> Total {
    let report = reports.iter().find(|(name, _)| name.as_str() == node).map(|(_, report)| report);
    let replicas = report.into_iter().flat_map(|report| &report.replicas);
    replicas.filter(|(id, _)| id.starts_with("c#")).map(|(_, total)| *total).next().unwrap_or_default()
}

async fn kept_by_both(cluster: &Cluster) -> usize {
    let both_know = |reports: &Reports| of_c(reports, "a") == of_c(reports, "b");
    // What only one of them got, it passes on.
    cluster.until("both know the same of c", NEVER, both_know).await.expect("they tell each other");
    let operations = of_c(&cluster.reports().await.expect("they run"), "a").operations;
    usize::try_from(operations).expect("it is a small number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_node_loses_only_its_last_moment_and_is_soon_back() {
    let _machine = alone().await;
    let mut cluster = cluster(3, false).await;
    let names = ["from-a", "from-b", "from-c"];
    let start = |node: usize| Writer::start(cluster.client(node).unwrap(), names[node]);
    let (a, b, mut c) = (start(0), start(1), start(2));
    c.acknowledged(1_000).await;

    let killed = Instant::now();
    cluster.kill(2).await.unwrap();
    let name = cluster.name(2).clone();
    let is_down = |reports: &Reports| reports.values().all(|report| !report.sees(&name));
    cluster.until("c is down", NEVER, is_down).await.unwrap();
    println!("a killed node was noticed after {:?}", killed.elapsed());

    let kept = kept_by_both(&cluster).await;
    let acknowledged = c.finish().await;
    let before = acknowledged.iter().take_while(|&&time| time < killed).count();
    // With one writer, what is lost is what came last.
    let lost = acknowledged[..before].get(kept).map(|&first| killed - first).unwrap_or_default();
    println!("lost: the last {} of {before} operations, {lost:?}", before.saturating_sub(kept));
    assert!(kept > 0 && lost <= LOST_AT_MOST, "{lost:?}");

    let held = cluster.client(0).unwrap().standing().await.unwrap().total;
    let restarted = Instant::now();
    cluster.restart(2).await.unwrap();
    let is_back = |reports: &Reports| reports[&name].total.operations >= held.operations;
    cluster.until("c has it all", BACK_WITHIN, is_back).await.unwrap();
    cluster.connected(BACK_WITHIN).await.unwrap();
    println!("back {:?} after it was started again", restarted.elapsed());
    assert!(restarted.elapsed() <= BACK_WITHIN);

    for _ in 0..10 {
        cluster.client(2).unwrap().add("from-c", 1).await.unwrap();
    }
    let (a, b) = (a.finish().await, b.finish().await);
    println!("the longest pauses of the others: {:?} and {:?}", longest_pause(&a), longest_pause(&b));
    assert!(longest_pause(&a).max(longest_pause(&b)) <= PAUSE_AT_MOST);
    cluster.settle(NEVER).await.unwrap();
    let total = |operations: usize| Total { value: operations as i128, operations: operations as u128 };
    let expected =
        names.map(CounterName::from_static).into_iter().zip([a.len(), b.len(), kept + 10].map(total));
    let expected: BTreeMap<_, _> = expected.collect();
    for node in 0..3 {
        let held = cluster.client(node).unwrap().everything().await.unwrap();
        assert_eq!(held.into_iter().collect::<BTreeMap<_, _>>(), expected);
    }
}
