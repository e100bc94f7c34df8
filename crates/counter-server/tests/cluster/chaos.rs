//! Random cuts, stops, kills, departures and restarts under load and questions: all of it ends exact.
//!
//! The schedule is drawn from seeds, which are printed; `CHAOS_SEED` draws one of them again. The timing within the
//! nodes is not controlled.
//!
//! Of an incarnation that lives, all hold just what it was sent. Of one that is gone they hold, of each name, the first
//! operations; at least what was seen at a node that has lived since, or what was handed over to one; at most what was
//! sent.

use std::panic::resume_unwind;
use std::time::Duration;

use anyhow::ensure;
use counter_chaos::{Cluster, Loads, Plan, Seen, Sent};
use fastrand::Rng;
use tokio::time::sleep;

use super::askers::Askers;
use super::setup::{NEVER, cluster, plan, shared};

const SCHEDULES: usize = 16;
const AT_ONCE: usize = 4;
const STEPS: usize = 14;
const NODES: usize = 3;
const PER_SECOND: u64 = 1_000;
const ASKERS: usize = 3;

#[derive(Clone, Copy, Debug)]
enum Step {
    Cut(usize, usize),
    Isolate(usize),
    Heal(usize, usize),
    HealAll,
    Stop(usize),
    Resume(usize),
    /// By SIGKILL.
    Kill(usize),
    /// By SIGTERM.
    Terminate(usize),
    Start(usize),
}

impl Step {
    fn draw(random: &mut Rng) -> Self {
        let node = random.usize(..NODES);
        let other = (node + random.usize(1..NODES)) % NODES;
        match random.u8(..16) {
            0 | 1 => Self::Cut(node, other),
            2 => Self::Isolate(node),
            3 | 4 => Self::Heal(node, other),
            5 | 6 => Self::HealAll,
            7 => Self::Stop(node),
            8 | 9 => Self::Resume(node),
            10 | 11 => Self::Kill(node),
            12 => Self::Terminate(node),
            _ => Self::Start(node),
        }
    }
}

/// Incarnation of a node that is gone, and the operations that it was sent.
struct Gone {
    replica: String,
    sent: Sent,
    /// Incarnations of other nodes that have taken everything.
    heirs: Vec<String>,
}

struct World<'a> {
    cluster: &'a mut Cluster,
    loads: Loads,
    /// By node, while it runs.
    askers: Vec<Option<Askers>>,
    gone: Vec<Gone>,
    random: Rng,
}

impl<'a> World<'a> {
    fn start(cluster: &'a mut Cluster, load: impl Fn(usize) -> Plan, random: Rng) -> anyhow::Result<Self> {
        let loads = Loads::start(cluster, (0..NODES).map(load))?;
        let mut world = Self { cluster, loads, askers: Vec::new(), gone: Vec::new(), random };
        for node in 0..NODES {
            let askers = world.start_askers(node)?;
            world.askers.push(Some(askers));
        }
        Ok(world)
    }

    fn start_askers(&mut self, node: usize) -> anyhow::Result<Askers> {
        let names = plan(0, 0).names;
        Ok(Askers::start(&self.cluster.client(node)?, ASKERS, names, &mut self.random))
    }

    async fn take(&mut self, step: Step) -> anyhow::Result<()> {
        let cluster = &mut *self.cluster;
        match step {
            Step::Cut(a, b) => cluster.cut(a, b),
            Step::Isolate(node) => cluster.isolate(node),
            Step::Heal(a, b) => cluster.heal(a, b),
            Step::HealAll => cluster.heal_all(),
            Step::Stop(node) if cluster.is_running(node) => cluster.pause(node).await?,
            Step::Resume(node) if cluster.is_running(node) => cluster.resume(node)?,
            Step::Kill(node) if cluster.is_running(node) => {
                let replica = cluster.node(node)?.replica()?.to_owned();
                cluster.kill(node).await?;
                self.ended(node, replica, Vec::new()).await?;
            }
            Step::Terminate(node) if cluster.is_running(node) && !cluster.is_paused(node) => {
                let replica = cluster.node(node)?.replica()?.to_owned();
                let others =
                    (0..NODES).filter(|&other| other != node).filter_map(|other| cluster.node(other).ok());
                let others = others.map(|other| Ok(other.replica()?.to_owned()));
                let others: Vec<_> = others.collect::<anyhow::Result<_>>()?;
                let status = cluster.terminate(node).await?;
                ensure!(matches!(status.code(), Some(0 | 1)), "a node has ended with {status}");
                let heirs = if status.success() { others } else { Vec::new() };
                self.ended(node, replica, heirs).await?;
            }
            Step::Start(node) if !cluster.is_running(node) => {
                cluster.restart(node).await?;
                self.loads.resume(node, cluster.client(node)?);
                self.askers[node] = Some(self.start_askers(node)?);
            }
            Step::Stop(_) | Step::Resume(_) | Step::Kill(_) | Step::Terminate(_) | Step::Start(_) => {}
        }
        Ok(())
    }

