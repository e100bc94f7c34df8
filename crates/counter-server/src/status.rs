//! Status of a server at a moment, for operators.

use std::sync::Arc;
use std::time::Duration;

use counter_cluster::{ClusterStatus, PeerStatus};
use counter_keyspace::Page;
use counter_protocol::AggregatedStats;
use serde::Serialize;
use tokio::sync::broadcast::Receiver;
use tokio::time::{Instant, sleep, timeout};

use crate::counters::{Counters, CountersError, Durability, TopicCounters, TopicStatus, of_cluster};
use crate::on_demand::Publisher;
use crate::pace::Pace;
use crate::service::{Service, ServiceState};
use crate::telemetry::{FrontEnd, Protocol};

/// Time between two samples.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// Number of largest counters in a sample.
const TOP_COUNTERS: usize = 20;

/// Number of samples that a watcher may be behind before it misses some.
const SAMPLES_BEHIND: usize = 2;

/// Time to wait for a commit whose duration is measured.
const COMMIT_DEADLINE: Duration = Duration::from_secs(2);

/// State of a server.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Status {
    pub(crate) version: &'static str,
    pub(crate) state: &'static str,
    pub(crate) uptime_ms: u64,
    pub(crate) totals: Totals,
    pub(crate) front_ends: Vec<FrontEndStatus>,
    pub(crate) shards: Vec<Totals>,
    /// Time that a question has waited for the slowest shard.
    pub(crate) shard_delay_ms: f64,
    /// Batches that have been sent and not been answered yet.
    pub(crate) batches_waiting: u64,
    /// `None` if counters are in memory only.
    pub(crate) store: Option<StoreStatus>,
    /// `None` if there are no other nodes.
    pub(crate) cluster: Option<Cluster>,
    /// `None` if counters follow no topic.
    pub(crate) topic: Option<TopicStatus>,
    /// Memory of the process, where the system tells it.
    pub(crate) resident_bytes: Option<u64>,
}

/// Totals of a shard, or of all.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Totals {
    pub(crate) counters: u64,
    pub(crate) value: i128,
    /// Operations of the counters that exist.
    pub(crate) operations: u128,
    pub(crate) rejected_operations: u128,
    pub(crate) restarts: u128,
}

/// Work of a front end so far.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct FrontEndStatus {
    pub(crate) name: &'static str,
    pub(crate) connections: i64,
    pub(crate) accepted: u64,
    pub(crate) turned_away: u64,
    pub(crate) requests: u64,
    pub(crate) rejected: u64,
}

/// Lag of a store.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct StoreStatus {
    /// Time in which what had been counted became durable. `None` if that took too long.
    pub(crate) commit_lag_ms: Option<f64>,
    /// Messages to shards that were not durable yet.
    pub(crate) uncommitted: u64,
    pub(crate) rounds: u64,
    pub(crate) failures: u64,
    pub(crate) is_failed: bool,
}

/// Cluster, as far as it is known here.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cluster {
    /// Other nodes that are or were connected.
    pub(crate) nodes: Vec<NodeStatus>,
    /// Incarnations of nodes that have counted.
    pub(crate) replicas: u64,
    /// Incarnations that two processes have counted as.
    pub(crate) forks: u64,
    /// Entries that were refused because there are too many incarnations.
    pub(crate) refused: u64,
}

/// Other node.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct NodeStatus {
    pub(crate) name: String,
    pub(crate) is_up: bool,
    /// Time since it was last heard from.
    pub(crate) last_heard_ms: f64,
    /// Counters whose latest counts it has yet to acknowledge.
    pub(crate) lag: u64,
}

/// State of a server, with its largest counters.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) status: Status,
    /// The same as in the sample before, unless they have been looked for since.
    pub(crate) top: Arc<Page>,
}

impl Status {
    pub(crate) async fn take(service: &Service, counters: &Counters) -> Result<Self, CountersError> {
        let asked = Instant::now();
        let shards = counters.shard_stats().await?;
        let shard_delay_ms = millis(asked.elapsed());
        let mut totals: AggregatedStats = shards.iter().cloned().collect();
        let cluster = counters.cluster_status().await?;
        if let Some(cluster) = &cluster {
            totals = of_cluster(totals, cluster);
        }
        Ok(Self {
            version: env!("CARGO_PKG_VERSION"),
            state: state_name(service.state()),
            uptime_ms: u64::try_from(service.uptime().as_millis()).unwrap_or(u64::MAX),
            totals: Totals::of(&totals),
            front_ends: Protocol::ALL.map(|protocol| FrontEndStatus::of(service, protocol)).into(),
            shards: shards.iter().map(Totals::of).collect(),
            shard_delay_ms,
            batches_waiting: counters.batches_waiting(),
            store: StoreStatus::take(counters).await?,
            cluster: cluster.map(Cluster::from),
            topic: counters.topic().map(TopicCounters::status),
            resident_bytes: resident_bytes(),
        })
    }
}

