//! Supervisors for `ractor`: they restart actors that crash, with the state and the senders that they had.
//!
//! A supervisor ([`SupervisorHandle`]) starts children from specifications ([`ChildSpec`]) and starts them again when
//! they end, after the model of Erlang/OTP's `supervisor`:
//!
//! - [`Strategy`]: a child that fails is restarted alone, or with all that were started after it.
//! - [`Restart`]: a child is restarted always, only after a failure, or never.
//! - [`Intensity`]: at too many restarts within a time span, the supervisor stops its children in order and fails
//!   itself, for its own supervisor to handle.
//! - [`Backoff`]: a child that fails again soon waits before the next attempt, exponentially longer and with jitter.
//! - Shutdown goes in reverse order of start. Each child may finish its mailbox until its deadline, then it is
//!   killed.
//!
//! A [`SupervisedActor`] keeps its state and the outboxes of its senders through restarts. The actor holds a
//! [`Lease`] of its state. However the actor ends (stop, error, panic, kill), the value returns to a [`StateSlot`],
//! from which the next incarnation leases it.
//!
//! Restarts are logged by `tracing`, and sent to those who [`subscribe`](SupervisorHandle::subscribe).
//!
//! This crate does not keep messages. Messages in the mailbox of an actor that dies are lost, unless they came
//! through an outbox (`ractor-outbox`). Supervision needs unwinding: no `panic = "abort"`.
//!
//! `ractor-supervisor` on crates.io (0.2.0) has the same purpose, but does not compile with ractor's `cluster`
//! feature.

mod actor;
mod children;
mod handle;
mod lease;
mod message;
mod restart;
mod spec;
mod start;
mod supervised;
mod task;

pub use actor::{Options, Supervisor, SupervisorState};
pub use children::{ChildState, ChildStatus, Children, Decision, ExitReason, Ticket};
pub use handle::{SupervisorError, SupervisorHandle};
pub use lease::{Lease, StateSlot};
pub use message::{ChildEvent, Event, SupervisorMessage};
pub use restart::{Backoff, Intensity, Restart, Strategy};
pub use spec::ChildSpec;
pub use supervised::SupervisedActor;
pub use task::OwnedTask;
