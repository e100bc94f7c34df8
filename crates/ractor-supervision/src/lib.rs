//! Supervisors for `ractor`: they restart what crashes, and what it knew survives.
//!
//! A supervisor ([`SupervisorHandle`]) starts children from specifications ([`ChildSpec`]) and starts them again when
//! they end, after the model of Erlang/OTP's `supervisor`:
//!
//! - [`Strategy`]: a child that fails is restarted alone, or with all that were started after it.
//! - [`Restart`]: whether a child is restarted always, only after a failure, or never.
//! - [`Intensity`]: with more restarts than so many within a stretch of time, the supervisor stops its children in
//!   order and fails itself, for its own supervisor to see.
//! - [`Backoff`]: a child that fails again soon waits before the next attempt, exponentially longer and with jitter.
//! - Shutdown goes in reverse order of start: each child may finish its mailbox until its deadline, then it is killed.
//!
//! A [`SupervisedActor`] keeps its state and the outboxes of its senders through restarts: the actor holds a [`Lease`] of
//! its state, and however it ends (stop, error, panic, kill), the value returns to a [`StateSlot`], from where the next
//! incarnation leases it.
//!
//! Restarts are logged by `tracing`, and told to those who [`subscribe`](SupervisorHandle::subscribe).
//!
//! What this crate does not do: it does not keep messages. Messages in the mailbox of an actor that dies are lost, unless
//! they came through an outbox (`ractor-outbox`). Supervision needs unwinding: no `panic = "abort"`.
//!
//! `ractor-supervisor` on crates.io (0.2.0) has the same purpose, but does not compile with ractor's `cluster` feature.

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
