//! Clients that send more than their workers can serve, and a worker that is killed.

use std::num::NonZeroUsize;
use std::time::Duration;

use anyhow::{Context, ensure};
use comfy_table::{CellAlignment, Table, presets::UTF8_FULL_CONDENSED};
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::rendezvous::{ClientId, Rendezvous, WorkerId};
use crate::router::{CAPACITY, Policy, Router};
use crate::worker::{SERVICE, Served};

pub(crate) const WORKERS: NonZeroUsize = NonZeroUsize::new(4).expect("4 is not zero");
/// Number of clients. They send five percent more than the workers can serve together, and some workers have more
/// clients than others.
const CLIENTS: ClientId = 84;
const REQUESTS: u64 = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// Puts the same load on workers with each policy, and prints the costs.
pub(crate) async fn compare_policies() -> anyhow::Result<()> {
    println!("{WORKERS} workers, {SERVICE:?} a request, room for {CAPACITY} requests each");
    println!("{CLIENTS} clients, {REQUESTS} requests each, {PAUSE:?} apart\n");
    let mut table = Table::new();
    let head = ["if full", "sent", "served", "dropped", "elsewhere", "wait p50", "p99", "max", "in all"];
    table.load_style(UTF8_FULL_CONDENSED).set_header(head);
    for policy in [Policy::Drop, Policy::Block, Policy::Reroute] {
        let (router, started) = (Router::start(WORKERS).await?, Instant::now());
        let mut waits = join_all((0..CLIENTS).map(|client| send(&router, client, policy))).await.concat();
        let served = router.shutdown().await;
        let took = started.elapsed();

        waits.sort_unstable();
        let wait = |percent: usize| waits[(waits.len() * percent).div_ceil(100) - 1].0;
        let times = [wait(50), wait(99), wait(100), took].map(|time| format!("{} ms", time.as_millis()));
        let dropped = waits.iter().map(|&(_, taken)| u64::from(!taken)).sum();
        let (sent, all) = (CLIENTS * REQUESTS, served.values().sum::<u64>());
        ensure!(all + dropped == sent, "{policy:?}: {all} served and {dropped} dropped of {sent}");
        let counts = [sent, all, dropped, elsewhere(served).values().sum()].map(|count| count.to_string());
        table.add_row([format!("{policy:?}")].into_iter().chain(counts).chain(times));
    }
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    println!("{table}\n");
    Ok(())
}

/// Sends a client's requests, at a time that differs from other clients'. Returns for each the time to send it, and
/// whether it was taken.
async fn send(router: &Router, client: ClientId, policy: Policy) -> Vec<(Duration, bool)> {
    let mut sent = Vec::new();
    sleep(PAUSE.mul_f64(client as f64 / CLIENTS as f64)).await;
    for _ in 0..REQUESTS {
        let started = Instant::now();
        let taken = router.route(client, policy).await;
        sent.push((started.elapsed(), taken));
        sleep(PAUSE).await;
    }
    sent
}

/// Kills a worker. Each client sends a request before, one while the worker is away, and one when its successor is
/// there.
pub(crate) async fn kill(killed: WorkerId) -> anyhow::Result<()> {
    let router = Router::start(WORKERS).await?;
    let (everybody, mut list) = (Rendezvous::new(WORKERS), router.list.clone());
    let all_send = || join_all((0..CLIENTS).map(|client| router.route(client, Policy::Block)));
    all_send().await;
    // By then it has served some, and has others in its hands.
    sleep(SERVICE * 5 / 2).await;
    router.outboxes[killed].actor().context("failed to find the worker")?.kill();
    list.wait_for(|list| *list != everybody).await?;
    let waiting = router.outboxes[killed].metrics().pending;
    all_send().await;
    list.wait_for(|list| *list == everybody).await?;
    all_send().await;
    let served = router.shutdown().await;

    let (all, sent, moved) = (served.values().sum::<u64>(), CLIENTS * 3, elsewhere(served));
    let ranked = (0..CLIENTS).map(|client| (client, everybody.ranked(client)));
    // One request of each of its clients, at that client's next worker.
    let own = ranked.filter(|(_, workers)| workers[0] == killed);
    let own = own.map(|(client, workers)| ((client, workers[1]), 1)).collect::<Served>();
    let own_moved = moved.keys().filter(|moved| own.contains_key(moved)).count();
    println!("worker {killed} is killed while {waiting} requests wait for it");
    println!("{own_moved} of its {} clients move until its successor is there", own.len());
    println!("{} clients of other workers move", moved.len() - own_moved);
    println!("{all} of {sent} requests are served");
    ensure!(moved == own && all == sent && waiting > 0, "the wrong clients moved, or requests were lost");
    Ok(())
}

/// Returns the requests that were served by other workers than those of the clients when all are available.
fn elsewhere(mut served: Served) -> Served {
    served.retain(|&(client, worker), _| worker != Rendezvous::new(WORKERS).ranked(client)[0]);
    served
}
