//! An outbox as senders and actors see it.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, Message, RpcReplyPort};
use ractor_outbox::{Batch, CallError, Fifo, Metrics, Outbox, Parcel, SendError};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const MOMENT: Duration = Duration::from_millis(1);

/// Actor that writes down the numbers it gets; a negative one makes it panic.
struct Ledger {
    /// Permits to write numbers down.
    permits: Arc<Semaphore>,
    parcels: Arc<AtomicU64>,
}

enum LedgerMessage {
    Parcel(Parcel<Fifo<i64>>),
    Get(RpcReplyPort<Vec<i64>>),
    Ignore(RpcReplyPort<()>),
}

impl Message for LedgerMessage {}
impl From<Parcel<Fifo<i64>>> for LedgerMessage {
    fn from(parcel: Parcel<Fifo<i64>>) -> Self {
        Self::Parcel(parcel)
    }
}

impl Actor for Ledger {
    type Msg = LedgerMessage;
    type State = Vec<i64>;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<LedgerMessage>, (): ()) -> Result<Vec<i64>, ActorProcessingErr> {
        Ok(Vec::new())
    }

    async fn handle(
        &self,
        _: ActorRef<LedgerMessage>,
        message: LedgerMessage,
        written: &mut Vec<i64>,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            LedgerMessage::Parcel(parcel) => {
                self.parcels.fetch_add(1, Ordering::Relaxed);
                let Some(mut opened) = parcel.open() else { return Ok(()) };
                while !opened.is_empty() {
                    self.permits.acquire().await?.forget();
                    let number = opened.pop().expect("it is not empty");
                    assert!(number >= 0, "a poisoned item");
                    written.push(number);
                }
            }
            LedgerMessage::Get(reply) => _ = reply.send(written.clone()),
            LedgerMessage::Ignore(reply) => drop(reply),
        }
        Ok(())
    }
}

struct Fixture {
    actor: ActorRef<LedgerMessage>,
    task: JoinHandle<()>,
    permits: Arc<Semaphore>,
    parcels: Arc<AtomicU64>,
}

async fn ledger(permits: usize) -> Fixture {
    let (permits, parcels) = (Arc::new(Semaphore::new(permits)), Arc::default());
    let ledger = Ledger { permits: Arc::clone(&permits), parcels: Arc::clone(&parcels) };
    let (actor, task) = Actor::spawn(None, ledger, ()).await.expect("it starts");
    Fixture { actor, task, permits, parcels }
}

const fn capacity(items: usize) -> Fifo<i64> {
    Fifo::bounded(NonZeroUsize::new(items).expect("room for one item"))
}

async fn written(outbox: &Outbox<Fifo<i64>, LedgerMessage>) -> Vec<i64> {
    outbox.call(LedgerMessage::Get).await.expect("it answers")
}

#[tokio::test(start_paused = true)]
async fn items_that_wait_together_travel_in_one_parcel_in_order() {
    let ledger = ledger(usize::MAX >> 4).await;
    let outbox = Outbox::new(capacity(1_000), ledger.actor);
    for number in 0..1_000 {
        outbox.try_send(number).unwrap();
    }
    assert_eq!(written(&outbox).await, (0..1_000).collect::<Vec<_>>());
    assert_eq!(ledger.parcels.load(Ordering::Relaxed), 1);
    assert_eq!(outbox.metrics(), Metrics { delivered: 1_000, parcels: 1, ..Metrics::default() });
}

