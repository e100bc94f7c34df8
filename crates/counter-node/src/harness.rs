//! Clusters of real processes on this machine, with wires between them that can be cut: for the `cluster` command, and for
//! tests of what a single process cannot show.
//!
//! Nothing here is trusted to wait long enough: whoever needs a state of the cluster asks the nodes until they report it,
//! and fails at a deadline.

mod cluster;
mod compare;
mod history;
mod loads;
mod process;
mod proxy;
mod seen;
mod sent;
mod watch;

pub use cluster::{Cluster, ClusterOptions};
pub use compare::{Kept, compare};
pub use history::{Add, Clock, History, Read, Violation};
pub use loads::Loads;
pub use process::{ANSWER_DEADLINE, Client, Launch, NodeProcess};
pub use proxy::Proxy;
pub use seen::{Backwards, Seen};
pub use sent::{Driver, Plan, Sent};
pub use watch::Reports;
