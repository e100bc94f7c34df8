//! An aggregator as its callers see it, over real counters and over counters that misbehave.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aggregator_actor::{AggregatorError, AggregatorHandle, AggregatorOptions};
use counter_actor::{CounterHandle, CounterState};
use counter_protocol::{AggregatorMessage, Count, CounterMessage, CounterName, CounterStats, Rate};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::time::{Instant, advance, sleep};

const PERIOD: Duration = Duration::from_secs(2);
const DEADLINE: Duration = Duration::from_secs(1);

async fn aggregator(collect_every: Option<Duration>) -> AggregatorHandle {
    let arguments = AggregatorOptions { collect_every, deadline: DEADLINE };
    AggregatorHandle::start(arguments).await.expect("the aggregator starts")
}

async fn counter(aggregator: &AggregatorHandle, name: &str) -> CounterHandle {
    let counter = CounterHandle::start(CounterState::new(name).expect("a short name"))
        .await
        .expect("the counter starts");
    let actor = counter.actor().expect("it has started");
    aggregator.register(name, actor).await.expect("the aggregator runs");
    counter
}

/// Actor that takes questions and, if it is hung, keeps them for ever without an answer.
struct Probe {
    asked: Arc<AtomicU64>,
    hung: bool,
}

impl Actor for Probe {
    type Msg = CounterMessage;
    type State = Vec<RpcReplyPort<CounterStats>>;
    type Arguments = ();

    async fn pre_start(
        &self,
        _: ActorRef<CounterMessage>,
        (): (),
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(Vec::new())
    }

    async fn handle(
        &self,
        _: ActorRef<CounterMessage>,
        message: CounterMessage,
        kept: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let CounterMessage::GetStats(reply) = message else { return Err("crash on demand".into()) };
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.hung {
            kept.push(reply);
        } else {
            let _ = reply.send(CounterStats::default());
        }
        Ok(())
    }
}

/// Starts a probe, and returns it with a count of its questions.
async fn probe(
    aggregator: &AggregatorHandle,
    name: &str,
    hung: bool,
) -> (ActorRef<CounterMessage>, Arc<AtomicU64>) {
    let asked = Arc::new(AtomicU64::new(0));
    let (probe, _task) =
        Actor::spawn(None, Probe { asked: asked.clone(), hung }, ()).await.expect("the probe starts");
    aggregator.register(name, probe.clone()).await.expect("the aggregator runs");
    (probe, asked)
}

#[tokio::test(start_paused = true)]
async fn a_fresh_collection_holds_everything_sent_before() {
    let aggregator = aggregator(None).await;
    for n in 1..=4 {
        let counter = counter(&aggregator, &n.to_string()).await;
        for _ in 0..50 {
            counter.increment(n).unwrap();
        }
    }
    let before = aggregator.total_stats().await.unwrap();
    assert_eq!((before.total_value, before.num_counters, before.unanswered.len()), (0, 4, 4));

    let totals = aggregator.collect().await.unwrap();
    assert_eq!((totals.total_value, totals.total_operations, totals.num_counters), (500, 200, 4));
    assert!(totals.unanswered.is_empty());
    assert_eq!(aggregator.total_stats().await.unwrap(), totals);
}

#[tokio::test(start_paused = true)]
async fn a_collection_requested_while_one_runs_begins_after_it() {
    let aggregator = aggregator(None).await;
    let counter = counter(&aggregator, "exact").await;
    probe(&aggregator, "hung", true).await;
    let (first, second) = tokio::join!(aggregator.collect(), async {
        sleep(DEADLINE / 2).await;
        counter.increment(7).unwrap();
        aggregator.collect().await
    });
    assert_eq!(first.unwrap().total_value, 0);
    assert_eq!(second.unwrap().total_value, 7);
}

#[tokio::test(start_paused = true)]
async fn hung_counters_cost_one_deadline_together_and_are_named() {
    let aggregator = aggregator(None).await;
    let exact = counter(&aggregator, "exact").await;
    exact.increment(3).unwrap();
    for name in ["hung-1", "hung-2", "hung-3"] {
        probe(&aggregator, name, true).await;
    }
    let begun = Instant::now();
    let totals = aggregator.collect().await.unwrap();
    assert!((DEADLINE..DEADLINE + Duration::from_millis(5)).contains(&begun.elapsed()));
    assert_eq!((totals.total_value, totals.num_counters), (3, 4));
    assert_eq!(totals.unanswered, ["hung-1", "hung-2", "hung-3"].map(CounterName::from_static).into());
}

#[tokio::test(start_paused = true)]
async fn totals_are_answered_at_once_while_a_collection_runs() {
    let aggregator = aggregator(None).await;
    probe(&aggregator, "hung", true).await;
    aggregator.actor().unwrap().cast(AggregatorMessage::CollectStats.into()).unwrap();
    let begun = Instant::now();
    let totals = aggregator.total_stats().await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(totals.num_counters, 1);
}

#[tokio::test(start_paused = true)]
async fn extra_collections_neither_overlap_nor_multiply_the_timer() {
    let aggregator = aggregator(Some(PERIOD)).await;
    let (_probe, asked) = probe(&aggregator, "hung", true).await;
    for _ in 0..100 {
        aggregator.actor().unwrap().cast(AggregatorMessage::CollectStats.into()).unwrap();
    }
    aggregator.total_stats().await.unwrap();
    sleep(DEADLINE + DEADLINE / 2).await;
    assert_eq!(asked.load(Ordering::Relaxed), 1, "one runs, the others are merged into it");
    sleep(10 * PERIOD).await;
    assert_eq!(asked.load(Ordering::Relaxed), 11, "one more each period");
}

