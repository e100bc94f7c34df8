//! Clusters of real processes on this machine, with wires between them that can be cut: for the `cluster` command, and for
//! tests of what a single process cannot show.
//!
//! Nothing here is trusted to wait long enough: whoever needs a state of the cluster asks the nodes until they report it,
//! and fails at a deadline.

mod cluster;
mod history;
mod process;
mod proxy;
mod sent;
mod watch;

pub use cluster::{Cluster, ClusterOptions};
pub use history::{Add, Clock, History, Read, Violation};
pub use process::{ANSWER_DEADLINE, Client, Launch, NodeProcess};
pub use proxy::Proxy;
pub use sent::{Driver, Kept, Plan, Sent, compare};
pub use watch::Reports;
