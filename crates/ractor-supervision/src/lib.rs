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
//! A [`Lease`] is how state survives: the actor owns its state, but however the actor ends (stop, error, panic, kill),
//! dropping the lease sends the value [`Home`], from where the next incarnation leases it.
//!
//! Restarts are logged by `tracing`, and told to those who [`subscribe`](SupervisorHandle::subscribe).
//!
//! What this crate does not do: it does not keep messages. What lies in a mailbox when its actor dies is gone, unless
//! it came through an outbox (`ractor-outbox`). Supervision needs unwinding: no `panic = "abort"`.
//!
//! `ractor-supervisor` on crates.io (0.2.0) has the same purpose, but does not compile with ractor's `cluster` feature.
//!
//! ```
//! use ractor::{Actor, ActorProcessingErr, ActorRef};
//! use ractor_supervision::{ChildSpec, Home, Lease, Options, SupervisorHandle};
//!
//! struct Worker;
//! impl Actor for Worker {
//!     type Msg = String;
//!     type State = Lease<Vec<String>>;
//!     type Arguments = Lease<Vec<String>>;
//!
//!     async fn pre_start(
//!         &self,
//!         _: ActorRef<String>,
//!         jobs: Lease<Vec<String>>,
//!     ) -> Result<Lease<Vec<String>>, ActorProcessingErr> {
//!         Ok(jobs)
//!     }
//!
//!     async fn handle(
//!         &self,
//!         _: ActorRef<String>,
//!         job: String,
//!         jobs: &mut Lease<Vec<String>>,
//!     ) -> Result<(), ActorProcessingErr> {
//!         jobs.push(job);
//!         Ok(())
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let jobs = Home::new(Vec::new());
//! let worker = ChildSpec::new("worker", move |supervisor| {
//!     let jobs = jobs.clone();
//!     async move {
//!         let (worker, _task) = Actor::spawn_linked(None, Worker, jobs.lease().await, supervisor).await?;
//!         Ok(worker.get_cell())
//!     }
//! });
//! let supervisor = SupervisorHandle::spawn(Options::default(), vec![worker]).await?;
//! assert_eq!(supervisor.children().await?[0].restarts, 0);
//! supervisor.shutdown().await;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod actor;
mod children;
mod handle;
mod lease;
mod message;
mod restart;
mod spec;
mod start;
mod task;

pub use actor::{Options, Supervisor, SupervisorState};
pub use children::{ChildState, ChildStatus, Children, Decision, End, Ticket};
pub use handle::{SupervisorError, SupervisorHandle};
pub use lease::{Home, Lease};
pub use message::{Event, News, SupervisorMessage};
pub use restart::{Backoff, Intensity, Restart, Strategy};
pub use spec::ChildSpec;
pub use task::OwnedTask;
