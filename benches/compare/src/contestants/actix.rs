use std::thread::{self, JoinHandle};

use actix::{Actor, Addr, Arbiter, Context, Handler, Message, System};
use tokio::sync::oneshot;

use super::{Contestant, MAX_WAITING};
use crate::produce;

/// Actors of the framework `actix`.
///
/// They need threads of a special kind, arbiters, each with a runtime for that thread alone. A counter gets an
/// arbiter for itself, up to the number of cores; beyond that they share. The producers are tasks on the same runtime
/// as those of the other contestants. That is the fairest way we know. Producers and counters can use all cores, as
/// elsewhere, and no counter waits behind a producer for a free worker, because the operating system schedules them
/// all. On one thread for all counters, or with the producers on the arbiters too, it would have to do without one or
/// the other.
pub(crate) struct Actix {
    counters: Vec<Addr<Counter>>,
    system: System,
    thread: JoinHandle<()>,
}

pub(crate) struct Counter {
    value: i64,
}

struct Increment {
    amount: i64,
}

struct GetValue;

impl Contestant for Actix {
    const NAME: &'static str = "actix do_send";
    const MAX_INCREMENTS: u64 = MAX_WAITING;
    type Producer = Addr<Counter>;

    async fn start(counters: usize) -> Self {
        let (started, start) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runner = System::new();
            let counters = runner.block_on(async { spawn(counters) });
            // An error means that the main thread has panicked.
            let _ = started.send((counters, System::current()));
            runner.run().expect("the system stops in order");
        });
        let (counters, system) = start.await.expect("the system starts");
        Self { counters, system, thread }
    }

    fn producer(&self, counter: usize) -> Addr<Counter> {
        self.counters[counter].clone()
    }

    async fn values(&mut self) -> Vec<i64> {
        let mut values = Vec::with_capacity(self.counters.len());
        for counter in &self.counters {
            values.push(counter.send(GetValue).await.expect("the counter answers"));
        }
        values
    }

    async fn stop(self) {
        self.system.stop();
        self.thread.join().expect("the system's thread does not panic");
    }
}

impl produce::Increment for Addr<Counter> {
    /// Sends into a mailbox without a bound: `do_send` ignores the limit that `send` respects.
    #[inline]
    fn increment(&self, amount: i64) {
        self.do_send(Increment { amount });
    }
}

impl Actor for Counter {
    type Context = Context<Self>;
}

impl Message for Increment {
    type Result = ();
}

impl Handler<Increment> for Counter {
    type Result = ();

    fn handle(&mut self, Increment { amount }: Increment, _context: &mut Context<Self>) {
        self.value += amount;
    }
}

impl Message for GetValue {
    type Result = i64;
}

impl Handler<GetValue> for Counter {
    type Result = i64;

    fn handle(&mut self, _question: GetValue, _context: &mut Context<Self>) -> i64 {
        self.value
    }
}

/// Starts counters on the thread of the system that the arbiters are to belong to.
fn spawn(counters: usize) -> Vec<Addr<Counter>> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let arbiters: Vec<Arbiter> = (0..counters.min(cores)).map(|_| Arbiter::new()).collect();
    let arbiters = arbiters.iter().cycle().take(counters);
    arbiters.map(|arbiter| Actor::start_in_arbiter(&arbiter.handle(), |_| Counter { value: 0 })).collect()
}
