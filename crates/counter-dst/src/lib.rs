//! Deterministic simulation of whole clusters.
//!
//! A [`Schedule`] of faults and operations follows from a seed. [`simulate`] carries it out: real nodes, on one thread,
//! in simulated time, over a simulated network and with simulated clocks. It checks all the time that the nodes keep
//! what they promise, and returns a [`Trace`], which is the same each time.

mod campaign;
mod change;
mod client;
mod clock;
mod copies;
mod coverage;
mod disk;
mod linear;
mod message;
mod minimise;
mod network;
mod oracle;
mod random;
mod schedule;
mod simulation;
mod trace;
mod world;

pub use campaign::{Campaign, Summary, explain, replay, simulate_all};
pub use coverage::{Coverage, Kind};
pub use minimise::minimise;
pub use schedule::{Action, Event, Fault, Level, Operation, OperationKind, Schedule, Victim, Weather};
pub use simulation::{Outcome, simulate};
pub use trace::Trace;
