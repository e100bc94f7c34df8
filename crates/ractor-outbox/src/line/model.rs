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

/// Counts what came in; items are combined.
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

/// A mailbox that can die: then its parcels are dropped, and no more are taken.
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

/// Where the actor is; what the hub is to real lines.
struct Address(Mutex<(u64, Arc<Mailbox>)>);

impl Route<Sum> for Address {
    fn post(&self, parcel: Parcel<Sum>) -> Posted {
        let (incarnation, mailbox) = lock(&self.0).clone();
        match mailbox.put(parcel) {
            Ok(()) => Posted { outcome: Ok(incarnation), later: Box::new(mailbox) },
            Err(parcel) => Posted { outcome: Err(NotPosted::Away), later: Box::new((mailbox, parcel)) },
        }
    }

    fn forget(&self, _line: u64) {}
}

/// Applies what is in a parcel, one item at a time.
fn apply(parcel: Parcel<Sum>, applied: &mut u64) {
    let Some(mut opened) = parcel.open() else { return };
    while opened.0 > 0 {
        opened.0 -= 1;
        *applied += 1;
    }
}

/// Runs the senders beside what the actor does, and checks that each item is applied exactly once.
fn check(
    sends: [u64; 2],
    actor: impl Fn(&Arc<Address>, &[Arc<Line<Sum>>; 2]) -> u64 + Send + Sync + 'static,
) {
    let actor = Arc::new(actor);
    loom::model(move || {
        let address = Arc::new(Address(Mutex::new((0, Mailbox::alive()))));
        let route: Weak<Address> = Arc::downgrade(&address);
        let lines =
            [0, 1].map(|id| Arc::new(Line::new(id, Sum::default(), route.clone() as Weak<dyn Route<Sum>>)));
        let senders: Vec<_> = lines
            .iter()
            .cloned()
            .zip(sends)
            .map(|(line, items)| {
                thread::spawn(move || {
                    for _ in 0..items {
                        assert!(line.push(1).is_ok());
                    }
                })
            })
            .collect();
        let mut applied = actor(&address, &lines);
        for sender in senders {
            sender.join().unwrap();
        }
        let (_, mailbox) = lock(&address.0).clone();
        while let Some(parcel) = mailbox.next() {
            apply(parcel, &mut applied);
        }
        assert_eq!(
            applied,
            sends.iter().sum::<u64>(),
            "applied exactly once, and nothing is left without a parcel"
        );
        mailbox.die();
    });
}

/// The supervisor's part: a new mailbox, and everything that waits is sent there.
fn restart(address: &Arc<Address>, lines: &[Arc<Line<Sum>>; 2]) {
    *lock(&address.0) = (1, Mailbox::alive());
    for line in lines {
        line.forward(1);
    }
}

#[test]
fn nothing_is_lost_or_doubled_while_the_actor_lives() {
    check([2, 1], |address, _| {
        let (_, mailbox) = lock(&address.0).clone();
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
    check([2, 1], |address, lines| {
        let (_, mailbox) = lock(&address.0).clone();
        mailbox.die();
        restart(address, lines);
        0
    });
}

#[test]
fn nothing_is_lost_or_doubled_when_it_dies_before_it_opens_a_parcel() {
    check([2, 1], |address, lines| {
        let (_, mailbox) = lock(&address.0).clone();
        let taken = mailbox.next();
        mailbox.die();
        drop(taken);
        restart(address, lines);
        0
    });
}

#[test]
fn nothing_is_lost_or_doubled_when_it_dies_while_it_applies_a_batch() {
    check([2, 1], |address, lines| {
        let (_, mailbox) = lock(&address.0).clone();
        let mut applied = 0;
        if let Some(mut opened) = mailbox.next().and_then(Parcel::open) {
            // One item is applied, the rest stays when the batch is dropped in the panic.
            opened.0 -= 1;
            applied = 1;
        }
        mailbox.die();
        restart(address, lines);
        applied
    });
}

#[test]
fn nothing_is_lost_or_doubled_when_its_successor_is_there_before_it_is_quite_dead() {
    check([2, 1], |address, lines| {
        let (_, mailbox) = lock(&address.0).clone();
        let taken = mailbox.next();
        restart(address, lines);
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
    check([1, 1], |address, lines| {
        let (_, mailbox) = lock(&address.0).clone();
        // Dead for whoever posts from now on, but what it holds is neither opened nor dropped before the end.
        let stuck = lock(&mailbox.0).take();
        restart(address, lines);
        mem::forget(stuck);
        0
    });
}