    async fn ended(&mut self, node: usize, replica: String, heirs: Vec<String>) -> anyhow::Result<()> {
        let sent = self.loads.ended(node).await?;
        self.gone.push(Gone { replica, sent, heirs });
        if let Some(askers) = self.askers[node].take() {
            // The operations that only it held are gone, and its last questions are not answered.
            let _ = askers.finish().await;
        }
        Ok(())
    }

    /// Lets all nodes run and reach each other, and waits until they agree.
    async fn settle(mut self) -> anyhow::Result<Settled<'a>> {
        self.cluster.heal_all();
        for node in 0..NODES {
            self.take(Step::Resume(node)).await?;
            self.take(Step::Start(node)).await?;
        }
        let alive = self.loads.finish().await?;
        let mut seen = Seen::default();
        for askers in self.askers.into_iter().flatten() {
            let (by_node, outcome) = askers.finish().await;
            outcome?;
            seen.extend(&by_node);
        }
        self.cluster.wait_until_connected(NEVER).await?;
        let took = self.cluster.wait_until_converged(NEVER).await?;
        Ok(Settled { cluster: self.cluster, alive, gone: self.gone, seen, took })
    }
}

/// Final state of the cluster, to be compared.
struct Settled<'a> {
    cluster: &'a Cluster,
    alive: Vec<Sent>,
    gone: Vec<Gone>,
    /// By clients of the nodes that live.
    seen: Seen,
    took: Duration,
}

impl Settled<'_> {
    async fn check(mut self) -> anyhow::Result<String> {
        let living = (0..NODES).map(|node| Ok(self.cluster.node(node)?.replica()?.to_owned()));
        let living: Vec<_> = living.collect::<anyhow::Result<_>>()?;
        for Gone { replica, sent, heirs } in &self.gone {
            if heirs.iter().any(|heir| living.contains(heir)) {
                self.seen.holds(replica, sent.operations().into());
            }
        }
        let reports = self.cluster.reports().await?;
        let report = reports.into_values().next().expect("there are nodes");
        let held = |replica: &String| report.operations_of(replica);

        for (replica, sent) in living.iter().zip(&self.alive) {
            ensure!(held(replica) == sent.operations().into(), "of {replica}: {} of {sent:?}", held(replica));
        }
        for Gone { replica, sent, .. } in &self.gone {
            let (least, held, most) = (self.seen.of(replica), held(replica), sent.all_operations().into());
            ensure!((least..=most).contains(&held), "of {replica}: {held}, expected {least} to {most}");
        }
        let (acknowledged, gone): (Vec<_>, Vec<_>) =
            self.gone.into_iter().map(|Gone { sent, .. }| (sent.operations(), sent)).unzip();
        let kept = self.cluster.compare(&self.alive, &gone).await?;
        let acknowledged: u64 = acknowledged.into_iter().sum();
        Ok(format!(
            "{} incarnations gone, with {} of {acknowledged} acknowledged operations; all agree {:?} after it was over",
            gone.len(),
            kept.lost,
            self.took
        ))
    }
}

async fn run(seed: u64, cluster: &mut Cluster) -> anyhow::Result<String> {
    let mut random = Rng::with_seed(seed);
    let steps: Vec<_> = (0..STEPS).map(|_| (Step::draw(&mut random), random.u64(20..400))).collect();
    let lasts_ms: u64 = steps.iter().map(|(_, pause_ms)| pause_ms).sum();
    let operations = lasts_ms * PER_SECOND / 1000;
    let load = |node: usize| Plan {
        at_once: 5,
        per_second: Some(PER_SECOND),
        ..plan(operations, seed ^ node as u64)
    };
    let mut world = World::start(cluster, load, random)?;
    for (step, pause_ms) in steps {
        world.take(step).await?;
        sleep(Duration::from_millis(pause_ms)).await;
    }
    world.settle().await?.check().await
}

/// Panics while the cluster is there, so that the logs are seen.
async fn schedule(seed: u64) {
    let mut cluster = cluster(NODES, false).await;
    match run(seed, &mut cluster).await {
        Ok(outcome) => println!("CHAOS_SEED={seed}: {outcome}"),
        Err(error) => panic!("CHAOS_SEED={seed}: {error:#}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_schedules_of_cuts_stops_and_kills_end_exact() {
    let _machine = shared().await;
    let seed = std::env::var("CHAOS_SEED").ok();
    let seeds: Vec<u64> = match seed {
        Some(seed) => vec![seed.parse().expect("CHAOS_SEED is a number")],
        None => (0..SCHEDULES).map(|_| fastrand::u64(..1_000_000)).collect(),
    };
    println!("CHAOS_SEED is one of {seeds:?}");
    let in_turn = |seeds: Vec<u64>| async move {
        for seed in seeds {
            schedule(seed).await;
        }
    };
    let lanes =
        seeds.chunks(seeds.len().div_ceil(AT_ONCE)).map(|seeds| tokio::spawn(in_turn(seeds.to_vec())));
    for lane in lanes.collect::<Vec<_>>() {
        if let Err(error) = lane.await {
            resume_unwind(error.into_panic());
        }
    }
}
