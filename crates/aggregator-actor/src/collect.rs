use counter_protocol::{Answer, CounterMessage};
use ractor::ActorRef;
use ractor::concurrency::oneshot;
use tokio::time::{Instant, timeout_at};

/// Asks all counters at once and waits for their answers until the deadline.
///
/// Going through the replies one after the other is enough: all were asked before, and once the deadline has
/// passed, each reply that is there is still taken and each that is not costs no more time.
pub(crate) async fn collect(counters: Vec<ActorRef<CounterMessage>>, deadline: Instant) -> Vec<Answer> {
    let ask = |counter: ActorRef<CounterMessage>| {
        let (port, reply) = oneshot();
        // A dead counter drops the port, which ends the wait for its reply at once.
        let _ = counter.cast(CounterMessage::GetStats(port.into()));
        (counter, reply)
    };
    let asked: Vec<_> = counters.into_iter().map(ask).collect();
    let mut answers = Vec::with_capacity(asked.len());
    for (counter, reply) in asked {
        let stats = timeout_at(deadline, reply).await.ok().and_then(Result::ok);
        answers.push(Answer { counter, stats });
    }
    answers
}
