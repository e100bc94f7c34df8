//! Every interleaving of two senders, an actor that dies at any step, and its successor.
//!
//! `LOOM_MAX_PREEMPTIONS=4 RUSTFLAGS="--cfg model" cargo test -p ractor-outbox --release --lib model`
//!
//! checks those in which a thread is interrupted at most four times against its will; without the bound, all of them,
//! which takes hours.

use std::sync::Arc;

use loom::sync::Mutex;
use loom::thread;

use super::*;

/// Counts items; they are combined.
#[derive(Default)]
struct Sum(u64);

impl Batch for Sum {
    type Item<'a> = u64;

    fn push<'a>(&mut self, item: Self::Item<'a>) -> Result<(), Self::Item<'a>> {
        self.0 += item;
        Ok(())
    }

    fn len(&self) -> u64 {
        self.0
    }

    fn empty(&self) -> Self {
        Self(0)
    }

    fn put_back(&mut self, older: Self) {
        self.0 += older.0;
    }
}

/// Mailbox that can die: then its parcels are dropped, and it takes no more.
#[derive(Default)]
struct Mailbox(Mutex<Option<Vec<Parcel<Sum>>>>);

impl Mailbox {
    fn alive() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Some(Vec::new()))))
    }

    fn put(&self, parcel: Parcel<Sum>) -> Result<(), Parcel<Sum>> {
        match &mut *lock(&self.0) {
            Some(parcels) => {
                parcels.push(parcel);
                Ok(())
            }
            None => Err(parcel),
        }
    }

    fn next(&self) -> Option<Parcel<Sum>> {
        lock(&self.0).as_mut().filter(|parcels| !parcels.is_empty()).map(|parcels| parcels.remove(0))
    }

    fn die(&self) {
        let parcels = lock(&self.0).take();
        drop(parcels);
    }
}

/// Address of the actor, and the lanes that lead to it. It stands for the route of real lanes.
struct Address {
    place: Mutex<(u64, Arc<Mailbox>)>,
    lanes: Mutex<Vec<Arc<Lane<Sum>>>>,
}

impl Address {
    fn mailbox(&self) -> Arc<Mailbox> {
        lock(&self.place).1.clone()
    }

    /// Does a supervisor's part: creates a new mailbox and forwards all lanes to it.
    fn restart(&self) {
        *lock(&self.place) = (1, Mailbox::alive());
        let lanes = lock(&self.lanes).clone();
        for lane in lanes {
            lane.forward(1);
        }
    }
}

impl Carrier<Sum> for Address {
    fn post(&self, parcel: Parcel<Sum>) -> Posted {
        let (incarnation, mailbox) = lock(&self.place).clone();
        match mailbox.put(parcel) {
            Ok(()) => Posted { outcome: Ok(incarnation), deferred: Box::new(mailbox) },
            Err(parcel) => Posted { outcome: Err(PostError::Away), deferred: Box::new((mailbox, parcel)) },
        }
    }

    fn forget(&self, lane: u64) {
        let mut lanes = lock(&self.lanes);
        let forgotten = lanes.iter().position(|known| known.id == lane).map(|at| lanes.remove(at));
        drop(lanes);
        drop(forgotten);
    }
}

/// Applies the contents of a parcel, one item at a time.
fn apply(parcel: Parcel<Sum>, applied: &mut u64) {
    let Some(mut opened) = parcel.open() else { return };
    while opened.0 > 0 {
        opened.0 -= 1;
        *applied += 1;
    }
}

/// Runs the senders beside the actor, and checks that each item is applied exactly once. Each sender drops its outbox
/// after its last item.
fn check(sends: [u64; 2], actor: impl Fn(&Address) -> u64 + Send + Sync + 'static) {
    let actor = Arc::new(actor);
    loom::model(move || {
        let place = Mutex::new((0, Mailbox::alive()));
        let address = Arc::new(Address { place, lanes: Mutex::default() });
        let carrier: Weak<Address> = Arc::downgrade(&address);
        let lanes = [0, 1]
            .map(|id| Arc::new(Lane::new(id, Sum::default(), carrier.clone() as Weak<dyn Carrier<Sum>>)));
        *lock(&address.lanes) = lanes.to_vec();
        let senders: Vec<_> = lanes
            .into_iter()
            .zip(sends)
            .map(|(lane, items)| {
                thread::spawn(move || {
                    for _ in 0..items {
                        assert!(lane.push(1).is_ok());
                    }
                    lane.abandon();
                })
            })
            .collect();
        let mut applied = actor(&address);
        for sender in senders {
            sender.join().unwrap();
        }
        let mailbox = address.mailbox();
        while let Some(parcel) = mailbox.next() {
            apply(parcel, &mut applied);
        }
        assert_eq!(
            applied,
            sends.iter().sum::<u64>(),
            "applied exactly once, and nothing is left without a parcel"
        );
        assert!(lock(&address.lanes).is_empty(), "no lane outlives its outbox and its items");
        mailbox.die();
    });
}

#[test]
fn nothing_is_lost_or_doubled_while_the_actor_lives() {
    check([2, 1], |address| {
        let mailbox = address.mailbox();
        let mut applied = 0;
        for _ in 0..2 {
            if let Some(parcel) = mailbox.next() {
                apply(parcel, &mut applied);
            }
        }
        applied
    });
}

#[test]
fn nothing_is_lost_or_doubled_when_it_dies_with_parcels_in_its_mailbox() {
    check([2, 1], |address| {
        let mailbox = address.mailbox();
        mailbox.die();
        address.restart();
        0
    });
}

#[test]
fn nothing_is_lost_or_doubled_when_it_dies_before_it_opens_a_parcel() {
    check([2, 1], |address| {
        let mailbox = address.mailbox();
        let taken = mailbox.next();
        mailbox.die();
        drop(taken);
        address.restart();
        0
    });
}

#[test]
fn nothing_is_lost_or_doubled_when_it_dies_while_it_applies_a_batch() {
    check([2, 1], |address| {
        let mailbox = address.mailbox();
        let mut applied = 0;
        if let Some(mut opened) = mailbox.next().and_then(Parcel::open) {
            // One item is applied, the rest stays when the batch is dropped in the panic.
            opened.0 -= 1;
            applied = 1;
        }
        mailbox.die();
        address.restart();
        applied
    });
}

#[test]
fn nothing_is_lost_or_doubled_when_its_successor_is_there_before_it_is_quite_dead() {
    check([2, 1], |address| {
        let mailbox = address.mailbox();
        let taken = mailbox.next();
        address.restart();
        let mut applied = 0;
        if let Some(parcel) = taken {
            apply(parcel, &mut applied);
        }
        mailbox.die();
        applied
    });
}

#[test]
fn a_parcel_that_hangs_in_a_dead_mailbox_holds_nothing_up() {
    check([1, 1], |address| {
        let mailbox = address.mailbox();
        // The mailbox refuses parcels from now on, but those in it are neither opened nor dropped before the end.
        let stuck = lock(&mailbox.0).take();
        address.restart();
        mem::forget(stuck);
        0
    });
}
