//! Operations per second into one and many counters, and the latency of a question.

use counter_actor::{CounterHandle, CounterState};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::try_join_all;
use tokio::runtime::Runtime;

const OPERATIONS: u64 = 100_000;

async fn spawn(counters: u64) -> Vec<CounterHandle> {
    let mut handles = Vec::new();
    for n in 0..counters {
        let handle = CounterHandle::start(CounterState::new(n.to_string()).expect("a short name")).await;
        handles.push(handle.expect("a counter starts"));
    }
    handles
}

/// Casts from one sender, spread evenly, until all casts are applied.
fn casts(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = c.benchmark_group("cast");
    group.throughput(Throughput::Elements(OPERATIONS));
    for counters in [1, 100, 10_000] {
        let handles = runtime.block_on(spawn(counters));
        group.bench_function(BenchmarkId::from_parameter(counters), |b| {
            b.to_async(&runtime).iter(async || {
                for (_, handle) in (0..OPERATIONS).zip(handles.iter().cycle()) {
                    handle.increment(1).expect("the counter runs");
                }
                try_join_all(handles.iter().map(CounterHandle::value)).await.expect("the counters answer");
            });
        });
    }
    group.finish();
}

fn call_latency(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let handles = runtime.block_on(spawn(1));
    c.bench_function("call", |b| {
        b.to_async(&runtime).iter(async || handles[0].value().await.expect("the counter answers"));
    });
}

criterion_group!(benches, casts, call_latency);
criterion_main!(benches);
