//! Nodes without faults.

use std::time::Duration;

use super::setup::{NEVER, alone, cluster, plan, send, sent, shared};
use super::writer::Writer;

#[tokio::test(flavor = "multi_thread")]
async fn after_a_load_on_each_of_three_all_hold_the_exact_totals_within_a_second() {
    let _machine = alone().await;
    let cluster = cluster(3, false).await;
    let sending: Vec<_> =
        (0..3).map(|node| send(cluster.client(node).unwrap(), plan(50_000, 1 + node as u64))).collect();
    let sent = sent(sending).await;
    let took = cluster.wait_until_converged(Duration::from_secs(1)).await.unwrap();
    println!("all agree {took:?} after the load");
    cluster.compare(&sent, &[]).await.unwrap();
    for report in cluster.reports().await.unwrap().values() {
        assert_eq!((report.operations, report.counters), (150_000, 200));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_told_to_go_hands_over_what_it_has_counted() {
    let _machine = shared().await;
    let mut cluster = cluster(3, false).await;
    let leaving = cluster.client(2).unwrap();
    let names = ["w", "x", "y", "z"];
    let mut writers = names.map(|name| Writer::start(leaving.clone(), name));
    for writer in &mut writers {
        writer.acknowledged(300).await;
    }
    let status = cluster.terminate(2).await.unwrap();
    assert_eq!(status.code(), Some(0));
    for (name, writer) in names.into_iter().zip(writers) {
        let acknowledged = writer.finish().await.len() as u128;
        for node in 0..2 {
            // The node is gone for good, so a fresh reading would miss it.
            let total = cluster.client(node).unwrap().value(name).await.unwrap();
            // One more was under way.
            assert!(
                (acknowledged..=acknowledged + 1).contains(&total.operations),
                "{total:?}: {acknowledged}"
            );
        }
    }
    cluster.wait_until_converged(NEVER).await.unwrap();
}
