//! Outboxes for actors: bounded, combining items while they wait, and safe when the actor dies.
//!
//! `ractor`'s mailboxes have no bound, and each message costs an allocation and a wake-up. An [`Outbox`] belongs to
//! one sender and holds its items for one actor. The first item put into an empty outbox sends a [`Parcel`]: a
//! message that merely refers to the outbox. Later items join it there. When the actor gets to the parcel it opens it
//! and takes everything that is inside by then. So under light load each item is one message, sent at once; under
//! heavy load a message carries many; and there is no timer and nothing to tune.
//!
//! - **Bounded.** The [`Batch`] sets the bound: [`Fifo`] queues items of any type up to a capacity; a custom batch
//!   may combine them, as operations on a counter do. An actor's mailbox holds at most one parcel of each sender. At
//!   the bound the sender decides: [`send`](Outbox::send) waits, [`try_send`](Outbox::try_send) returns the item,
//!   [`send_or_drop`](Outbox::send_or_drop) drops and counts it, [`send_or`](Outbox::send_or) turns to another
//!   outbox.
//! - **Ordered.** Items of one outbox arrive in order. A [`call`](Outbox::call) sees everything that was put into the
//!   same outbox before.
//! - **Safe.** Items that an actor has not applied when it dies are still in the outbox, or return there. Once
//!   [`redirect`](Outbox::redirect) points to the actor's successor, all of them are delivered.
//!
//! This crate restarts nothing (`ractor-supervision` does), and it keeps nothing on disk.
//!
//! ```
//! use std::num::NonZeroUsize;
//!
//! use ractor::{Actor, ActorProcessingErr, ActorRef, Message};
//! use ractor_outbox::{Fifo, Outbox, Parcel};
//!
//! struct Printer;
//! struct Pages(Parcel<Fifo<String>>);
//!
//! impl Message for Pages {}
//! impl From<Parcel<Fifo<String>>> for Pages {
//!     fn from(parcel: Parcel<Fifo<String>>) -> Self {
//!         Self(parcel)
//!     }
//! }
//!
//! impl Actor for Printer {
//!     type Msg = Pages;
//!     type State = ();
//!     type Arguments = ();
//!
//!     async fn pre_start(&self, _: ActorRef<Pages>, (): ()) -> Result<(), ActorProcessingErr> {
//!         Ok(())
//!     }
//!
//!     async fn handle(&self, _: ActorRef<Pages>, Pages(parcel): Pages, (): &mut ()) -> Result<(), ActorProcessingErr> {
//!         let Some(mut pages) = parcel.open() else { return Ok(()) };
//!         while let Some(page) = pages.pop() {
//!             println!("{page}");
//!         }
//!         Ok(())
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let (printer, task) = Actor::spawn(None, Printer, ()).await?;
//! let outbox = Outbox::new(Fifo::bounded(NonZeroUsize::new(100).unwrap()), printer.clone());
//! outbox.send("one page".into()).await?;
//! printer.drain()?;
//! task.await?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod batch;
mod lane;
mod metrics;
mod outbox;
mod route;
mod sync;

pub use batch::{Batch, Fifo};
pub use lane::{OpenBatch, Parcel};
pub use metrics::Metrics;
pub use outbox::{CallError, Outbox, SendError};
