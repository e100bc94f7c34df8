//! Panics of a batch while the outbox is locked.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, Message};
use ractor_outbox::{Batch, Outbox, Parcel};

/// Batch that panics when a zero is put in, and when anything is put back.
struct Fragile(Vec<u8>);

impl Batch for Fragile {
    type Item<'a> = u8;

    fn push<'a>(&mut self, item: Self::Item<'a>) -> Result<(), Self::Item<'a>> {
        assert_ne!(item, 0, "on purpose");
        self.0.push(item);
        Ok(())
    }

    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn empty(&self) -> Self {
        Self(Vec::new())
    }

    fn put_back(&mut self, _older: Self) {
        panic!("on purpose");
    }
}

struct Idler;

struct IdlerMessage(Parcel<Fragile>);

impl Message for IdlerMessage {}
impl From<Parcel<Fragile>> for IdlerMessage {
    fn from(parcel: Parcel<Fragile>) -> Self {
        Self(parcel)
    }
}

impl Actor for Idler {
    type Msg = IdlerMessage;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<IdlerMessage>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<IdlerMessage>,
        IdlerMessage(parcel): IdlerMessage,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        // Puts back the items that it took.
        drop(parcel.open());
        Ok(())
    }
}

/// Runs a test on a thread of its own, and fails if it hangs, as a lock would make it.
fn ends(test: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    thread::spawn(move || {
        test();
        let _ = done.send(());
    });
    ended.recv_timeout(Duration::from_secs(30)).expect("the outbox does not lock itself out");
}

#[test]
fn a_panic_while_the_actor_is_away_leaves_the_outbox_usable() {
    ends(|| {
        let outbox = Outbox::<_, IdlerMessage>::supervised(Fragile(Vec::new()));
        assert!(catch_unwind(AssertUnwindSafe(|| outbox.try_send(0))).is_err());
        assert_eq!(outbox.try_send(1), Ok(()));
        assert_eq!(outbox.metrics().pending, 1);
    });
}

#[test]
fn a_panic_while_a_batch_is_put_back_leaves_the_outbox_usable() {
    ends(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (actor, task) = Actor::spawn(None, Idler, ()).await.unwrap();
            let outbox = Outbox::supervised(Fragile(Vec::new()));
            outbox.redirect(actor);
            assert_eq!(outbox.try_send(1), Ok(()));
            task.await.unwrap();
            assert_eq!(outbox.try_send(2), Ok(()));
            assert_eq!(outbox.metrics().pending, 1);
        });
    });
}
