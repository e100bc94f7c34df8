//! A supervised actor: its state and its senders' outboxes survive crashes, and the outboxes close when it is
//! retired.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ractor::{Actor, ActorProcessingErr, ActorRef, Message, RpcReplyPort};
use ractor_outbox::{CallError, Fifo, Outbox, Parcel};
use ractor_supervision::{
    ChildSpec, Intensity, Lease, Options, Restart, SupervisedActor, SupervisorError, SupervisorHandle,
};
use tokio::sync::mpsc;

enum Sum {
    Amounts(Parcel<Fifo<u64>>),
    Get(RpcReplyPort<u64>),
}

impl Message for Sum {}
impl From<Parcel<Fifo<u64>>> for Sum {
    fn from(parcel: Parcel<Fifo<u64>>) -> Self {
        Self::Amounts(parcel)
    }
}

struct Summing;

impl Actor for Summing {
    type Msg = Sum;
    type State = Lease<u64>;
    type Arguments = Lease<u64>;

    async fn pre_start(&self, _: ActorRef<Sum>, sum: Lease<u64>) -> Result<Lease<u64>, ActorProcessingErr> {
        Ok(sum)
    }

    async fn handle(
        &self,
        _: ActorRef<Sum>,
        message: Sum,
        sum: &mut Lease<u64>,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Sum::Amounts(parcel) => {
                let Some(mut amounts) = parcel.open() else { return Ok(()) };
                while let Some(amount) = amounts.pop() {
                    **sum += amount;
                }
            }
            Sum::Get(reply) => _ = reply.send(**sum),
        }
        Ok(())
    }
}

type Summed = SupervisedActor<Summing, u64, Fifo<u64>>;

fn summing(initial: u64) -> Summed {
    SupervisedActor::new("sum", || Summing, initial, Fifo::bounded(NonZeroUsize::MIN))
}

async fn supervise(child: Summed) -> SupervisorHandle {
    SupervisorHandle::start(Options::default(), vec![child.into()]).await.expect("it starts")
}

#[tokio::test(start_paused = true)]
async fn it_goes_on_from_its_initial_state_through_restarts() {
    let child = summing(40);
    let (outbox, slot) = (child.outbox(), child.state());
    let supervisor = supervise(child).await;
    for amount in [1, 1] {
        outbox.send(amount).await.unwrap();
        outbox.actor().unwrap().kill();
    }
    assert_eq!(outbox.call(Sum::Get).await, Ok(42));
    assert!(slot.try_lease().is_none());
    supervisor.shutdown().await;
    assert_eq!(slot.try_lease().as_deref(), Some(&42));
}

/// Checks that senders and askers are told that the outbox is closed.
async fn is_closed(outbox: &Outbox<Fifo<u64>, Sum>) {
    assert_eq!(outbox.call(Sum::Get).await, Err(CallError::Closed));
    assert!(outbox.try_send(1).is_err());
    assert!(outbox.clone().is_closed());
}

#[tokio::test(start_paused = true)]
async fn outboxes_close_when_the_child_is_removed() {
    let child = summing(0);
    let outbox = child.outbox();
    let supervisor = supervise(child).await;
    assert!(supervisor.remove_child("sum").await.unwrap());
    is_closed(&outbox).await;
    supervisor.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn outboxes_close_when_the_supervisor_is_killed() {
    let child = summing(0);
    let outbox = child.outbox();
    let supervisor = supervise(child).await;
    supervisor.actor().kill_and_wait(None).await.unwrap();
    is_closed(&outbox).await;
}

#[tokio::test(start_paused = true)]
async fn outboxes_close_when_restarts_are_given_up() {
    let child = summing(0);
    let outbox = child.outbox();
    let intensity = Intensity { restarts: 0, ..Intensity::default() };
    let options = Options { intensity, ..Options::default() };
    let _supervisor = SupervisorHandle::start(options, vec![child.into()]).await.unwrap();
    outbox.actor().unwrap().kill();
    is_closed(&outbox).await;
}

#[tokio::test(start_paused = true)]
async fn outboxes_close_when_a_temporary_child_has_ended() {
    let child = summing(0);
    let outbox = child.outbox();
    let temporary = ChildSpec::from(child).restart(Restart::Temporary);
    let supervisor = SupervisorHandle::start(Options::default(), vec![temporary]).await.unwrap();
    outbox.actor().unwrap().kill();
    is_closed(&outbox).await;
    supervisor.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn outboxes_close_when_the_child_is_never_started() {
    let outbox = {
        let child = summing(0);
        let outbox = child.outbox();
        drop(ChildSpec::from(child));
        outbox
    };
    is_closed(&outbox).await;
}

#[tokio::test(start_paused = true)]
async fn each_incarnation_is_announced_before_it_gets_what_waits() {
    let (announce, mut announced) = mpsc::channel(9);
    let child = summing(0).on_start(move |incarnation: ActorRef<Sum>| {
        let announce = announce.clone();
        async move {
            // An answer to a message that was cast here would overtake the outbox.
            let sum = ractor::call!(incarnation, Sum::Get)?;
            Ok(announce.send(sum).await?)
        }
    });
    let outbox = child.outbox();
    outbox.try_send(1).unwrap();
    let supervisor = supervise(child).await;
    assert_eq!(announced.recv().await, Some(0), "the outbox follows later");
    assert_eq!(outbox.call(Sum::Get).await, Ok(1));
    outbox.actor().unwrap().kill();
    assert_eq!(announced.recv().await, Some(1));
    supervisor.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn an_announcement_that_fails_is_a_failed_start() {
    let fails = Arc::new(AtomicBool::new(true));
    let child = || {
        let fails = Arc::clone(&fails);
        summing(7).on_start(move |_| {
            let fails = fails.load(Ordering::Relaxed);
            async move { if fails { Err("nobody listens".into()) } else { Ok(()) } }
        })
    };
    let supervisor = SupervisorHandle::start(Options::default(), Vec::new()).await.unwrap();
    let failed = supervisor.start_child(child().into()).await;
    assert!(matches!(failed, Err(SupervisorError::StartChild { .. })), "{failed:?}");
    fails.store(false, Ordering::Relaxed);
    let started = child();
    let outbox = started.outbox();
    supervisor.start_child(started.into()).await.unwrap();
    assert_eq!(outbox.call(Sum::Get).await, Ok(7));
    supervisor.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn another_function_that_runs_at_retirement_leaves_the_outboxes_open_until_then() {
    let child = summing(0);
    let outbox = child.outbox();
    let retired = Arc::new(AtomicBool::new(false));
    let retires = Arc::clone(&retired);
    let spec = ChildSpec::from(child).on_retire(move || retires.store(true, Ordering::Relaxed));
    let supervisor = SupervisorHandle::start(Options::default(), vec![spec]).await.unwrap();
    assert_eq!(outbox.call(Sum::Get).await, Ok(0));
    assert!(!outbox.is_closed());
    supervisor.shutdown().await;
    is_closed(&outbox).await;
    assert!(retired.load(Ordering::Relaxed));
}