#[tokio::test(start_paused = true)]
async fn a_full_outbox_refuses_drops_or_routes_as_the_sender_says() {
    let (ledger, other) = (ledger(0).await, ledger(usize::MAX >> 4).await);
    let outbox = Outbox::new(capacity(2), ledger.actor);
    let elsewhere = Outbox::new(capacity(1), other.actor);
    for number in [1, 2] {
        outbox.try_send(number).unwrap();
    }
    assert_eq!(outbox.try_send(3), Err(SendError::Full(3)));
    assert_eq!(outbox.send_or_drop(4), Ok(false));
    assert_eq!(outbox.send_or(5, &elsewhere), Ok(()));
    assert_eq!(outbox.send_or(6, &elsewhere), Err(SendError::Full(6)));
    assert_eq!(written(&elsewhere).await, [5]);

    ledger.permits.add_permits(2);
    assert_eq!(written(&outbox).await, [1, 2]);
    assert_eq!(outbox.send_or_drop(7), Ok(true));
    let Metrics { pending, delivered, refused, dropped, .. } = outbox.metrics();
    assert_eq!((pending, delivered, refused, dropped), (1, 2, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_room_are_served_in_order_and_nobody_overtakes_them() {
    let ledger = ledger(0).await;
    let outbox = Arc::new(Outbox::new(capacity(1), ledger.actor));
    outbox.send(0).await.unwrap();
    // The actor takes the first item and waits for a permit to write it down; then one more fits.
    tokio::task::yield_now().await;
    outbox.send(1).await.unwrap();
    let waiting: Vec<_> = (2..5)
        .map(|number| {
            let outbox = Arc::clone(&outbox);
            tokio::spawn(async move { outbox.send(number).await })
        })
        .collect();
    tokio::task::yield_now().await;
    assert_eq!(outbox.try_send(9), Err(SendError::Full(9)));
    ledger.permits.add_permits(100);
    for sent in waiting {
        sent.await.unwrap().unwrap();
    }
    assert_eq!(written(&outbox).await, [0, 1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_cancelled_sends_nothing_and_holds_nobody_up() {
    let ledger = ledger(0).await;
    let outbox = Outbox::new(capacity(1), ledger.actor);
    outbox.send(0).await.unwrap();
    tokio::task::yield_now().await;
    outbox.send(1).await.unwrap();
    assert!(timeout(MOMENT, outbox.send(2)).await.is_err());
    assert!(timeout(MOMENT, async { tokio::join!(outbox.send(3), outbox.send(4)) }).await.is_err());
    ledger.permits.add_permits(100);
    outbox.send(5).await.unwrap();
    assert_eq!(written(&outbox).await, [0, 1, 5]);
}

#[tokio::test(start_paused = true)]
async fn clones_have_room_of_their_own() {
    let ledger = ledger(0).await;
    let outbox = Outbox::new(capacity(1), ledger.actor);
    let clone = outbox.clone();
    outbox.try_send(1).unwrap();
    clone.try_send(2).unwrap();
    ledger.permits.add_permits(2);
    assert_eq!(written(&clone).await, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn an_outbox_that_is_dropped_still_delivers() {
    let ledger = ledger(usize::MAX >> 4).await;
    let outbox = Outbox::new(capacity(9), ledger.actor);
    let last = outbox.clone();
    outbox.try_send(1).unwrap();
    drop(outbox);
    assert_eq!(written(&last).await, [1]);
}

#[tokio::test(start_paused = true)]
async fn items_are_refused_once_an_unsupervised_actor_has_stopped() {
    let ledger = ledger(usize::MAX >> 4).await;
    let outbox = Outbox::new(capacity(9), ledger.actor.clone());
    outbox.try_send(1).unwrap();
    ledger.actor.drain().unwrap();
    ledger.task.await.unwrap();
    assert_eq!(outbox.metrics().delivered, 1);
    assert_eq!(outbox.try_send(2), Err(SendError::Closed(2)));
    assert_eq!(outbox.send(3).await, Err(SendError::Closed(3)));
    assert_eq!(outbox.clone().send_or_drop(4), Err(SendError::Closed(4)));
    assert_eq!(outbox.call(LedgerMessage::Get).await, Err(CallError::Closed));
    assert!(outbox.is_closed());
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_actor_left_in_its_mailbox_and_in_its_hands_goes_to_its_successor_in_order() {
    let (first, second) = (ledger(2).await, ledger(usize::MAX >> 4).await);
    let outbox = Outbox::supervised(capacity(9));
    outbox.redirect(first.actor.clone());
    let clone = outbox.clone();
    for number in 1..=4 {
        outbox.try_send(number).unwrap();
    }
    clone.try_send(10).unwrap();
    // Two items are written down, two are in its hands, one is in its mailbox.
    tokio::task::yield_now().await;
    outbox.try_send(5).unwrap();
    first.actor.kill();
    first.task.await.unwrap();
    clone.try_send(11).unwrap();
    assert_eq!(outbox.metrics().pending, 3);

    drop(clone);
    outbox.redirect(second.actor.clone());
    outbox.try_send(6).unwrap();
    let mut numbers = written(&outbox).await;
    assert_eq!(numbers.iter().filter(|&&n| n < 10).collect::<Vec<_>>(), [&3, &4, &5, &6]);
    numbers.retain(|&n| n >= 10);
    assert_eq!(numbers, [10, 11]);
}

#[tokio::test(start_paused = true)]
async fn what_is_in_the_actors_hands_when_its_outbox_is_dropped_goes_to_the_successor() {
    let (first, second) = (ledger(1).await, ledger(usize::MAX >> 4).await);
    let outbox = Outbox::supervised(capacity(9));
    outbox.redirect(first.actor.clone());
    let last = outbox.clone();
    for number in [1, 2, 3] {
        outbox.try_send(number).unwrap();
    }
    // One item is written down, two are in its hands.
    tokio::task::yield_now().await;
    drop(outbox);
    first.actor.kill();
    first.task.await.unwrap();
    last.redirect(second.actor);
    assert_eq!(written(&last).await, [2, 3]);
}

#[tokio::test(start_paused = true)]
async fn what_a_panic_leaves_unapplied_stays_and_the_poisoned_item_does_not() {
    let (first, second) = (ledger(usize::MAX >> 4).await, ledger(usize::MAX >> 4).await);
    let outbox = Outbox::supervised(capacity(9));
    outbox.redirect(first.actor);
    for number in [1, -1, 2] {
        outbox.try_send(number).unwrap();
    }
    first.task.await.unwrap();
    assert_eq!(outbox.metrics(), Metrics { pending: 1, delivered: 2, parcels: 2, ..Metrics::default() });
    outbox.redirect(second.actor);
    assert_eq!(written(&outbox).await, [2]);
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_the_successor_of_a_supervised_actor() {
    let (first, second) = (ledger(0).await, ledger(usize::MAX >> 4).await);
    let outbox = Outbox::supervised(capacity(9));
    outbox.redirect(first.actor.clone());
    outbox.try_send(1).unwrap();
    let (answer, ()) = tokio::join!(outbox.call(LedgerMessage::Get), async {
        tokio::task::yield_now().await;
        first.actor.kill();
        first.task.await.unwrap();
        outbox.redirect(second.actor);
    });
    assert_eq!(answer.unwrap(), [1], "the item went first");
}

#[tokio::test(start_paused = true)]
async fn closing_ends_all_waits_with_an_error() {
    let ledger = ledger(0).await;
    let outbox = Outbox::supervised(capacity(1));
    outbox.redirect(ledger.actor.clone());
    outbox.try_send(1).unwrap();
    ledger.actor.kill();
    ledger.task.await.unwrap();
    let (sent, asked, ()) = tokio::join!(outbox.send(2), outbox.call(LedgerMessage::Get), async {
        tokio::task::yield_now().await;
        outbox.close();
    });
    assert_eq!(sent, Err(SendError::Closed(2)));
    assert_eq!(asked, Err(CallError::Closed));
    assert_eq!(outbox.clone().try_send(3), Err(SendError::Closed(3)));
}

#[tokio::test(start_paused = true)]
async fn what_is_inside_when_an_outbox_is_closed_is_delivered_also_to_a_successor() {
    let (first, second) = (ledger(1).await, ledger(usize::MAX >> 4).await);
    let outbox = Outbox::supervised(capacity(9));
    outbox.redirect(first.actor.clone());
    for number in [1, 2] {
        outbox.try_send(number).unwrap();
    }
    tokio::task::yield_now().await;
    outbox.try_send(3).unwrap();
    outbox.close();
    assert_eq!(outbox.try_send(4), Err(SendError::Closed(4)));
    first.actor.kill();
    first.task.await.unwrap();
    outbox.redirect(second.actor.clone());
    second.actor.drain().unwrap();
    second.task.await.unwrap();
    assert_eq!(outbox.metrics(), Metrics { delivered: 3, parcels: 3, ..Metrics::default() });
}

#[tokio::test(start_paused = true)]
async fn a_question_asked_before_an_outbox_is_closed_is_answered() {
    let ledger = ledger(0).await;
    let outbox = Outbox::supervised(capacity(9));
    outbox.redirect(ledger.actor);
    outbox.try_send(1).unwrap();
    let (answer, ()) = tokio::join!(outbox.call(LedgerMessage::Get), async {
        tokio::task::yield_now().await;
        outbox.close();
        ledger.permits.add_permits(1);
    });
    assert_eq!(answer, Ok(vec![1]));
}

#[tokio::test(start_paused = true)]
async fn a_drain_refuses_items_and_ends_when_the_successor_has_applied_what_all_clones_had_accepted() {
    let (first, second) = (ledger(1).await, ledger(usize::MAX >> 4).await);
    let outbox = Outbox::supervised(capacity(9));
    outbox.redirect(first.actor.clone());
    let (clone, dropped) = (outbox.clone(), outbox.clone());
    for number in [0, 1] {
        outbox.try_send(number).unwrap();
    }
    clone.try_send(2).unwrap();
    dropped.try_send(3).unwrap();
    drop(dropped);
    let (drained, ()) = tokio::join!(outbox.drain(LedgerMessage::Get), async {
        // One item is written down, one is in its hands, the others are in its mailbox.
        tokio::task::yield_now().await;
        assert_eq!(clone.try_send(4), Err(SendError::Closed(4)));
        first.actor.kill();
        first.task.await.unwrap();
        outbox.redirect(second.actor);
    });
    let mut numbers = drained.unwrap();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_of_an_unsupervised_actor_that_dies_is_an_error() {
    let ledger = ledger(0).await;
    let outbox = Outbox::new(capacity(9), ledger.actor.clone());
    outbox.try_send(1).unwrap();
    let (drained, ()) = tokio::join!(outbox.drain(LedgerMessage::Get), async {
        tokio::task::yield_now().await;
        ledger.actor.kill();
    });
    assert_eq!(drained, Err(CallError::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_question_that_a_living_actor_drops_is_an_error() {
    let ledger = ledger(0).await;
    let outbox = Outbox::supervised(capacity(1));
    outbox.redirect(ledger.actor);
    assert_eq!(outbox.call(LedgerMessage::Ignore).await, Err(CallError::Unanswered));
}

#[test]
fn an_error_has_the_item_and_does_not_print_it() {
    let error = SendError::Full("secret");
    assert_eq!(format!("{error:?}"), "Full(..)");
    assert_eq!(error.to_string(), "outbox is full: wait, drop the item or send it elsewhere");
    assert_eq!(error.into_item(), "secret");
}

#[tokio::test(start_paused = true)]
async fn what_waits_in_several_outboxes_goes_to_a_successor_in_the_order_of_their_creation() {
    let ledger = ledger(usize::MAX >> 4).await;
    let outbox = Outbox::supervised(capacity(9));
    let clones = [(); 20].map(|()| outbox.clone());
    for (number, clone) in (0..).zip(&clones).collect::<Vec<_>>().into_iter().rev() {
        clone.try_send(number).unwrap();
    }
    outbox.redirect(ledger.actor);
    assert_eq!(written(&outbox).await, (0..20).collect::<Vec<_>>());
}
