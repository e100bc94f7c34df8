//! Starts that take long, go wrong or are cancelled: they delay no other child, and leave nothing behind.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ractor::{ActorRef, ActorStatus};
use ractor_supervision::{
    ChildEvent, ChildState, Intensity, Options, Restart, StateSlot, Strategy, SupervisorError,
    SupervisorHandle,
};
use tokio::time::{Instant, timeout};

use crate::worker::{Child, Order, Twist, is_restart, lock, options, supervise, until};

/// Limit far below any deadline of a start: nobody has waited for one.
const AT_ONCE: Duration = Duration::from_millis(100);

async fn states(supervisor: &SupervisorHandle) -> Vec<(String, ChildState)> {
    let children = supervisor.children().await.expect("it runs");
    children.into_iter().map(|child| (child.id.to_string(), child.state)).collect()
}

fn is_end(kind: &ChildEvent) -> bool {
    matches!(kind, ChildEvent::Ended(_))
}

async fn all_tasks_end() {
    let metrics = tokio::runtime::Handle::current().metrics();
    let gone = async {
        while metrics.num_alive_tasks() > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(AT_ONCE, gone).await.expect("no task is left");
}

/// Waits until the restart of this child has spawned an actor other than this one.
async fn successor_of<T>(before: &ActorRef<T>, child: &Child) {
    let spawned = async {
        while child.actor().get_id() == before.get_id() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), spawned).await.expect("it spawns another");
}

#[tokio::test(start_paused = true)]
async fn a_child_whose_state_is_leaked_holds_nobody_else_up() {
    let (leaky, other, third) = (Child::new(), Child::new(), Child::new());
    let supervisor = supervise(vec![leaky.spec("leaky"), other.spec("other")]).await;
    let mut events = supervisor.subscribe();
    let begun = Instant::now();
    leaky.order(Order::Leak);
    until(&mut events, is_end).await;
    other.order(Order::Panic);
    assert_eq!(&*until(&mut events, is_restart).await.child, "other");
    assert!(supervisor.remove_child("other").await.unwrap());
    supervisor.start_child(third.spec("third")).await.unwrap();
    let expected = [("leaky", ChildState::Restarting), ("third", ChildState::Running)];
    assert_eq!(states(&supervisor).await, expected.map(|(id, state)| (id.to_string(), state)));
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    leaky.return_leaked();
    assert_eq!(&*until(&mut events, is_restart).await.child, "leaky");
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    supervisor.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_start_that_waits_for_leaked_state_says_so() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer({
        let log = log.clone();
        move || log.clone()
    });
    let _logging = tracing::subscriber::set_default(subscriber.finish());
    let leaky = Child::new();
    let supervisor = supervise(vec![leaky.spec("leaky")]).await;
    let mut events = supervisor.subscribe();
    // A test that met the start's span for the first time just when the subscriber was set has disabled it.
    tracing::callsite::rebuild_interest_cache();
    leaky.order(Order::Leak);
    until(&mut events, is_end).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let logged = String::from_utf8(lock(&log.0).clone()).unwrap();
    let warning = logged.lines().find(|line| line.contains("WARN") && line.contains("lease"));
    assert!(warning.is_some_and(|line| line.contains("leaky") && line.contains("u32")), "{logged}");
    supervisor.shutdown().await;
}

