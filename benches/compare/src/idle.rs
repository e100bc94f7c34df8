//! Leaves counters alone, to show that they do nothing by themselves.

use std::time::Duration;

use counter_actor::{CounterHandle, CounterState};
use tokio::time::sleep;

use crate::process;

const COUNTERS: usize = 100;
const IDLE: Duration = Duration::from_secs(5);

pub(crate) async fn run() {
    let mut counters = Vec::with_capacity(COUNTERS);
    for n in 0..COUNTERS {
        let arguments = CounterState::new(format!("idle-{n}")).expect("a short name");
        let counter = CounterHandle::start(arguments).await.expect("the counter starts");
        counter.increment(1).expect("the counter runs");
        assert_eq!(counter.value().await.expect("the counter answers"), 1, "counting is exact");
        counters.push(counter);
    }
    let before = process::cpu_time();
    sleep(IDLE).await;
    let used = process::cpu_time() - before;
    println!("idle: {COUNTERS} counters used {used:?} of processor time in {IDLE:?} (ticks are 10 ms)");
    for counter in &counters {
        counter.shutdown().await;
    }
}
