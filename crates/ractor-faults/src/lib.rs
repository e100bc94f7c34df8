//! An actor that crashes on demand, for tests of supervision and for simulations.
//!
//! [`Faulty`] wraps any actor and forwards everything to it until a [`Fault`] has been injected. Then it panics,
//! fails or is killed before, after or within its next message. The panics are silent.
//!
//! ```
//! use ractor::{Actor, ActorProcessingErr, ActorRef, ActorStatus};
//! use ractor_faults::{Fault, Faults, Faulty};
//!
//! #[derive(Clone)]
//! struct Sink;
//! impl Actor for Sink {
//!     type Msg = u64;
//!     type State = ();
//!     type Arguments = ();
//!     async fn pre_start(&self, _: ActorRef<u64>, (): ()) -> Result<(), ActorProcessingErr> {
//!         Ok(())
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let faults = Faults::default();
//! let (sink, _task) = Actor::spawn(None, Faulty::new(Sink, &faults), ()).await?;
//! faults.inject(Fault::PanicBefore);
//! sink.cast(1)?;
//! sink.wait(None).await?;
//! assert_eq!(sink.get_status(), ActorStatus::Stopped);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod fault;
mod faulty;

pub use fault::{Fault, Faults, seed};
pub use faulty::{Faulty, Part};
