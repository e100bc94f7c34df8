//! Nodes that keep what they count: killed, restored, cloned and rolled back.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use counter_chaos::{Cluster, Launch, NodeProcess, Reports};
use counter_cluster::Total;
use counter_protocol::CounterName;
use fastrand::Rng;
use nix::sys::signal::Signal;
use tcp_proxy::TcpProxy;
use tokio::time::{Instant, sleep, timeout};

use super::setup::{NEVER, durable_cluster, shared};
use super::writer::Writer;

/// Interval between two looks at a node.
const POLL: Duration = Duration::from_millis(5);

/// Copies a data directory that no process has open.
fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap().map(Result::unwrap) {
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// Counts on a node, one operation at a time, each of which is acknowledged.
async fn count(cluster: &Cluster, node: usize, operations: usize) {
    let client = cluster.client(node).unwrap();
    for _ in 0..operations {
        client.add("hits", 1).await.unwrap();
    }
}

async fn restart_all(cluster: &mut Cluster, nodes: &[usize]) {
    for &node in nodes {
        cluster.restart(node).await.unwrap();
    }
    cluster.wait_until_connected(NEVER).await.unwrap();
    cluster.wait_until_converged(NEVER).await.unwrap();
}

/// Checks that all nodes have counted this, without forks or alarms.
async fn assert_hits(cluster: &Cluster, nodes: usize, hits: i128) {
    for node in 0..nodes {
        let client = cluster.client(node).unwrap();
        assert_eq!(client.fresh_value("hits").await.unwrap().value, hits, "node {node}");
        let report = client.report().await.unwrap();
        assert_eq!((report.has_forks(), report.alarm), (false, None), "node {node}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_all_nodes_are_killed_at_once() {
    let _machine = shared().await;
    let mut random = Rng::new();
    let mut cluster = durable_cluster(3, "fsync").await;
    let names = ["from-a", "from-b", "from-c"];
    let mut bounds = [(0, 0); 3];
    for round in 0..4 {
        let start = |node: usize| Writer::start(cluster.client(node).unwrap(), names[node]);
        let mut writers = [start(0), start(1), start(2)];
        for writer in &mut writers {
            writer.acknowledged(random.usize(20..200)).await;
        }
        for node in 0..3 {
            cluster.kill(node).await.unwrap();
        }
        for (writer, (least, most)) in writers.into_iter().zip(&mut bounds) {
            let acknowledged = writer.finish().await.len() as u128;
            *least += acknowledged;
            // One more was under way.
            *most += acknowledged + 1;
        }
        restart_all(&mut cluster, &[0, 1, 2]).await;
        let held: BTreeMap<_, _> =
            cluster.client(0).unwrap().everything().await.unwrap().into_iter().collect();
        for (name, (least, most)) in names.into_iter().zip(&mut bounds) {
            let Total { value, operations } = held[&CounterName::from_static(name)];
            assert!(
                (*least..=*most).contains(&operations),
                "round {round}: {operations} of {least} to {most}"
            );
            assert_eq!(value, operations.cast_signed());
            (*least, *most) = (operations, operations);
        }
    }
}

/// Faults of durable nodes, over and over.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill(usize),
    KillAll,
    /// Cut off from the others until the next fault.
    Isolate(usize),
    /// Killed when all agree, and restarted from the backup of an earlier kill.
    Restore(usize),
}

/// Counts on all nodes while a fault happens, and adds what has to be held of each to the bounds.
async fn count_through(cluster: &mut Cluster, fault: Fault, bounds: &mut [(u128, u128)], random: &mut Rng) {
    cluster.heal_all();
    if let Fault::Restore(_) = fault {
        cluster.wait_until_converged(NEVER).await.unwrap();
    }
    let is_restore = matches!(fault, Fault::Restore(_));
    let mut writers = Vec::new();
    for node in (0..3).filter(|_| !is_restore) {
        let mut writer = Writer::start(cluster.client(node).unwrap(), &format!("from-{node}"));
        writer.acknowledged(random.usize(1..50)).await;
        writers.push((node, writer));
    }
    let killed = match fault {
        Fault::Kill(node) | Fault::Restore(node) => vec![node],
        Fault::KillAll => vec![0, 1, 2],
        Fault::Isolate(node) => {
            cluster.isolate(node);
            Vec::new()
        }
    };
    for &node in &killed {
        cluster.kill(node).await.unwrap();
    }
    for (node, writer) in writers {
        let acknowledged = writer.finish().await.len() as u128;
        bounds[node].0 += acknowledged;
        // One more may have been under way.
        bounds[node].1 += acknowledged + 1;
    }
    for &node in &killed {
        let backup = cluster.directory().join(format!("{node}.backup"));
        if is_restore && backup.exists() {
            copy(&backup, &cluster.data(node));
        } else {
            copy(&cluster.data(node), &backup);
        }
        cluster.restart(node).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_kills_cuts_and_backups_lose_nothing_acknowledged_and_count_nothing_twice() {
    let _machine = shared().await;
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = Rng::with_seed(seed);
    let mut cluster = durable_cluster(3, "fsync").await;
    let mut bounds = [(0, 0); 3];
    for _ in 0..16 {
        let node = random.usize(..3);
        let faults = [Fault::Kill(node), Fault::KillAll, Fault::Isolate(node), Fault::Restore(node)];
        let fault = random.choice(faults).unwrap();
        println!("{fault:?}");
        count_through(&mut cluster, fault, &mut bounds, &mut random).await;
    }
    cluster.heal_all();
    cluster.wait_until_connected(NEVER).await.unwrap();
    cluster.wait_until_converged(NEVER).await.unwrap();
    for node in 0..3 {
        let all = cluster.client(node).unwrap().everything().await.unwrap();
        let held: BTreeMap<_, _> = all.into_iter().collect();
        for (of, (least, most)) in bounds.iter().enumerate() {
            let name = CounterName::new(&*format!("from-{of}")).unwrap();
            let Total { value, operations } = held.get(&name).copied().unwrap_or_default();
            assert!((*least..=*most).contains(&operations), "{name}: {operations} of {least} to {most}");
            assert_eq!(value, operations.cast_signed(), "{name}");
        }
        assert!(!cluster.client(node).unwrap().report().await.unwrap().has_forks());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_two_others_have_committed_survives_the_loss_of_a_node_with_its_disk_and_their_restart() {
    let _machine = shared().await;
    let mut cluster = durable_cluster(3, "replicated=2").await;
    let mut writer = Writer::start(cluster.client(2).unwrap(), "hits");
    writer.acknowledged(100).await;
    for node in [2, 0, 1] {
        cluster.kill(node).await.unwrap();
    }
    let acknowledged = writer.finish().await.len() as u128;
    fs::remove_dir_all(cluster.data(2)).unwrap();
    restart_all(&mut cluster, &[0, 1, 2]).await;
    let held = cluster.client(2).unwrap().fresh_value("hits").await.unwrap().operations;
    assert!((acknowledged..=acknowledged + 1).contains(&held), "{held} of {acknowledged}");
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_that_cannot_be_made_are_refused_at_once() {
    let _machine = shared().await;
    let mut cluster = durable_cluster(2, "replicated=1").await;
    count(&cluster, 0, 3).await;
    let name = cluster.name(1).clone();
    cluster.kill(1).await.unwrap();
    let is_down = |reports: &Reports| reports.values().all(|report| !report.sees(&name));
    cluster.wait_until("it is down", NEVER, is_down).await.unwrap();
    let refused = cluster.client(0).unwrap().add("hits", 1).await.unwrap_err().to_string();
    assert!(refused.contains("1 other nodes are to hold it, and 0 are connected"), "{refused}");
    restart_all(&mut cluster, &[1]).await;
    assert_hits(&cluster, 2, 3).await;
}

/// Returns a cluster that has counted 50 operations on its first node, which is down, and the copy of that node's
/// directory from when there were 20.
async fn cluster_with_old_backup(nodes: usize) -> (Cluster, PathBuf) {
    let mut cluster = durable_cluster(nodes, "fsync").await;
    let backup = cluster.directory().join("backup");
    count(&cluster, 0, 20).await;
    cluster.kill(0).await.unwrap();
    copy(&cluster.data(0), &backup);
    restart_all(&mut cluster, &[0]).await;
    count(&cluster, 0, 30).await;
    cluster.wait_until_converged(NEVER).await.unwrap();
    cluster.kill(0).await.unwrap();
    (cluster, backup)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_restored_from_a_backup_counts_on_and_all_totals_are_exact() {
    let _machine = shared().await;
    let (mut cluster, backup) = cluster_with_old_backup(3).await;
    copy(&backup, &cluster.data(0));
    restart_all(&mut cluster, &[0]).await;
    count(&cluster, 0, 5).await;
    count(&cluster, 1, 7).await;
    assert_hits(&cluster, 3, 62).await;
    // Once more, from the same backup, while another node is down.
    cluster.kill(0).await.unwrap();
    cluster.kill(2).await.unwrap();
    copy(&backup, &cluster.data(0));
    restart_all(&mut cluster, &[0, 2]).await;
    assert_hits(&cluster, 3, 62).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloned_directory_is_another_replica_and_nothing_is_counted_twice() {
    let _machine = shared().await;
    let mut cluster = durable_cluster(2, "fsync").await;
    count(&cluster, 0, 20).await;
    cluster.kill(0).await.unwrap();
    let data = cluster.directory().join("clone.data");
    copy(&cluster.data(0), &data);
    restart_all(&mut cluster, &[0]).await;
    let peers = vec![cluster.node(0).unwrap().address(), cluster.node(1).unwrap().address()];
    let arguments = ["--data", data.to_str().unwrap(), "--durability", "fsync"].map(String::from).to_vec();
    let log = cluster.directory().join("clone.log");
    let launch =
        Launch { name: "clone".parse().unwrap(), peers, log, arguments, ..cluster.launch(0).clone() };
    let clone = NodeProcess::start(&launch).await.unwrap();
    count(&cluster, 0, 3).await;
    for _ in 0..4 {
        clone.client().add("hits", 1).await.unwrap();
    }
    let deadline = Instant::now() + NEVER;
    while clone.client().report().await.unwrap().connected().count() < 2 {
        assert!(Instant::now() < deadline, "the clone is not connected");
        sleep(POLL).await;
    }
    assert_eq!(clone.client().fresh_value("hits").await.unwrap().value, 27);
    assert_hits(&cluster, 2, 27).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_has_lost_its_last_seconds_is_refused_and_then_made_good_by_the_others() {
    let _machine = shared().await;
    let (mut cluster, backup) = cluster_with_old_backup(2).await;
    // Everything is as it was then, but for the watermark.
    let watermark = fs::read(cluster.data(0).join("watermark")).unwrap();
    copy(&backup, &cluster.data(0));
    fs::write(cluster.data(0).join("watermark"), watermark).unwrap();
    let refused = format!("{:#}", cluster.restart(0).await.unwrap_err());
    assert!(refused.contains("store damaged: log ends at frame"), "{refused}");
    cluster.launch_mut(0).arguments.push("--accept-loss".to_owned());
    restart_all(&mut cluster, &[0]).await;
    count(&cluster, 0, 5).await;
    assert_hits(&cluster, 2, 55).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_counted_while_a_node_was_down_reaches_it_though_the_others_were_restarted() {
    let _machine = shared().await;
    let mut cluster = durable_cluster(3, "fsync").await;
    count(&cluster, 2, 5).await;
    cluster.kill(2).await.unwrap();
    count(&cluster, 0, 10).await;
    count(&cluster, 1, 10).await;
    cluster.kill(0).await.unwrap();
    cluster.kill(1).await.unwrap();
    restart_all(&mut cluster, &[2, 1, 0]).await;
    // Of what c has counted, nobody else had to hold anything.
    assert_hits(&cluster, 3, 25).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_has_forgotten_its_members_stops_with_a_choice() {
    let _machine = shared().await;
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    ractor_transport::Cookie::generate().write_new(path("cookie")).unwrap();
    let launch = |name: &str, peers: Vec<SocketAddr>| Launch {
        program: env!("CARGO_BIN_EXE_counter-server").into(),
        name: name.parse().unwrap(),
        cookie: path("cookie"),
        tls: None,
        peers,
        log: path(&format!("{name}.log")),
        arguments: ["--data", path(&format!("{name}.data")).to_str().unwrap(), "--durability", "fsync"]
            .map(String::from)
            .to_vec(),
    };
    // Before it has peers.
    let a = NodeProcess::start(&launch("a", Vec::new())).await.unwrap();
    a.client().add("hits", 1).await.unwrap();
    kill(a).await;
    copy(&path("a.data"), &path("backup"));

    let proxy = TcpProxy::start().await.unwrap();
    let b = NodeProcess::start(&launch("b", vec![proxy.address()])).await.unwrap();
    for hits in 2..=4 {
        let a = NodeProcess::start(&launch("a", vec![b.address()])).await.unwrap();
        proxy.set_target(a.address());
        a.client().add("hits", 1).await.unwrap();
        wait_for_hits(&b, hits).await;
        kill(a).await;
        wait_until_alone(&b).await;
    }
    copy(&path("backup"), &path("a.data"));
    let rolled_back = launch("a", vec![b.address()]);
    let status = ended(&rolled_back).await;
    let log = fs::read_to_string(path("a.log")).unwrap();
    assert_eq!(status.code(), Some(1), "{log}");
    let line = "store has been rolled back: it does not know b, which it has replicated with; \
                restore the latest directory, or accept it with --accept-rollback";
    assert!(log.contains(line), "{log}");
    let mut accepting = launch("a", vec![b.address()]);
    accepting.arguments.push("--accept-rollback".to_owned());
    let a = NodeProcess::start(&accepting).await.unwrap();
    proxy.set_target(a.address());
    a.client().add("hits", 1).await.unwrap();
    wait_for_hits(&a, 5).await;
    wait_for_hits(&b, 5).await;
}

/// Starts a server that ends by itself, perhaps before it is ready.
async fn ended(launch: &Launch) -> ExitStatus {
    let mut child = launch.command().unwrap().spawn().unwrap();
    timeout(NEVER, child.wait()).await.expect("it ends").unwrap()
}

/// Kills a node, and waits until it has ended.
async fn kill(mut node: NodeProcess) {
    node.signal(Signal::SIGKILL).unwrap();
    node.ended(NEVER).await.unwrap();
}

async fn wait_for_hits(node: &NodeProcess, hits: i128) {
    let deadline = Instant::now() + NEVER;
    let value = async || node.client().value("hits").await.unwrap().value;
    while value().await != hits {
        assert!(Instant::now() < deadline, "{} instead of {hits}", value().await);
        sleep(POLL).await;
    }
}

/// Waits until a node sees no other.
async fn wait_until_alone(node: &NodeProcess) {
    let deadline = Instant::now() + NEVER;
    while node.client().report().await.unwrap().connected().count() > 0 {
        assert!(Instant::now() < deadline, "a peer is still there");
        sleep(POLL).await;
    }
}
