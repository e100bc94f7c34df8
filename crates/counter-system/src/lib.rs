//! Supervised counters and their supervised aggregator: a crash loses nothing.
//!
//! A [`CounterSystem`] is a supervisor over one aggregator and any number of counters. It hands out counters by name,
//! and starts each when it is first asked for. When a counter crashes, it is started again with the value it had;
//! operations that were under way wait in the outboxes of its handles; and the handles follow it by themselves.
//!
//! A system is shut down by [`shutdown`](CounterSystem::shutdown). If restarting does not help any more, it gives up:
//! then its handles return errors. Nothing is kept on disk.
//!
//! ```
//! use counter_system::{CounterSystem, SystemOptions};
//!
//! # tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap().block_on(async {
//! let system = CounterSystem::start(SystemOptions::default()).await?;
//! let hits = system.counter("hits").await?;
//! hits.increment(40)?;
//! hits.actor()?.kill();
//! hits.increment(2)?;
//! assert_eq!(hits.value().await?, 42);
//! assert_eq!(system.aggregator().collect().await?.restarts, 1);
//! system.shutdown().await;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod children;
mod system;

pub use system::{CounterSystem, SystemError, SystemOptions};
