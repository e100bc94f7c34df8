//! The router as its callers see it.

use std::num::NonZeroUsize;

use futures_util::future::{join, join_all};
use ractor::ActorRef;
use tokio::time::Instant;

use crate::router::{CAPACITY, Policy, Router};
use crate::simulation::{WORKERS, compare_policies, kill};
use crate::worker::{SERVICE, Served, Work};

/// Sends a number of requests of a client at once. Returns the number taken, and the time in units of `SERVICE`.
async fn flood(router: &Router, client: u64, requests: usize, policy: Policy) -> (usize, u128) {
    let started = Instant::now();
    let sent = join_all((0..requests).map(|_| router.route(client, policy))).await;
    (sent.into_iter().filter(|&taken| taken).count(), started.elapsed().as_micros() / SERVICE.as_micros())
}

#[tokio::test(start_paused = true)]
async fn a_full_outbox_drops_blocks_or_reroutes_as_the_sender_says() {
    let room = CAPACITY.get();
    let taken_by = async |policy| {
        let router = Router::start(WORKERS).await.unwrap();
        let (taken, waited) = flood(&router, 7, room * 3, policy).await;
        (taken, waited > 0, router.shutdown().await.into_values().collect::<Vec<_>>())
    };
    let items = |number: usize| number as u64;
    assert_eq!(taken_by(Policy::Drop).await, (room, false, vec![items(room)]));
    assert_eq!(taken_by(Policy::Block).await, (room * 3, true, vec![items(room * 3)]));
    assert_eq!(taken_by(Policy::Reroute).await, (room * 2, false, vec![items(room); 2]));
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_one_worker_hold_nobody_else_up() {
    let router = Router::start(WORKERS).await.unwrap();
    let own = |client| router.list.borrow().ranked(client)[0];
    let other = (0..).find(|&client| own(client) != own(7)).unwrap();
    let (busy, idle) =
        join(flood(&router, 7, CAPACITY.get() * 3, Policy::Block), flood(&router, other, 1, Policy::Block))
            .await;
    assert!(busy.1 > 0, "there was something to wait for");
    assert_eq!(idle, (1, 0));
}

#[tokio::test(start_paused = true)]
async fn requests_wait_for_the_successor_of_the_only_worker_however_it_ends() {
    for policy in [Policy::Drop, Policy::Block, Policy::Reroute] {
        let router = Router::start(NonZeroUsize::MIN).await.unwrap();
        let mut list = router.list.clone();
        for end in [|worker: &ActorRef<Work>| worker.stop(None), |worker: &ActorRef<Work>| worker.kill()] {
            assert!(router.route(7, policy).await);
            end(&router.outboxes[0].actor().unwrap());
            assert!(router.route(7, policy).await);
            // The worker leaves, and its successor comes.
            list.changed().await.unwrap();
            assert!(router.route(7, policy).await);
            list.changed().await.unwrap();
        }
        assert_eq!(router.shutdown().await, Served::from([((7, 0), 6)]));
    }
}

#[tokio::test(start_paused = true)]
async fn the_overload_is_accounted_for_whatever_the_policy() {
    compare_policies().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_killed_worker_moves_its_own_clients_only_and_loses_nothing() {
    for killed in 0..WORKERS.get() {
        kill(killed).await.unwrap();
    }
}
