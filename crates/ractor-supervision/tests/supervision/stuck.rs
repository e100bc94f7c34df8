//! Children that block a thread: nobody can end them, and nobody waits for them forever.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use ractor_supervision::{ChildSpec, ChildState, Strategy, SupervisorHandle};
use tokio::time::timeout;

use crate::worker::{Child, Order, is_restart, lock, options, supervise, until};

const DEADLINE: Duration = Duration::from_millis(10);
/// Deadline, far more than any expected event takes.
const SOON: Duration = Duration::from_secs(20);

/// Blocks the thread that it runs on, once, until the gate opens.
#[derive(Clone)]
struct Blocker {
    gate: Arc<Mutex<Receiver<()>>>,
    is_blocked: Arc<AtomicBool>,
}

impl Blocker {
    /// Creates a blocker, which blocks until the sender is dropped.
    fn new() -> (Self, Sender<()>) {
        let (closed, gate) = mpsc::channel();
        (Self { gate: Arc::new(Mutex::new(gate)), is_blocked: Arc::default() }, closed)
    }

    fn block(&self) {
        if !self.is_blocked.swap(true, Ordering::SeqCst) {
            // The gate opens with an error.
            let _ = lock(&self.gate).recv();
        }
    }

    async fn until_blocked(&self) {
        let blocked = async {
            while !self.is_blocked.load(Ordering::SeqCst) {
                tokio::task::yield_now().await;
            }
        };
        timeout(SOON, blocked).await.expect("it blocks");
    }

    fn spec(&self) -> ChildSpec {
        let blocker = self.clone();
        let start = move |parent| {
            let blocker = blocker.clone();
            async move {
                let (actor, _task) = Actor::spawn_linked(None, blocker, (), parent).await?;
                actor.cast(Order::Hang)?;
                Ok(actor.get_cell())
            }
        };
        ChildSpec::new("blocker", start).stop_deadline(DEADLINE)
    }
}

impl Actor for Blocker {
    type Msg = Order;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Order>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(&self, _: ActorRef<Order>, _: Order, (): &mut ()) -> Result<(), ActorProcessingErr> {
        self.block();
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_that_blocks_its_thread_holds_up_neither_its_siblings_nor_a_shutdown() {
    let (child, (blocker, closed)) = (Child::new(), Blocker::new());
    let specs = vec![child.spec("worker"), blocker.spec()];
    let supervisor = SupervisorHandle::start(options(Strategy::RestForOne), specs).await.unwrap();
    let mut events = supervisor.subscribe();
    blocker.until_blocked().await;
    child.order(Order::Fail);
    timeout(SOON, until(&mut events, is_restart)).await.expect("its sibling is given up on");
    let status = supervisor.children().await.unwrap().remove(1);
    assert_eq!(&*status.id, "blocker");
    assert_eq!(status.last_failure.as_deref(), Some("it did not end within 10ms of being killed"));
    timeout(SOON, supervisor.shutdown()).await.expect("it returns");
    drop(closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_blocks_its_thread_does_not_hold_a_shutdown_up() {
    let (blocker, closed) = Blocker::new();
    let supervisor = supervise(vec![]).await;
    let start = {
        let blocker = blocker.clone();
        move |_| {
            let blocker = blocker.clone();
            async move {
                blocker.block();
                Err("it has blocked for long enough".into())
            }
        }
    };
    let starting = tokio::spawn({
        let (supervisor, spec) =
            (supervisor.clone(), ChildSpec::new("blocker", start).stop_deadline(DEADLINE));
        async move { supervisor.start_child(spec).await }
    });
    blocker.until_blocked().await;
    assert_eq!(supervisor.children().await.unwrap()[0].state, ChildState::Starting);
    timeout(SOON, supervisor.shutdown()).await.expect("it returns");
    drop(closed);
    assert!(starting.await.unwrap().is_err());
}
