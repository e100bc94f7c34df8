//! One collection over 10, 1,000 and 10,000 counters. The goal for 10,000 is at most 50 ms.

use aggregator_actor::{AggregatorHandle, AggregatorOptions};
use counter_actor::{CounterHandle, CounterState};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tokio::runtime::Runtime;

async fn start(counters: u64) -> AggregatorHandle {
    let arguments = AggregatorOptions { collect_every: None, ..AggregatorOptions::default() };
    let aggregator = AggregatorHandle::start(arguments).await.expect("the aggregator starts");
    for n in 0..counters {
        let counter = CounterHandle::start(CounterState::new(n.to_string()).expect("a short name"))
            .await
            .expect("a counter starts");
        let actor = counter.actor().expect("it has started");
        aggregator.register(counter.name().clone(), actor).await.expect("the aggregator runs");
    }
    aggregator
}

fn collection(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = c.benchmark_group("collection");
    for counters in [10, 1_000, 10_000] {
        let aggregator = runtime.block_on(start(counters));
        group.bench_function(BenchmarkId::from_parameter(counters), |b| {
            b.to_async(&runtime).iter(async || {
                let totals = aggregator.collect().await.expect("the aggregator runs");
                assert!(totals.unanswered.is_empty());
            });
        });
    }
    group.finish();
}

criterion_group!(benches, collection);
criterion_main!(benches);
