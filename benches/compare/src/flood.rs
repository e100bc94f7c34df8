//! Floods a slow counter, to show that memory does not grow with the operations that wait for it.

use std::hint::black_box;
use std::time::Duration;

use counter_actor::{CounterActor, CounterHandle, CounterState};
use counter_protocol::{CounterMessage, CounterName, Delta};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use ractor_outbox::{Metrics, Outbox};
use ractor_supervision::Lease;
use tokio::task::coop;
use tokio::time::{Instant, sleep};

use crate::process::MemoryWatch;
use crate::produce::bursts;

const PRODUCERS: u64 = 4;
/// Increments of each producer.
const INCREMENTS: u64 = 25_000_000;
/// Time that the counter takes for each message.
const DELAY: Duration = Duration::from_millis(10);

/// Counter that takes [`DELAY`] for each message.
struct SlowCounter;

impl Actor for SlowCounter {
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
        sleep(DELAY).await;
        CounterActor.handle(myself, message, state).await
    }
}

pub(crate) async fn run() {
    let name = CounterName::from_static("flooded");
    let state = Lease::from(CounterState::new(name.clone()).expect("a short name"));
    let (actor, _task) = Actor::spawn(None, SlowCounter, state).await.expect("the counter starts");
    let counter = CounterHandle::supervised(name, Outbox::new(Delta::default(), actor));

    let memory = MemoryWatch::start();
    let started = Instant::now();
    let producers: Vec<_> = (0..PRODUCERS).map(|_| tokio::spawn(produce(counter.clone()))).collect();
    let (mut metrics, mut sent_after) = (Metrics::default(), Duration::ZERO);
    for producer in producers {
        let (producer_metrics, sent) = producer.await.expect("producers do not panic");
        metrics = metrics + producer_metrics;
        sent_after = sent_after.max(sent - started);
    }
    let value = counter.value().await.expect("the counter answers");
    let took = started.elapsed();
    let memory = memory.finish();
    counter.shutdown().await;

    let total = PRODUCERS * INCREMENTS;
    assert_eq!(value, i64::try_from(total).expect("it fits"), "counting is exact");
    println!("flood: {PRODUCERS} producers with {INCREMENTS} increments each; {DELAY:?} per message");
    println!("sent after {sent_after:.2?}, applied after {took:.2?}, exactly {value}");
    println!("parcels: {}, of {} increments each on average", metrics.parcels, total / metrics.parcels);
    println!(
        "resident memory: {} KiB at the start, {} KiB at the peak, growth {} KiB",
        memory.start_bytes / 1024,
        memory.peak_bytes / 1024,
        (memory.peak_bytes - memory.start_bytes) / 1024,
    );
}

/// Sends the increments. Returns their counts by outcome, and the time at which the last one was sent.
async fn produce(counter: CounterHandle) -> (Metrics, Instant) {
    for burst in bursts(INCREMENTS) {
        for _ in 0..burst {
            counter.increment(black_box(1)).expect("the counter runs");
        }
        coop::consume_budget().await;
    }
    let sent = Instant::now();
    counter.value().await.expect("the counter answers");
    (counter.metrics(), sent)
}
