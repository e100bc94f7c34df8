//! A child that ends just when its start is over: the supervisor always handles its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fastrand::Rng;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use ractor_supervision::{
    Backoff, ChildEvent, ChildSpec, ChildState, Intensity, Options, Strategy, SupervisorHandle,
};
use tokio::time::timeout;

use crate::worker::{Order, options, supervise, until};

/// Actor that ends in a way that a message chooses.
struct Mortal;

impl Actor for Mortal {
    type Msg = Order;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Order>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(&self, _: ActorRef<Order>, _: Order, (): &mut ()) -> Result<(), ActorProcessingErr> {
        Err("failed as told".into())
    }
}

type Ending = (&'static str, fn(&ActorRef<Order>));

const ENDINGS: [Ending; 4] = [
    ("stop", |actor| actor.stop(None)),
    ("drain", |actor| actor.drain().expect("it runs")),
    ("kill", |actor| actor.kill()),
    ("fail", |actor| actor.cast(Order::Fail).expect("it runs")),
];

#[tokio::test(start_paused = true)]
async fn a_child_that_has_ended_or_is_about_to_when_its_start_is_over_is_started_again() {
    for (name, end) in ENDINGS {
        for is_awaited in [true, false] {
            let starts = Arc::new(AtomicUsize::new(0));
            let spec = ChildSpec::new("mortal", move |parent| {
                let starts = Arc::clone(&starts);
                async move {
                    let (actor, _task) = Actor::spawn_linked(None, Mortal, (), parent).await?;
                    if starts.fetch_add(1, Ordering::SeqCst) < 3 {
                        end(&actor);
                        if is_awaited {
                            actor.wait(None).await?;
                        }
                    }
                    Ok(actor.get_cell())
                }
            });
            let supervisor = supervise(vec![]).await;
            let mut events = supervisor.subscribe();
            supervisor.start_child(spec).await.unwrap();
            until(&mut events, |kind| *kind == ChildEvent::Restarted { restarts: 3 }).await;
            let status = supervisor.children().await.unwrap().remove(0);
            assert_eq!(status.state, ChildState::Running, "{name} {is_awaited}");
            supervisor.shutdown().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_that_ends_at_any_moment_of_its_start_is_started_again() {
    const RESTARTS: u64 = 2_000;
    let seed = ractor_faults::seed();
    let random = Arc::new(std::sync::Mutex::new(Rng::with_seed(seed)));
    let spec = ChildSpec::new("mortal", move |parent| {
        let random = Arc::clone(&random);
        async move {
            let (actor, _task) = Actor::spawn_linked(None, Mortal, (), parent).await?;
            let (ending, spins) = {
                let mut random = crate::worker::lock(&random);
                (random.usize(..ENDINGS.len()), random.u32(..20_000))
            };
            let mortal = actor.clone();
            tokio::spawn(async move {
                for _ in 0..spins {
                    std::hint::spin_loop();
                }
                ENDINGS[ending].1(&mortal);
            });
            Ok(actor.get_cell())
        }
    });
    let intensity = Intensity { restarts: usize::MAX, within: Duration::from_secs(1) };
    let backoff = Backoff { first: Duration::ZERO, max: Duration::ZERO };
    let options = Options { intensity, backoff, ..options(Strategy::OneForOne) };
    let supervisor = SupervisorHandle::start(options, vec![]).await.unwrap();
    supervisor.start_child(spec).await.unwrap();
    let restarts = async {
        while supervisor.children().await.unwrap()[0].restarts < RESTARTS {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(60), restarts).await.expect("each end is noticed");
    supervisor.shutdown().await;
}
