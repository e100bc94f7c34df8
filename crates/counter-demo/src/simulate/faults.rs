//! Counters that crash on demand, for `--crash-every`.

use std::time::Duration;

use counter_actor::CounterHandle;
use counter_protocol::CounterMessage;
use ractor::concurrency::oneshot;
use ractor_faults::{Fault, Faults};
use tokio::task::JoinHandle;

/// Crashes one of these counters each time the period has passed.
pub(super) fn crash_every(period: Duration, faults: &Faults, counters: &[CounterHandle]) -> JoinHandle<()> {
    let (faults, counters) = (faults.clone(), counters.to_vec());
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(period);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            crash(&faults, &counters[fastrand::usize(..counters.len())]);
        }
    })
}

fn crash(faults: &Faults, counter: &CounterHandle) {
    let Ok(actor) = counter.actor() else { return };
    let fault = match fastrand::u8(..3) {
        0 => return actor.kill(),
        1 => Fault::PanicBefore,
        _ => Fault::ErrorBefore,
    };
    faults.inject_into(actor.get_id(), fault);
    // A message for it to crash with, in case no other comes; the answer is not missed.
    let (port, _reply) = oneshot();
    let _ = actor.cast(CounterMessage::GetValue(port.into()));
}
