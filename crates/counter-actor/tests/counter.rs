//! A counter as its callers see it.

use std::time::Duration;

use counter_actor::{CounterError, CounterHandle, CounterState};
use counter_protocol::{Count, CounterMessage, CounterName, CounterStats, NameTooLong, Rate};
use ractor_supervision::StateSlot;
use tokio::time::advance;

async fn counter(initial_value: i64, initial_operations: u64) -> CounterHandle {
    let count = Count { value: initial_value, operations: initial_operations };
    let state = CounterState::resuming("under test", count).expect("a short name");
    CounterHandle::start(state).await.expect("the counter starts")
}

#[tokio::test(start_paused = true)]
async fn a_sender_reads_its_own_writes() {
    let counter = counter(0, 0).await;
    for _ in 0..1_000 {
        counter.increment(3).unwrap();
        counter.decrement(1).unwrap();
    }
    assert_eq!(counter.value().await.unwrap(), 2_000);
}

#[tokio::test(start_paused = true)]
async fn operations_that_wait_are_one_message_and_one_operation_that_does_not_is_one_too() {
    let counter = counter(0, 0).await;
    for _ in 0..1_000 {
        counter.increment(1).unwrap();
    }
    assert_eq!(counter.value().await.unwrap(), 1_000);
    assert_eq!((counter.metrics().delivered, counter.metrics().parcels), (1_000, 1));
    counter.increment(1).unwrap();
    assert_eq!(counter.value().await.unwrap(), 1_001);
    assert_eq!((counter.metrics().delivered, counter.metrics().parcels), (1_001, 2));
}

#[tokio::test(start_paused = true)]
async fn it_goes_on_from_where_its_arguments_say() {
    let counter = counter(40, 8).await;
    counter.increment(2).unwrap();
    advance(Duration::from_secs(4)).await;
    assert_eq!(
        counter.stats().await.unwrap(),
        CounterStats {
            current_value: 42,
            total_operations: 9,
            rejected_operations: 0,
            restarts: 0,
            operations_per_second: Rate::from(0.25),
        }
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_operation_leaves_the_counter_running() {
    let counter = counter(i64::MAX, 0).await;
    counter.increment(1).unwrap();
    // Not folded into the operation before, which the counter has taken by then.
    assert_eq!(counter.value().await.unwrap(), i64::MAX);
    counter.increment(i64::MIN).unwrap();
    let stats = counter.stats().await.unwrap();
    assert_eq!((stats.current_value, stats.total_operations, stats.rejected_operations), (-1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn plain_casts_to_the_actor_work_beside_the_handle() {
    let counter = counter(0, 0).await;
    counter.actor().unwrap().cast(CounterMessage::Decrement { amount: 5 }).unwrap();
    counter.increment(1).unwrap();
    assert_eq!(counter.value().await.unwrap(), -4);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_applies_what_was_sent_before_and_refuses_what_comes_after() {
    let counter = counter(0, 0).await;
    for _ in 0..100 {
        counter.increment(1).unwrap();
    }
    let (last_value, ()) = tokio::join!(counter.value(), counter.shutdown());
    assert_eq!(last_value.unwrap(), 100);
    assert!(matches!(counter.increment(1), Err(CounterError::Stopped { .. })));
    assert!(matches!(counter.value().await, Err(CounterError::Stopped { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn operations_accepted_during_a_shutdown_are_applied() {
    for _ in 0..50 {
        let slot = StateSlot::new(CounterState::new("c").unwrap());
        let counter = CounterHandle::start(slot.lease().await).await.unwrap();
        let senders: Vec<_> = (0..4)
            .map(|_| {
                let counter = counter.clone();
                tokio::spawn(async move {
                    let mut accepted = 0;
                    while counter.increment(1).is_ok() {
                        accepted += 1;
                        if accepted % 16 == 0 {
                            tokio::task::yield_now().await;
                        }
                    }
                    accepted
                })
            })
            .collect();
        counter.value().await.unwrap();
        counter.shutdown().await;
        let mut accepted = 0;
        for sender in senders {
            accepted += sender.await.unwrap();
        }
        let successor = CounterHandle::start(slot.lease().await).await.unwrap();
        assert_eq!(successor.stats().await.unwrap().total_operations, accepted);
    }
}

#[tokio::test(start_paused = true)]
async fn two_shutdowns_are_as_good_as_one() {
    let counter = counter(0, 0).await;
    tokio::join!(counter.shutdown(), counter.shutdown());
    counter.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_question_that_dies_with_the_counter_is_an_error() {
    let counter = counter(0, 0).await;
    // The question is in the mailbox when the kill overtakes it.
    let (answer, ()) = tokio::join!(counter.value(), async { counter.actor().unwrap().kill() });
    assert!(matches!(answer, Err(CounterError::Stopped { .. })));
}

#[tokio::test(start_paused = true)]
async fn no_task_outlives_a_counter() {
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let counter = counter(0, 0).await;
    counter.increment(1).unwrap();
    counter.shutdown().await;
    let gone = async {
        while tokio::runtime::Handle::current().metrics().num_alive_tasks() > before {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(1), gone).await.expect("the counter's task ends");
}

#[test]
fn a_counter_with_a_name_above_the_limit_does_not_start() {
    let len_bytes = CounterName::MAX_BYTES + 1;
    let rejected = CounterState::new(vec![b'x'; len_bytes]).unwrap_err();
    assert_eq!(rejected, NameTooLong { len_bytes });
}

#[test]
fn errors_are_noun_phrases_that_name_the_counter() {
    let name = || CounterName::from_static("hits");
    assert_eq!(CounterError::Stopped { name: name() }.to_string(), "counter `hits` has stopped");
    assert_eq!(CounterError::Unanswered { name: name() }.to_string(), "question dropped by counter `hits`");
}
