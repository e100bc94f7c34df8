use std::hint::black_box;

use kameo::Actor;
use kameo::actor::{ActorRef, Spawn};
use kameo::mailbox;
use kameo::message::{Context, Message};
use tokio::task::coop;

use super::{Contestant, MAX_WAITING};
use crate::produce::{Producer, bursts};

/// Actors of the framework `kameo`, either with the mailboxes they have by default, where senders wait for room, or
/// with mailboxes that have no bound. Neither is always the faster.
pub(crate) struct Kameo<const BOUNDED: bool>(Vec<ActorRef<Counter>>);

#[derive(Actor)]
pub(crate) struct Counter {
    value: i64,
}

struct Increment {
    amount: i64,
}

struct GetValue;

impl<const BOUNDED: bool> Contestant for Kameo<BOUNDED> {
    const NAME: &'static str = if BOUNDED { "kameo tell (default, 64)" } else { "kameo tell (unbounded)" };
    const MAX_INCREMENTS: u64 = MAX_WAITING;
    type Producer = ActorRef<Counter>;

    async fn start(counters: usize) -> Self {
        let counter = |_| {
            let counter = Counter { value: 0 };
            if BOUNDED {
                Counter::spawn(counter)
            } else {
                Counter::spawn_with_mailbox(counter, mailbox::unbounded())
            }
        };
        Self((0..counters).map(counter).collect())
    }

    fn producer(&self, counter: usize) -> ActorRef<Counter> {
        self.0[counter].clone()
    }

    async fn values(&mut self) -> Vec<i64> {
        let mut values = Vec::with_capacity(self.0.len());
        for counter in &self.0 {
            values.push(counter.ask(GetValue).await.expect("the counter answers"));
        }
        values
    }

    async fn stop(self) {
        for counter in &self.0 {
            counter.stop_gracefully().await.expect("the counter runs");
            counter.wait_for_shutdown().await;
        }
    }
}

impl Producer for ActorRef<Counter> {
    async fn run(self, increments: u64) {
        for burst in bursts(increments) {
            for _ in 0..burst {
                self.tell(Increment { amount: black_box(1) }).await.expect("the counter runs");
            }
            coop::consume_budget().await;
        }
    }
}

impl Message<Increment> for Counter {
    type Reply = ();

    async fn handle(&mut self, Increment { amount }: Increment, _context: &mut Context<Self, ()>) {
        self.value += amount;
    }
}

impl Message<GetValue> for Counter {
    type Reply = i64;

    async fn handle(&mut self, _question: GetValue, _context: &mut Context<Self, i64>) -> i64 {
        self.value
    }
}
