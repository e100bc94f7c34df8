//! Messages that outlive their actor unseen: neither handled nor dropped.
//!
//! A tokio channel keeps a message whose send raced with the receiver's drop until its last sender is gone, and a
//! caller that waits for an answer holds such a sender. [`Hoarder`] makes this happen every time, by putting messages
//! aside.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use ractor::{Actor, ActorProcessingErr, ActorRef, Message, RpcReplyPort};
use ractor_outbox::{CallError, Fifo, Outbox, Parcel, SendError};

/// Actor that puts every message aside, where the test holds it.
struct Hoarder(Arc<Mutex<Vec<HoarderMessage>>>);

/// Actor that answers questions.
struct Oracle;

enum HoarderMessage {
    Parcel(Parcel<Fifo<u8>>),
    Get(RpcReplyPort<u8>),
}

impl Message for HoarderMessage {}
impl From<Parcel<Fifo<u8>>> for HoarderMessage {
    fn from(parcel: Parcel<Fifo<u8>>) -> Self {
        Self::Parcel(parcel)
    }
}

impl Actor for Hoarder {
    type Msg = HoarderMessage;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<HoarderMessage>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<HoarderMessage>,
        message: HoarderMessage,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        self.0.lock().expect("no holder panics").push(message);
        Ok(())
    }
}

impl Actor for Oracle {
    type Msg = HoarderMessage;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<HoarderMessage>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<HoarderMessage>,
        message: HoarderMessage,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        match message {
            HoarderMessage::Parcel(parcel) => drop(parcel.open()),
            HoarderMessage::Get(reply) => _ = reply.send(42),
        }
        Ok(())
    }
}

const ONE: Fifo<u8> = Fifo::bounded(NonZeroUsize::MIN);

#[tokio::test(start_paused = true)]
async fn a_question_that_a_dead_actor_retains_goes_to_its_successor() {
    let retained = Arc::default();
    let (first, task) = Actor::spawn(None, Hoarder(Arc::clone(&retained)), ()).await.unwrap();
    let (second, _task) = Actor::spawn(None, Oracle, ()).await.unwrap();
    let outbox = Outbox::supervised(ONE);
    outbox.redirect(first.clone());
    let (answer, ()) = tokio::join!(outbox.call(HoarderMessage::Get), async {
        tokio::task::yield_now().await;
        first.stop(None);
        task.await.unwrap();
        outbox.redirect(second);
    });
    assert_eq!(answer, Ok(42));
    assert_eq!(retained.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_question_to_an_actor_that_hangs_goes_to_its_successor() {
    let retained = Arc::default();
    let (first, _task) = Actor::spawn(None, Hoarder(Arc::clone(&retained)), ()).await.unwrap();
    let (second, _task) = Actor::spawn(None, Oracle, ()).await.unwrap();
    let outbox = Outbox::supervised(ONE);
    outbox.redirect(first);
    let (answer, ()) = tokio::join!(outbox.call(HoarderMessage::Get), async {
        tokio::task::yield_now().await;
        outbox.redirect(second);
    });
    assert_eq!(answer, Ok(42));
}

#[tokio::test(start_paused = true)]
async fn a_question_that_a_dead_unsupervised_actor_retains_is_an_error() {
    let retained = Arc::default();
    let (actor, task) = Actor::spawn(None, Hoarder(Arc::clone(&retained)), ()).await.unwrap();
    let outbox = Outbox::new(ONE, actor.clone());
    let (answer, ()) = tokio::join!(outbox.call(HoarderMessage::Get), async {
        tokio::task::yield_now().await;
        actor.stop(None);
        task.await.unwrap();
    });
    assert_eq!(answer, Err(CallError::Closed));
}

#[tokio::test(start_paused = true)]
async fn an_outbox_whose_parcel_a_dead_unsupervised_actor_retains_refuses_items() {
    let retained = Arc::default();
    let (actor, task) = Actor::spawn(None, Hoarder(Arc::clone(&retained)), ()).await.unwrap();
    let outbox = Arc::new(Outbox::new(ONE, actor.clone()));
    outbox.try_send(1).unwrap();
    tokio::task::yield_now().await;
    let waiting = tokio::spawn({
        let outbox = Arc::clone(&outbox);
        async move { outbox.send(2).await }
    });
    tokio::task::yield_now().await;
    actor.stop(None);
    task.await.unwrap();
    assert_eq!(waiting.await.unwrap(), Err(SendError::Closed(2)));
    assert_eq!(outbox.try_send(3), Err(SendError::Closed(3)));
    assert!(outbox.is_closed());
}

#[tokio::test]
async fn nothing_watches_an_actor_whose_outboxes_are_gone() {
    let (actor, _task) = Actor::spawn(None, Oracle, ()).await.unwrap();
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let outbox = Outbox::new(ONE, actor);
    let clone = outbox.clone();
    drop((outbox, clone));
    while tasks() > before {
        tokio::task::yield_now().await;
    }
}
