//! Nodes that are cut off or paused, and go on.

use std::time::Duration;

use counter_chaos::Plan;
use tokio::time::timeout;

use super::setup::{NEVER, alone, cluster, plan, send, sent, shared};

/// Time within which a silent node is reported as down.
const NOTICED_WITHIN: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_of_a_partition_go_on_and_agree_after_it() {
    let _machine = shared().await;
    let cluster = cluster(3, false).await;
    let clients: Vec<_> = (0..3).map(|node| cluster.client(node).unwrap()).collect();
    let load =
        |from: u64| clients.iter().zip(from..).map(|(node, seed)| send(node.clone(), plan(5_000, seed)));
    let mut all = sent(load(10).collect::<Vec<_>>()).await;
    cluster.wait_until_converged(NEVER).await.unwrap();

    cluster.isolate(2);
    let apart = timeout(NEVER, sent(load(20).collect::<Vec<_>>())).await.unwrap();
    assert!(apart.iter().all(|sent| sent.operations() == 5_000));
    all.extend(apart);
    // One side holds all but what the other has counted meanwhile, and the other way round.
    let sides = [("a", 25_000), ("b", 25_000), ("c", 20_000)];
    let each_side = cluster.wait_until("each side holds its own", NEVER, |reports| {
        sides.iter().all(|(name, operations)| {
            let report = reports.iter().find(|(node, _)| node.as_str() == *name);
            report.is_some_and(|(_, report)| report.operations == *operations)
        })
    });
    each_side.await.unwrap();

    cluster.heal_all();
    let took = cluster.wait_until_converged(NEVER).await.unwrap();
    println!("all agree {took:?} after the wires were healed");
    cluster.compare(&all, &[]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_node_is_named_down_in_time_and_catches_up() {
    let _machine = alone().await;
    let mut cluster = cluster(3, false).await;
    let plan = |seed| Plan { at_once: 20, per_second: Some(2_000), ..plan(24_000, seed) };
    let sending: Vec<_> =
        (0..3).map(|node| send(cluster.client(node).unwrap(), plan(30 + node as u64))).collect();
    cluster
        .wait_until("all count", NEVER, |reports| reports.values().all(|report| report.operations > 500))
        .await
        .unwrap();

    cluster.pause(2).await.unwrap();
    let stopped = cluster.name(2).clone();
    let before = cluster.reports().await.unwrap();
    let is_down = cluster.wait_until("it is down", NOTICED_WITHIN, |reports| {
        reports.values().all(|report| !report.sees(&stopped))
    });
    println!("a stopped node was noticed after {:?}", is_down.await.unwrap());
    // It might have counted something.
    let fresh = cluster.client(0).unwrap().fresh_value_within("key-0000", 200).await.unwrap();
    assert_eq!(fresh, None);
    let after = cluster.reports().await.unwrap();
    assert!(before.iter().all(|(name, report)| report.operations < after[name].operations));

    cluster.resume(2).unwrap();
    println!("it was connected again after {:?}", cluster.wait_until_connected(NEVER).await.unwrap());
    let sent = sent(sending).await;
    println!("all agree {:?} after the load", cluster.wait_until_converged(NEVER).await.unwrap());
    cluster.compare(&sent, &[]).await.unwrap();
}