/// Log output.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn in_rest_for_one_each_start_waits_for_those_before_it() {
    let mut children = [Child::new(), Child::new(), Child::new(), Child::new()];
    let log = Arc::clone(&children[0].worker.log);
    for child in &mut children {
        child.worker.log = Arc::clone(&log);
    }
    let [a, b, c, d] = &children;
    let specs = vec![a.spec("a"), b.spec("b"), c.spec("c")];
    let supervisor = SupervisorHandle::start(options(Strategy::RestForOne), specs).await.unwrap();
    let mut events = supervisor.subscribe();
    let begun = Instant::now();
    b.order(Order::Leak);
    until(&mut events, is_end).await;
    let starting = tokio::spawn({
        let (supervisor, spec) = (supervisor.clone(), d.spec("d"));
        async move { supervisor.start_child(spec).await }
    });
    tokio::task::yield_now().await;
    let expected = [
        ("a", ChildState::Running),
        ("b", ChildState::Restarting),
        ("c", ChildState::Restarting),
        ("d", ChildState::Starting),
    ];
    assert_eq!(states(&supervisor).await, expected.map(|(id, state)| (id.to_string(), state)));
    assert_eq!(*lock(&log), ["start a", "start b", "start c"]);
    b.return_leaked();
    starting.await.unwrap().unwrap();
    assert_eq!(lock(&log)[3..], ["start b", "start c", "start d"]);
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    supervisor.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_sibling_that_is_removed_or_does_not_start_lets_those_behind_it_start() {
    let (a, b, c) = (Child::new(), Child::new(), Child::new());
    let specs = vec![a.spec("a"), b.spec("b")];
    let supervisor = SupervisorHandle::start(options(Strategy::RestForOne), specs).await.unwrap();
    let mut events = supervisor.subscribe();
    let begun = Instant::now();
    a.order(Order::Leak);
    until(&mut events, is_end).await;
    assert!(supervisor.remove_child("a").await.unwrap());
    assert_eq!(&*until(&mut events, is_restart).await.child, "b");
    // A new child whose start hangs until its deadline, and one more behind it.
    c.twist([Twist::Hang]);
    let hung = c.spec("c").start_deadline(Duration::from_secs(1));
    let (hung, last) = tokio::join!(supervisor.start_child(hung), supervisor.start_child(a.spec("a")));
    assert!(matches!(hung, Err(SupervisorError::StartChild { .. })), "{hung:?}");
    assert!(last.is_err(), "its state is still leaked: {last:?}");
    let names: Vec<_> = states(&supervisor).await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(names, ["b"]);
    assert!(begun.elapsed() < Duration::from_secs(32), "{:?}", begun.elapsed());
    supervisor.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn an_actor_whose_start_goes_wrong_is_stopped_and_its_state_is_returned() {
    for twist in [Twist::Fail, Twist::Panic, Twist::Hang] {
        let child = Child::new();
        let deadline = Duration::from_secs(1);
        let supervisor = supervise(vec![child.spec("worker").start_deadline(deadline)]).await;
        let mut events = supervisor.subscribe();
        child.twist([twist]);
        let before = child.actor();
        child.order(Order::Fail);
        successor_of(&before, &child).await;
        let stray = child.actor();
        let begun = Instant::now();
        until(&mut events, is_restart).await;
        assert!(begun.elapsed() < 2 * deadline + AT_ONCE, "{twist:?}: {:?}", begun.elapsed());
        assert_eq!(stray.get_status(), ActorStatus::Stopped, "{twist:?}");
        child.order(Order::Count);
        supervisor.shutdown().await;
        assert_eq!(*child.slot.try_lease().unwrap(), 2, "{twist:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_child_whose_start_goes_wrong_leaves_its_name_and_state_free() {
    for (twist, message) in
        [(Twist::Fail, "failed after it"), (Twist::Panic, "panicked after"), (Twist::Hang, "after 30s")]
    {
        let child = Child::new();
        let supervisor = supervise(vec![]).await;
        child.twist([twist]);
        let error = supervisor.start_child(child.spec("worker")).await.unwrap_err();
        let source = std::error::Error::source(&error).expect("a source").to_string();
        assert!(source.contains(message), "{twist:?}: {source}");
        assert!(supervisor.children().await.unwrap().is_empty(), "{twist:?}");
        let begun = Instant::now();
        supervisor.start_child(child.spec("worker")).await.unwrap();
        assert!(begun.elapsed() < AT_ONCE, "{twist:?}: {:?}", begun.elapsed());
        supervisor.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_no_start_and_leaves_nothing_of_it() {
    let (leaky, half) = (Child::new(), Child::new());
    let supervisor = supervise(vec![leaky.spec("leaky"), half.spec("half")]).await;
    let mut events = supervisor.subscribe();
    leaky.order(Order::Leak);
    until(&mut events, is_end).await;
    half.twist([Twist::Hang]);
    let before = half.actor();
    half.order(Order::Fail);
    successor_of(&before, &half).await;
    // The actor handles the messages it has been sent, though its start is not over.
    half.order(Order::Count);
    let begun = Instant::now();
    supervisor.shutdown().await;
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    assert_eq!(*half.slot.try_lease().unwrap(), 2);
    leaky.return_leaked();
    assert_eq!(*leaky.slot.try_lease().unwrap(), 1, "nobody has waited for it any more");
    all_tasks_end().await;
}

#[tokio::test(start_paused = true)]
async fn a_child_can_be_removed_while_it_starts() {
    let child = Child::new();
    let supervisor = supervise(vec![]).await;
    child.twist([Twist::Hang]);
    let starting = tokio::spawn({
        let (supervisor, spec) = (supervisor.clone(), child.spec("worker"));
        async move { supervisor.start_child(spec).await }
    });
    while lock(&child.running).is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(states(&supervisor).await, [("worker".to_string(), ChildState::Starting)]);
    let error = supervisor.start_child(child.spec("worker")).await.unwrap_err();
    assert!(matches!(error, SupervisorError::StartChild { .. }), "the name is taken: {error:?}");
    let begun = Instant::now();
    assert!(supervisor.remove_child("worker").await.unwrap());
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    let error = starting.await.unwrap().unwrap_err();
    assert!(matches!(error, SupervisorError::StartChild { .. }), "{error:?}");
    assert!(child.slot.try_lease().is_some());
    assert_eq!(child.actor().get_status(), ActorStatus::Stopped);
    supervisor.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_is_killed_while_a_child_starts_leaves_nothing_of_it() {
    let (leaky, half) = (Child::new(), Child::new());
    let supervisor = supervise(vec![leaky.spec("leaky"), half.spec("half")]).await;
    let mut events = supervisor.subscribe();
    leaky.order(Order::Leak);
    until(&mut events, is_end).await;
    half.twist([Twist::Hang]);
    let before = half.actor();
    half.order(Order::Fail);
    successor_of(&before, &half).await;
    supervisor.actor().kill();
    all_tasks_end().await;
    assert_eq!(*half.slot.try_lease().unwrap(), 1);
    leaky.return_leaked();
    assert_eq!(*leaky.slot.try_lease().unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_gives_up_cancels_the_starts_of_others() {
    let (hopeless, half, new) = (Child::new(), Child::new(), Child::new());
    let intensity = Intensity { restarts: 2, within: Duration::from_secs(10) };
    let options = Options { intensity, ..options(Strategy::OneForOne) };
    let specs = vec![half.spec("half"), hopeless.spec("hopeless")];
    let supervisor = SupervisorHandle::start(options, specs).await.unwrap();
    let mut events = supervisor.subscribe();
    half.twist([Twist::Hang]);
    let before = half.actor();
    half.order(Order::Fail);
    successor_of(&before, &half).await;
    new.twist([Twist::Hang]);
    let starting = tokio::spawn({
        let (supervisor, spec) = (supervisor.clone(), new.spec("new"));
        async move { supervisor.start_child(spec).await }
    });
    tokio::task::yield_now().await;
    hopeless.start_failures.store(1, std::sync::atomic::Ordering::SeqCst);
    hopeless.order(Order::Panic);
    let given_up = until(&mut events, |kind| *kind == ChildEvent::GivenUp).await;
    assert_eq!(&*given_up.child, "hopeless");
    assert!(
        timeout(AT_ONCE, events.recv()).await.is_err(),
        "nothing is said of the others, which are stopped"
    );
    assert!(matches!(starting.await.unwrap(), Err(SupervisorError::Stopped)));
    all_tasks_end().await;
    assert_eq!(*half.slot.try_lease().unwrap(), 1);
    assert_eq!(*new.slot.try_lease().unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn rest_for_one_stops_and_forgets_a_temporary_sibling() {
    let (a, temporary, c) = (Child::new(), Child::new(), Child::new());
    let specs = vec![a.spec("a"), temporary.spec("temporary").restart(Restart::Temporary), c.spec("c")];
    let supervisor = SupervisorHandle::start(options(Strategy::RestForOne), specs).await.unwrap();
    let mut events = supervisor.subscribe();
    temporary.order(Order::Count);
    a.order(Order::Panic);
    for id in ["a", "c"] {
        assert_eq!(&*until(&mut events, is_restart).await.child, id);
    }
    let expected = ["a", "c"].map(|id| (id.to_string(), ChildState::Running));
    assert_eq!(states(&supervisor).await, expected);
    assert_eq!(*temporary.slot.try_lease().unwrap(), 1, "it finished its mailbox");
    let again = Child { slot: StateSlot::new(0), ..temporary };
    supervisor.start_child(again.spec("temporary")).await.expect("its name is free");
    supervisor.shutdown().await;
}
