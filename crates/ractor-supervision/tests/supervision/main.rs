//! A supervisor over children that end in every way an actor can.

mod handover;
mod starts;
mod stuck;
mod worker;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ractor_supervision::{
    Backoff, ChildEvent, ChildSpec, ChildState, ExitReason, Options, Restart, Strategy, SupervisorError,
    SupervisorHandle,
};
use tokio::time::{Instant, timeout};

use crate::worker::{Child, Order, Worker, is_restart, lock, options, supervise, until};

#[tokio::test(start_paused = true)]
async fn a_child_goes_on_from_its_state_however_it_ended() {
    type Ending = fn(&Child);
    let endings: [(&str, Ending, &str, u32); 7] = [
        ("stop", |child| child.actor().stop(None), "", 0),
        ("drain", |child| child.actor().drain().unwrap(), "", 0),
        ("error", |child| child.order(Order::Fail), "failed as told", 1),
        ("panic", |child| child.order(Order::Panic), "panicked as told", 1),
        ("kill", |child| child.actor().kill(), "killed", 0),
        ("kill in a handler", |child| child.order(Order::Hang), "killed", 1),
        (
            "panic after a start",
            |child| {
                child.worker.panics_after_start.store(1, Ordering::SeqCst);
                child.order(Order::Fail);
            },
            "panic after start",
            1,
        ),
    ];
    for (name, end, reason, counted) in endings {
        let child = Child::new();
        let supervisor = supervise(vec![child.spec("worker")]).await;
        let mut events = supervisor.subscribe();
        // The child has started by the time the supervisor, whose task is behind its, answers.
        supervisor.children().await.unwrap();
        child.order(Order::Count);
        end(&child);
        if name == "kill in a handler" {
            tokio::task::yield_now().await;
            child.actor().kill();
        }
        until(&mut events, is_restart).await;
        if name == "panic after a start" {
            until(&mut events, is_restart).await;
        }
        child.order(Order::Count);
        let status = supervisor.children().await.unwrap().remove(0);
        assert_eq!(status.state, ChildState::Running, "{name}");
        assert_eq!(status.last_failure.unwrap_or_default(), reason, "{name}");
        supervisor.shutdown().await;
        // Stop and kill overtake what is in the mailbox; the rest was counted.
        let count = *child.slot.lease().await;
        let overtaken = matches!(name, "stop" | "kill");
        assert_eq!(count, if overtaken { 1 } else { 2 + counted }, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_is_tried_again_with_growing_waits() {
    let child = Child::new();
    let supervisor = supervise(vec![child.spec("worker")]).await;
    let mut events = supervisor.subscribe();
    child.start_failures.store(3, Ordering::SeqCst);
    let begun = Instant::now();
    child.order(Order::Fail);
    let event = until(&mut events, is_restart).await;
    assert_eq!(event.kind, ChildEvent::Restarted { restarts: 4 });
    // Waits of 0, 1, 2 and 4 seconds, less up to half of each.
    let waited = begun.elapsed().as_secs_f64();
    assert!((3.5..=7.1).contains(&waited), "{waited}");
    supervisor.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn rest_for_one_restarts_what_was_started_after() {
    let children = [Child::new(), Child::new(), Child::new()];
    let log = Arc::clone(&children[0].worker.log);
    let specs = ["a", "b", "c"].into_iter().zip(&children).map(|(id, child)| {
        let worker = Worker { log: Arc::clone(&log), ..Worker::default() };
        let shared =
            Child { slot: child.slot.clone(), running: Arc::clone(&child.running), worker, ..Child::new() };
        shared.spec(id)
    });
    let supervisor = SupervisorHandle::start(options(Strategy::RestForOne), specs.collect()).await.unwrap();
    let mut events = supervisor.subscribe();
    children.iter().for_each(|child| child.order(Order::Count));
    children[1].order(Order::Panic);
    until(&mut events, is_restart).await;
    until(&mut events, is_restart).await;
    assert_eq!(*lock(&log), ["start a", "start b", "start c", "start b", "start c"]);
    let restarts: Vec<_> = supervisor.children().await.unwrap().iter().map(|child| child.restarts).collect();
    assert_eq!(restarts, [0, 1, 1]);
    supervisor.shutdown().await;
    for (child, expected) in children.iter().zip([1, 2, 1]) {
        assert_eq!(*child.slot.lease().await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn whether_a_child_is_restarted_is_its_own_choice() {
    let (transient, temporary) = (Child::new(), Child::new());
    let supervisor = supervise(vec![
        transient.spec("transient").restart(Restart::Transient),
        temporary.spec("temporary").restart(Restart::Temporary),
    ])
    .await;
    let mut events = supervisor.subscribe();
    transient.order(Order::Fail);
    until(&mut events, is_restart).await;
    transient.actor().stop(None);
    temporary.order(Order::Fail);
    for _ in 0..2 {
        until(&mut events, |kind| matches!(kind, ChildEvent::Ended(_))).await;
    }
    let children = supervisor.children().await.unwrap();
    assert_eq!(children.len(), 1);
    assert_eq!((&*children[0].id, children[0].state), ("transient", ChildState::Finished));
    supervisor.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_gives_up_stops_the_others_and_fails_for_its_own_supervisor() {
    let (hopeless, other) = (Arc::new(Child::new()), Arc::new(Child::new()));
    let (child, sibling) = (Arc::clone(&hopeless), Arc::clone(&other));
    let inner = ChildSpec::new("inner", move |parent| {
        let specs = vec![sibling.spec("other"), child.spec("hopeless")];
        async move {
            let backoff = Backoff { max: Duration::ZERO, ..Backoff::default() };
            let options = Options { backoff, ..options(Strategy::OneForOne) };
            let inner = SupervisorHandle::start_linked(options, specs, parent).await?;
            Ok(inner.actor().get_cell())
        }
    });
    let outer = supervise(vec![inner]).await;
    let mut events = outer.subscribe();
    other.order(Order::Count);
    hopeless.start_failures.store(5, Ordering::SeqCst);
    hopeless.order(Order::Panic);
    let ended = until(&mut events, |kind| matches!(kind, ChildEvent::Ended(_))).await;
    let reason = "given up over child hopeless: too many restarts";
    assert_eq!(ended.kind, ChildEvent::Ended(ExitReason::Failed(reason.into())));
    until(&mut events, is_restart).await;
    other.order(Order::Count);
    outer.shutdown().await;
    assert_eq!(*other.slot.lease().await, 2, "its count went along");
}

#[tokio::test(start_paused = true)]
async fn shutdown_is_in_reverse_order_and_kills_what_does_not_end() {
    let (quick, hung) = (Child::new(), Child::new());
    let deadline = Duration::from_secs(3);
    let supervisor = supervise(vec![quick.spec("quick"), hung.spec("hung").stop_deadline(deadline)]).await;
    hung.order(Order::Hang);
    quick.order(Order::Count);
    let (quick_actor, hung_actor) = (quick.actor(), hung.actor());
    let begun = Instant::now();
    let (order, ()) = tokio::join!(
        async {
            hung_actor.wait(None).await.unwrap();
            let hung_ended = begun.elapsed();
            quick_actor.wait(None).await.unwrap();
            (hung_ended, begun.elapsed())
        },
        supervisor.shutdown()
    );
    assert!(order.0 >= deadline && order.1 >= order.0, "{order:?}");
    assert!(begun.elapsed() < deadline + Duration::from_millis(10));
    assert_eq!((*quick.slot.lease().await, *hung.slot.lease().await), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn children_come_and_go_at_run_time() {
    let supervisor = supervise(vec![]).await;
    let (first, second) = (Child::new(), Child::new());
    supervisor.start_child(first.spec("first")).await.unwrap();
    let error = supervisor.start_child(second.spec("first")).await.unwrap_err();
    assert!(matches!(error, SupervisorError::StartChild { .. }));
    first.order(Order::Count);
    assert!(supervisor.remove_child("first").await.unwrap());
    assert_eq!(*first.slot.lease().await, 1, "it finished its mailbox");
    assert!(!supervisor.remove_child("first").await.unwrap());
    assert!(supervisor.children().await.unwrap().is_empty());
    supervisor.start_child(second.spec("first")).await.unwrap();
    supervisor.shutdown().await;
    assert!(matches!(supervisor.children().await, Err(SupervisorError::Stopped)));
}

#[tokio::test(start_paused = true)]
async fn a_start_that_takes_too_long_has_failed() {
    let never = ChildSpec::new("never", |_| std::future::pending()).start_deadline(Duration::from_secs(1));
    let error = SupervisorHandle::start(options(Strategy::OneForOne), vec![never]).await.unwrap_err();
    let source = std::error::Error::source(&error).expect("a source").to_string();
    assert!(source.contains("child never did not start: it had not started after 1s"), "{source}");
}

#[tokio::test(start_paused = true)]
async fn no_task_outlives_a_shutdown_not_even_a_wait_for_a_restart() {
    let metrics = tokio::runtime::Handle::current().metrics();
    let child = Child::new();
    let supervisor = supervise(vec![child.spec("worker")]).await;
    let mut events = supervisor.subscribe();
    child.start_failures.store(3, Ordering::SeqCst);
    child.order(Order::Panic);
    until(&mut events, |kind| matches!(kind, ChildEvent::NotRestarted { .. })).await;
    supervisor.shutdown().await;
    let gone = async {
        while metrics.num_alive_tasks() > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_millis(10), gone).await.expect("all tasks end with the supervisor");
}