impl Totals {
    fn of(stats: &AggregatedStats) -> Self {
        Self {
            counters: stats.num_counters,
            value: stats.total_value,
            operations: stats.total_operations,
            rejected_operations: stats.rejected_operations,
            restarts: stats.restarts,
        }
    }
}

impl FrontEndStatus {
    fn of(service: &Service, protocol: Protocol) -> Self {
        let (telemetry, label) = (service.telemetry(), FrontEnd { front_end: protocol });
        Self {
            name: protocol.name(),
            connections: telemetry.connections.get_or_create(&label).get(),
            accepted: telemetry.accepted.get_or_create(&label).get(),
            turned_away: telemetry.turned_away.get_or_create(&label).get(),
            requests: telemetry.requests.get_or_create(&label).get(),
            rejected: telemetry.rejected.get_or_create(&label).get(),
        }
    }
}

impl StoreStatus {
    /// Measures how long it takes until everything that has been counted is durable.
    async fn take(counters: &Counters) -> Result<Option<Self>, CountersError> {
        let Some(committed) = counters.committed() else { return Ok(None) };
        let versions = counters.versions().await?;
        let committed = committed.borrow().clone();
        let durable = committed.versions.iter().chain(std::iter::repeat(&0));
        let uncommitted =
            versions.iter().zip(durable).map(|(version, durable)| version.saturating_sub(*durable));
        let uncommitted = uncommitted.sum();
        let asked = Instant::now();
        let flushed = timeout(COMMIT_DEADLINE, counters.flush(Durability::Fsync)).await;
        Ok(Some(Self {
            commit_lag_ms: matches!(flushed, Ok(Ok(()))).then(|| millis(asked.elapsed())),
            uncommitted,
            rounds: committed.rounds,
            failures: committed.failures,
            is_failed: committed.is_failed,
        }))
    }
}

impl From<ClusterStatus> for Cluster {
    fn from(status: ClusterStatus) -> Self {
        Self {
            nodes: status.peers.into_iter().map(NodeStatus::from).collect(),
            replicas: status.replicas.len() as u64,
            forks: status.forks.len() as u64,
            refused: status.refused,
        }
    }
}

impl From<PeerStatus> for NodeStatus {
    fn from(peer: PeerStatus) -> Self {
        Self {
            name: peer.node.to_string(),
            is_up: peer.is_up,
            last_heard_ms: millis(peer.last_heard_from),
            lag: peer.lag as u64,
        }
    }
}

/// Returns samples from now on, which are taken once for all who watch.
pub(crate) async fn watch(
    service: &Service,
    counters: &Counters,
) -> Result<Receiver<Arc<Sample>>, CountersError> {
    let (of_task, counters) = (service.clone(), counters.clone());
    let run = |(), publisher| sample(of_task, counters, publisher);
    service.samples().subscribe(SAMPLES_BEHIND, std::future::ready(Ok(())), run).await
}

async fn sample(service: Service, counters: Counters, publisher: Publisher<Arc<Sample>>) {
    let (mut pace, mut top) = (Pace::default(), Arc::default());
    while publisher.is_wanted().await && service.state() == ServiceState::Ready {
        let began = Instant::now();
        if pace.allows(began) {
            let Ok(largest) = counters.top(TOP_COUNTERS).await else { return };
            top = Arc::new(largest);
            pace.ran(began, Instant::now());
        }
        let Ok(status) = Status::take(&service, &counters).await else { return };
        publisher.publish(Arc::new(Sample { status, top: Arc::clone(&top) }));
        tokio::select! {
            () = sleep(SAMPLE_INTERVAL) => {}
            () = service.reached(ServiceState::Draining) => {}
        }
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

const fn state_name(state: ServiceState) -> &'static str {
    match state {
        ServiceState::Loading => "loading",
        ServiceState::Ready => "ready",
        ServiceState::Draining => "draining",
    }
}

/// Returns the resident memory of the process, where Linux tells it.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}
