//! A system as its callers see it: counters by name, crashes that lose nothing, orderly ends.

use std::task::{Context, Waker};
use std::time::Duration;

use aggregator_actor::{AggregatorError, AggregatorOptions};
use counter_actor::{CounterActor, CounterError, CounterHandle, CounterState};
use counter_protocol::{Count, CounterMessage, CounterName, NameTooLong};
use counter_system::{CounterSystem, SystemError, SystemOptions};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use ractor_supervision::{ChildState, Intensity, Lease, Options};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

async fn system() -> CounterSystem {
    let aggregator = AggregatorOptions { collect_every: None, ..AggregatorOptions::default() };
    let options = SystemOptions { aggregator, ..SystemOptions::default() };
    CounterSystem::start(options).await.expect("it starts")
}

#[tokio::test(start_paused = true)]
async fn the_same_name_is_the_same_counter() {
    let system = system().await;
    for _ in 0..3 {
        system.counter("hits").await.unwrap().increment(5).unwrap();
    }
    system.counter(&b"\xff"[..]).await.unwrap().increment(1).unwrap();
    system.counter(r"\xff").await.unwrap().increment(2).unwrap();
    let totals = system.aggregator().collect().await.unwrap();
    assert_eq!((totals.total_value, totals.total_operations, totals.num_counters), (18, 5, 3));
    system.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_name_above_the_limit_starts_no_counter() {
    let system = system().await;
    let len_bytes = CounterName::MAX_BYTES + 1;
    let refused = system.counter(vec![b'x'; len_bytes]).await.unwrap_err();
    assert!(
        matches!(refused, SystemError::NameTooLong(NameTooLong { len_bytes: told }) if told == len_bytes)
    );
    assert_eq!(system.supervisor().children().await.unwrap().len(), 1, "the aggregator");
    system.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_counter_whose_start_is_cancelled_at_any_point_can_be_asked_for_again() {
    let system = system().await;
    for polls in 0..20 {
        let name = format!("cancelled after {polls} polls");
        let mut start = Box::pin(system.counter(name.clone()));
        for _ in 0..polls {
            let mut unwoken = Context::from_waker(Waker::noop());
            if start.as_mut().poll(&mut unwoken).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(start);
        let counter = system.counter(name).await.unwrap();
        counter.increment(1).unwrap();
        assert_eq!(counter.value().await.unwrap(), 1);
    }
    assert_eq!(system.supervisor().children().await.unwrap().len(), 1 + 20);
    system.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_killed_counter_keeps_its_value_its_handles_and_its_place_at_the_aggregator() {
    let system = system().await;
    let counter = system.counter("killed").await.unwrap();
    let clone = counter.clone();
    for kills in 1..=3 {
        counter.increment(10).unwrap();
        clone.increment(1).unwrap();
        counter.actor().unwrap().kill();
        assert_eq!(clone.value().await.unwrap(), 11 * kills);
    }
    let totals = system.aggregator().collect().await.unwrap();
    assert_eq!((totals.total_value, totals.restarts, totals.unanswered.len()), (33, 3, 0));
    system.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_killed_aggregator_knows_its_counters_and_finishes_what_was_asked_of_it() {
    let system = system().await;
    let counter = system.counter("counter").await.unwrap();
    counter.increment(7).unwrap();
    let mut subscriber = system.aggregator().subscribe();
    let first = system.aggregator().actor().unwrap();
    let (totals, ()) = tokio::join!(system.aggregator().collect(), async {
        // The collection has begun.
        tokio::task::yield_now().await;
        first.kill();
        first.wait(None).await.unwrap();
        system.counter("late").await.unwrap();
    });
    assert_eq!(totals.unwrap().total_value, 7);
    subscriber.changed().await.unwrap();
    assert_eq!(system.aggregator().collect().await.unwrap().num_counters, 2);
    counter.shutdown().await;
    counter.increment(1).unwrap();
    assert_eq!(
        counter.value().await.unwrap(),
        8,
        "it is a permanent child, and monitored by the new aggregator"
    );
    assert_eq!(system.aggregator().collect().await.unwrap().num_counters, 2);
    system.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_applies_what_was_sent_and_ends_every_handle_and_task() {
    let metrics = tokio::runtime::Handle::current().metrics();
    let system = system().await;
    let counter = system.counter("counter").await.unwrap();
    let aggregator = system.aggregator().clone();
    counter.increment(7).unwrap();
    let stats = system.shutdown().await;
    assert_eq!((stats.total_value, stats.total_operations, stats.num_counters), (7, 1, 1));
    assert_eq!(counter.metrics().delivered, 1);
    assert!(matches!(counter.increment(1), Err(CounterError::Stopped { .. })));
    assert!(matches!(counter.value().await, Err(CounterError::Stopped { .. })));
    assert!(matches!(aggregator.collect().await, Err(AggregatorError::Stopped)));
    let gone = async {
        while metrics.num_alive_tasks() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_millis(10), gone).await.expect("all tasks end with the system");
}

/// Increments until that is refused, and returns the number of accepted increments.
async fn count_until_refused(counter: CounterHandle) -> u128 {
    let mut accepted = 0;
    while counter.increment(1).is_ok() {
        accepted += 1;
        if accepted % 16 == 0 {
            tokio::task::yield_now().await;
        }
    }
    accepted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn operations_accepted_during_a_shutdown_are_applied() {
    for _ in 0..100 {
        let system = system().await;
        let mut senders = JoinSet::new();
        for name in ["a", "b", "c", "a"] {
            senders.spawn(count_until_refused(system.counter(name).await.unwrap()));
        }
        system.aggregator().collect().await.unwrap();
        let stats = system.shutdown().await;
        let accepted: u128 = senders.join_all().await.into_iter().sum();
        assert_eq!(
            (stats.total_operations, stats.total_value),
            (accepted, i128::try_from(accepted).unwrap())
        );
        assert_eq!((stats.num_counters, stats.unanswered.len()), (3, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_the_restart_of_a_counter_that_has_accepted_operations() {
    let system = system().await;
    let counter = system.counter("killed").await.unwrap();
    counter.increment(1).unwrap();
    counter.actor().unwrap().kill();
    counter.increment(2).unwrap();
    let stats = system.shutdown().await;
    assert_eq!((stats.total_value, stats.total_operations, stats.restarts), (3, 2, 1));
}

/// Counter that never gets beyond its first message.
#[derive(Clone)]
struct Hung;

impl Actor for Hung {
    type Msg = CounterMessage;
    type State = Lease<CounterState>;
    type Arguments = Lease<CounterState>;

    async fn pre_start(
        &self,
        myself: ActorRef<CounterMessage>,
        state: Lease<CounterState>,
    ) -> Result<Lease<CounterState>, ActorProcessingErr> {
        CounterActor.pre_start(myself, state).await
    }

    async fn handle(
        &self,
        _: ActorRef<CounterMessage>,
        _: CounterMessage,
        _: &mut Lease<CounterState>,
    ) -> Result<(), ActorProcessingErr> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_names_the_counters_that_hang() {
    let system = CounterSystem::start_with(SystemOptions::default(), Hung).await.unwrap();
    let begun = Instant::now();
    for name in ["a", "b"] {
        system.counter(name).await.unwrap().increment(1).unwrap();
    }
    let stats = system.shutdown().await;
    assert_eq!((stats.num_counters, stats.total_operations), (2, 0));
    assert_eq!(stats.unanswered, ["a", "b"].map(CounterName::from_static).into());
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

/// Returns options of a system that gives up at the first crash.
fn brittle() -> SystemOptions {
    let intensity = Intensity { restarts: 0, within: Duration::from_secs(60) };
    SystemOptions { supervision: Options { intensity, ..Options::default() }, ..SystemOptions::default() }
}

#[tokio::test(start_paused = true)]
async fn a_system_that_gives_up_tells_those_who_wait() {
    let intensity = Intensity { restarts: 1, within: Duration::from_secs(60) };
    let options = SystemOptions {
        supervision: Options { intensity, ..Options::default() },
        ..SystemOptions::default()
    };
    let system = CounterSystem::start(options).await.unwrap();
    let counter = system.counter("doomed").await.unwrap();
    for _ in 0..2 {
        counter.value().await.unwrap();
        counter.actor().unwrap().kill();
    }
    assert!(matches!(counter.value().await, Err(CounterError::Stopped { .. })));
    assert!(matches!(counter.increment(1), Err(CounterError::Stopped { .. })));
    assert!(system.counter("another").await.is_err());
    let stats = system.shutdown().await;
    assert_eq!(stats.unanswered, [CounterName::from_static("doomed")].into());
}

/// Counter that reports the number of operations it has applied when it stops.
#[derive(Clone)]
struct Reporting(mpsc::Sender<u64>);

impl Actor for Reporting {
    type Msg = CounterMessage;
    type State = Lease<CounterState>;
    type Arguments = Lease<CounterState>;

    async fn pre_start(
        &self,
        myself: ActorRef<CounterMessage>,
        state: Lease<CounterState>,
    ) -> Result<Lease<CounterState>, ActorProcessingErr> {
        CounterActor.pre_start(myself, state).await
    }

    async fn handle(
        &self,
        myself: ActorRef<CounterMessage>,
        message: CounterMessage,
        state: &mut Lease<CounterState>,
    ) -> Result<(), ActorProcessingErr> {
        CounterActor.handle(myself, message, state).await
    }

    async fn post_stop(
        &self,
        myself: ActorRef<CounterMessage>,
        state: &mut Lease<CounterState>,
    ) -> Result<(), ActorProcessingErr> {
        let (port, stats) = ractor::concurrency::oneshot();
        CounterActor.handle(myself, CounterMessage::GetStats(port.into()), state).await?;
        self.0.send(stats.await?.total_operations).await?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn operations_accepted_while_a_system_gives_up_are_applied_by_the_counters_that_live() {
    for _ in 0..100 {
        let (stopped, mut applied) = mpsc::channel(9);
        let system = CounterSystem::start_with(brittle(), Reporting(stopped)).await.unwrap();
        let (doomed, healthy) =
            (system.counter("doomed").await.unwrap(), system.counter("healthy").await.unwrap());
        let mut senders = JoinSet::new();
        for _ in 0..3 {
            senders.spawn(count_until_refused(healthy.clone()));
        }
        healthy.value().await.unwrap();
        doomed.actor().unwrap().kill();
        let accepted: u128 = senders.join_all().await.into_iter().sum();
        assert_eq!(applied.recv().await.map(u128::from), Some(accepted));
        system.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn its_children_can_be_seen() {
    let system = system().await;
    let counter = system.counter("a").await.unwrap();
    counter.actor().unwrap().kill();
    counter.value().await.unwrap();
    let children = system.supervisor().children().await.unwrap();
    let seen: Vec<_> = children.iter().map(|child| (&*child.id, child.state, child.restarts)).collect();
    assert_eq!(seen, [("aggregator", ChildState::Running, 0), ("counter a", ChildState::Running, 1)]);
    system.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_counter_goes_on_from_its_initial_count_unless_it_is_there() {
    let system = system().await;
    let counter = system.counter_resuming("resumed", Count { value: 40, operations: 9 }).await.unwrap();
    counter.increment(2).unwrap();
    counter.value().await.unwrap();
    counter.actor().unwrap().kill();
    let same = system.counter_resuming("resumed", Count { value: 7, operations: 1 }).await.unwrap();
    let stats = same.stats().await.unwrap();
    assert_eq!((stats.current_value, stats.total_operations, stats.restarts), (42, 10, 1));
    let stats = system.shutdown().await;
    assert_eq!((stats.total_value, stats.total_operations, stats.num_counters), (42, 10, 1));
}
