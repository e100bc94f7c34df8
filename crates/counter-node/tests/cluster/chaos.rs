//! Random cuts, stops and their ends under load: all of it ends exact.
//!
//! What happens when is drawn from seeds, which are printed; `CHAOS_SEED` draws one of them again. What the nodes make of
//! it is their own affair.

use std::panic::resume_unwind;
use std::time::Duration;

use counter_node::harness::{Cluster, Plan};
use fastrand::Rng;
use tokio::time::sleep;

use super::setup::{NEVER, cluster, plan, send, sent, shared};

const SCHEDULES: usize = 16;
const AT_ONCE: usize = 4;
const STEPS: usize = 12;
const NODES: usize = 3;
const PER_SECOND: u64 = 1_000;

#[derive(Clone, Copy, Debug)]
enum Step {
    Cut(usize, usize),
    Isolate(usize),
    Heal(usize, usize),
    HealAll,
    Stop(usize),
    Resume(usize),
}

impl Step {
    fn draw(random: &mut Rng) -> Self {
        let node = random.usize(..NODES);
        let other = (node + random.usize(1..NODES)) % NODES;
        match random.u8(..9) {
            0 | 1 => Self::Cut(node, other),
            2 => Self::Isolate(node),
            3 | 4 => Self::Heal(node, other),
            5 => Self::HealAll,
            6 => Self::Stop(node),
            _ => Self::Resume(node),
        }
    }

    fn take(self, cluster: &mut Cluster) -> anyhow::Result<()> {
        match self {
            Self::Cut(a, b) => cluster.cut(a, b),
            Self::Isolate(node) => cluster.isolate(node),
            Self::Heal(a, b) => cluster.heal(a, b),
            Self::HealAll => cluster.heal_all(),
            Self::Stop(node) => cluster.stop(node)?,
            Self::Resume(node) => cluster.resume(node)?,
        }
        Ok(())
    }
}

async fn run(seed: u64, cluster: &mut Cluster) -> anyhow::Result<Duration> {
    let mut random = Rng::with_seed(seed);
    let steps: Vec<_> = (0..STEPS).map(|_| (Step::draw(&mut random), random.u64(20..400))).collect();
    let lasts_ms: u64 = steps.iter().map(|(_, pause_ms)| pause_ms).sum();
    let operations = lasts_ms * PER_SECOND / 1000;
    let load = |node: usize| Plan {
        at_once: 5,
        per_second: Some(PER_SECOND),
        ..plan(operations, seed ^ node as u64)
    };
    let sending = (0..NODES).map(|node| Ok(send(cluster.client(node)?, load(node))));
    let sending: Vec<_> = sending.collect::<anyhow::Result<_>>()?;
    for (step, pause_ms) in steps {
        step.take(cluster)?;
        sleep(Duration::from_millis(pause_ms)).await;
    }
    cluster.heal_all();
    (0..NODES).try_for_each(|node| cluster.resume(node))?;
    let sent = sent(sending).await;
    let took = cluster.settle(NEVER).await?;
    cluster.compare(&sent, None).await?;
    Ok(took)
}

/// Panics while the cluster is there, so that the logs are seen.
async fn schedule(seed: u64) {
    let mut cluster = cluster(NODES, false).await;
    match run(seed, &mut cluster).await {
        Ok(took) => println!("CHAOS_SEED={seed}: all agree {took:?} after it was over"),
        Err(error) => panic!("CHAOS_SEED={seed}: {error:#}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_schedules_of_cuts_and_stops_end_exact() {
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