#[tokio::test(start_paused = true)]
async fn a_counter_registered_twice_is_asked_once() {
    let aggregator = aggregator(None).await;
    let (probe, asked) = probe(&aggregator, "twice", false).await;
    aggregator.register("twice", probe).await.unwrap();
    assert_eq!(aggregator.collect().await.unwrap().num_counters, 1);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_counter_that_stops_leaves_by_itself() {
    let aggregator = aggregator(None).await;
    let leaves = counter(&aggregator, "leaves").await;
    let _stays = counter(&aggregator, "stays").await;
    leaves.increment(1).unwrap();
    assert_eq!(aggregator.collect().await.unwrap().total_value, 1);
    leaves.shutdown().await;
    let totals = aggregator.total_stats().await.unwrap();
    assert_eq!((totals.total_value, totals.num_counters), (0, 1));
    aggregator.register("late", leaves.actor().unwrap()).await.unwrap();
    assert_eq!(aggregator.total_stats().await.unwrap().num_counters, 1, "too late to register");
}

#[tokio::test(start_paused = true)]
async fn a_counter_that_dies_is_named_and_what_it_said_is_kept_until_another_takes_its_name() {
    let aggregator = aggregator(None).await;
    let killed = counter(&aggregator, "killed").await;
    killed.increment(5).unwrap();
    let (failing, _asked) = probe(&aggregator, "failed", false).await;
    assert!(aggregator.collect().await.unwrap().unanswered.is_empty());

    killed.actor().unwrap().kill_and_wait(None).await.unwrap();
    failing.cast(CounterMessage::Increment { amount: 1 }).unwrap();
    failing.wait(None).await.unwrap();
    for totals in [aggregator.total_stats().await.unwrap(), aggregator.collect().await.unwrap()] {
        assert_eq!((totals.total_value, totals.num_counters), (5, 2));
        assert_eq!(totals.unanswered, ["killed", "failed"].map(CounterName::from_static).into());
    }

    let state = CounterState::resuming("killed", Count { value: 5, operations: 1 }).unwrap();
    let successor = CounterHandle::start(state).await.unwrap();
    aggregator.register("killed", successor.actor().unwrap()).await.unwrap();
    aggregator.forget("failed").await.unwrap();
    let totals = aggregator.collect().await.unwrap();
    assert_eq!((totals.total_value, totals.num_counters, totals.unanswered.len()), (5, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn subscribers_get_each_periodic_collection_with_the_recent_rate() {
    let aggregator = aggregator(Some(PERIOD)).await;
    let mut collections = aggregator.subscribe();
    let counter = counter(&aggregator, "busy").await;
    for round in 1..=3 {
        for _ in 0..10 * round {
            counter.increment(1).unwrap();
        }
        collections.changed().await.unwrap();
        let collection = collections.borrow_and_update().clone();
        assert_eq!(collection.number, round);
        let recent = if round == 1 { 0.0 } else { 5.0 * round as f64 };
        assert!((collection.stats.recent_operations_per_second.per_second() - recent).abs() < 0.1);
    }
    assert_eq!(aggregator.counter_stats().await.unwrap()[0].1.total_operations, 60);
}

#[tokio::test(start_paused = true)]
async fn the_lifetime_mean_is_averaged_over_counters() {
    let aggregator = aggregator(None).await;
    for (name, operations) in [("slow", 10), ("fast", 30)] {
        let counter = counter(&aggregator, name).await;
        (0..operations).for_each(|_| counter.increment(1).unwrap());
    }
    advance(Duration::from_secs(10)).await;
    let totals = aggregator.collect().await.unwrap();
    assert_eq!(totals.operations_per_second, Rate::from(4.0));
    assert_eq!(totals.avg_ops_per_second(), 2.0);
}

#[tokio::test(start_paused = true)]
async fn no_task_outlives_an_aggregator_and_whoever_waits_is_told() {
    let metrics = tokio::runtime::Handle::current().metrics();
    let aggregator = aggregator(Some(PERIOD)).await;
    let (probe, _asked) = probe(&aggregator, "hung", true).await;
    let (waiting, ()) = tokio::join!(aggregator.collect(), async {
        sleep(DEADLINE / 2).await;
        aggregator.shutdown().await;
    });
    assert!(matches!(waiting, Err(AggregatorError::Stopped)));
    assert!(matches!(aggregator.total_stats().await, Err(AggregatorError::Stopped)));
    probe.kill_and_wait(None).await.unwrap();
    let gone = async {
        while metrics.num_alive_tasks() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE / 10, gone).await.expect("timer and collection end with the aggregator");
}

#[tokio::test(start_paused = true)]
async fn a_period_of_zero_is_refused_with_the_reason() {
    let arguments = AggregatorOptions { collect_every: Some(Duration::ZERO), deadline: DEADLINE };
    let error = AggregatorHandle::start(arguments).await.unwrap_err();
    let source = std::error::Error::source(&error).expect("a source").to_string();
    assert!(source.contains("the time between two collections is zero"), "{source}");
}
