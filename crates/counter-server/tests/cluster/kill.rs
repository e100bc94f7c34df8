//! A node that is killed under load.

use std::collections::BTreeMap;
use std::time::Duration;

use counter_chaos::{Client, Cluster, Driver, Plan, Reports, Sent};
use counter_cluster::{REPLICATE_AT_LEAST_EVERY, REPLICATE_EVERY, Total};
use counter_protocol::CounterName;
use fastrand::Rng;
use tokio::time::{Instant, sleep};

use super::setup::{NEVER, alone, cluster};
use super::writer::{Writer, longest_pause};

/// Maximum time without an acknowledgement at the others. It is far more than it takes, for machines that are busy.
const PAUSE_AT_MOST: Duration = Duration::from_secs(1);

const BACK_WITHIN: Duration = Duration::from_secs(5);

/// Time for which replication is watched before a kill, and rounds of it at least.
const WATCHED: Duration = Duration::from_secs(2);
const ROUNDS: usize = 50;

/// Loads of the node that is to be killed, each with the slack of the bound on what is lost, which is twice the longest
/// interval between two arrivals: some rounds where a round is one batch, one of the longest rounds where it is many.
const LOADS: [(&str, Plan, Duration); 4] = {
    let few = REPLICATE_EVERY.saturating_mul(2);
    let endless = Plan { operations: u64::MAX, names: 1_000, seed: 5, at_once: 250, per_second: None };
    [
        ("one operation at a time", Plan { names: 1, at_once: 1, ..endless }, few),
        ("50,000 operations a second on 1,000 names", Plan { per_second: Some(50_000), ..endless }, few),
        ("operations without pause on 1,000 names", endless, few),
        (
            "operations without pause on 100,000 names",
            Plan { names: 100_000, ..endless },
            REPLICATE_AT_LEAST_EVERY,
        ),
    ]
};

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_no_more_than_the_others_were_behind() {
    let _machine = alone().await;
    let mut random = Rng::new();
    for (load, plan, slack) in LOADS {
        let mut cluster = cluster(3, false).await;
        let replica = cluster.node(2).unwrap().replica().unwrap().to_owned();
        let c = cluster.client(2).unwrap();
        let sending = tokio::spawn(async move { Driver::new(plan).run(&c).await });
        let interval = longest_interval(&cluster.client(1).unwrap(), &replica).await;
        // At any moment of a round.
        sleep(interval.mul_f64(random.f64())).await;
        let killed = kill(&mut cluster, 2).await;

        let sent = sending.await.unwrap();
        let held = held_of(&cluster, &replica).await;
        let lost =
            sent.first_lost(&held).map_or(Duration::ZERO, |first| killed.saturating_duration_since(first));
        let bound = 2 * interval + slack;
        println!(
            "{load}: {} of {} operations lost, of the last {lost:?}; bound {bound:?}, as arrivals were up to {interval:?} apart",
            operations_lost(&sent, &held),
            sent.operations(),
        );
        assert!(lost <= bound, "{load}: {lost:?} lost, with a bound of {bound:?}");
    }
}

/// Returns the longest time between two moments at which a peer came to hold more operations of a replica.
async fn longest_interval(peer: &Client, replica: &str) -> Duration {
    let begun = Instant::now();
    let (mut operations, mut arrivals) = (0, Vec::new());
    while arrivals.len() <= ROUNDS || begun.elapsed() < WATCHED {
        assert!(begun.elapsed() < NEVER, "only {} rounds have arrived", arrivals.len());
        let now = peer.report().await.unwrap().operations_of(replica);
        if now > operations {
            operations = now;
            arrivals.push(Instant::now());
        }
        sleep(Duration::from_millis(1)).await;
    }
    arrivals.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap()
}

/// Kills a node, waits until the others have noticed it, and returns the time of the kill.
async fn kill(cluster: &mut Cluster, node: usize) -> Instant {
    let name = cluster.name(node).clone();
    let killed = Instant::now();
    cluster.kill(node).await.unwrap();
    let is_down = |reports: &Reports| reports.values().all(|report| !report.sees(&name));
    cluster.wait_until("it is down", NEVER, is_down).await.unwrap();
    killed
}

/// Returns the counters of the others, once both hold the same operations of a replica.
async fn held_of(cluster: &Cluster, replica: &str) -> BTreeMap<CounterName, Total> {
    let both_know = |reports: &Reports| {
        let mut held = reports.values().map(|report| report.operations_of(replica));
        let first = held.next();
        held.all(|held| Some(held) == first)
    };
    cluster.wait_until("both know the same of it", NEVER, both_know).await.unwrap();
    cluster.client(0).unwrap().everything().await.unwrap().into_iter().collect()
}

fn operations_lost(sent: &Sent, held: &BTreeMap<CounterName, Total>) -> u128 {
    let held: u128 = held.values().map(|total| total.operations).sum();
    u128::from(sent.operations()).saturating_sub(held)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_others_go_on_when_a_node_is_killed_and_it_is_soon_back() {
    let _machine = alone().await;
    let mut cluster = cluster(3, false).await;
    let names = ["from-a", "from-b", "from-c"];
    let start = |node: usize| Writer::start(cluster.client(node).unwrap(), names[node]);
    let (a, b, mut c) = (start(0), start(1), start(2));
    c.acknowledged(1_000).await;
    let (name, replica) = (cluster.name(2).clone(), cluster.node(2).unwrap().replica().unwrap().to_owned());

    let killed = kill(&mut cluster, 2).await;
    println!("a killed node was noticed after {:?}", killed.elapsed());
    let kept = held_of(&cluster, &replica).await[&CounterName::from_static("from-c")].operations;
    let acknowledged = c.finish().await.len() as u128;
    // One more was under way.
    assert!((1..=acknowledged + 1).contains(&kept), "{kept} of {acknowledged}");

    let held = cluster.client(0).unwrap().report().await.unwrap();
    let restarted = Instant::now();
    cluster.restart(2).await.unwrap();
    let is_back = |reports: &Reports| reports[&name].operations >= held.operations;
    cluster.wait_until("c has it all", BACK_WITHIN, is_back).await.unwrap();
    cluster.wait_until_connected(BACK_WITHIN).await.unwrap();
    println!("back {:?} after it was started again", restarted.elapsed());
    assert!(restarted.elapsed() <= BACK_WITHIN);

    for _ in 0..10 {
        cluster.client(2).unwrap().add("from-c", 1).await.unwrap();
    }
    let (a, b) = (a.finish().await, b.finish().await);
    println!("the longest pauses of the others: {:?} and {:?}", longest_pause(&a), longest_pause(&b));
    assert!(longest_pause(&a).max(longest_pause(&b)) <= PAUSE_AT_MOST);
    cluster.wait_until_converged(NEVER).await.unwrap();
    let counted = [a.len() as u128, b.len() as u128, kept + 10];
    let total = |operations: u128| Total { value: operations.cast_signed(), operations };
    let expected = names.map(CounterName::from_static).into_iter().zip(counted.map(total));
    let expected: BTreeMap<_, _> = expected.collect();
    for node in 0..3 {
        let held = cluster.client(node).unwrap().everything().await.unwrap();
        assert_eq!(held.into_iter().collect::<BTreeMap<_, _>>(), expected);
    }
}
