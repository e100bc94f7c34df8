//! One exact counter, as an actor.
//!
//! [`CounterHandle`] is what most callers want: it starts a counter and speaks to it with typed methods.
//! [`CounterActor`] is the actor itself, for those who spawn and supervise it with `ractor`. [`Counter`] is the
//! arithmetic alone: no actor, no clock, no async.
//!
//! A counter lives in one process and forgets its value when it stops. One that is supervised (`counter-system`) keeps
//! it through crashes, because its [`CounterState`] is on lease.
//!
//! ```
//! use counter_actor::{CounterState, CounterHandle};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let requests = CounterHandle::start(CounterState::new("requests")?).await?;
//! requests.increment(5)?;
//! requests.decrement(2)?;
//! assert_eq!(requests.value().await?, 3);
//! requests.shutdown().await;
//! # Ok::<_, counter_actor::CounterError>(())
//! # }).unwrap();
//! ```

mod actor;
mod handle;
mod state;

pub use actor::{CounterActor, CounterState};
pub use handle::{CounterError, CounterHandle};
pub use state::Counter;
