//! Statistics across many counters, as an actor.
//!
//! [`AggregatorHandle`] starts an aggregator and speaks to it with typed methods. Counters are registered by name;
//! the aggregator asks all of them at once, periodically or on request, under one deadline, while its own mailbox
//! stays free. What it holds is pure: [`Roster`] knows the counters and what they last said, [`Schedule`] keeps
//! collections from overlapping.
//!
//! - A counter that stops in order (stop or drain) leaves by itself, and its statistics with it.
//! - A counter that dies (panic, error, kill) stays, with what it last said, and is named among the
//!   [`unanswered`](counter_protocol::AggregatedStats::unanswered) until another takes its name or it is forgotten.
//! - A counter that is too slow for the deadline is named there too, and delays nobody beyond the deadline.
//!
//! The aggregator does not start, restart or stop counters.
//!
//! ```
//! use aggregator_actor::{AggregatorHandle, AggregatorOptions};
//! use counter_actor::{CounterHandle, CounterState};
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
//! # runtime.block_on(async {
//! let aggregator = AggregatorHandle::start(AggregatorOptions::default()).await?;
//! for name in ["hits", "misses"] {
//!     let counter = CounterHandle::start(CounterState::new(name)?).await?;
//!     aggregator.register(counter.name().clone(), counter.actor()?).await?;
//!     counter.increment(21)?;
//! }
//! let totals = aggregator.collect().await?;
//! assert_eq!((totals.total_value, totals.total_operations, totals.num_counters), (42, 2, 2));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod actor;
mod collect;
mod handle;
mod member;
mod message;
mod roster;
mod schedule;

pub use actor::{AggregatorActor, AggregatorOptions, AggregatorState, Collection};
pub use handle::{AggregatorError, AggregatorHandle};
pub use member::{Member, Report};
pub use message::AggregatorInput;
pub use roster::Roster;
pub use schedule::Schedule;
