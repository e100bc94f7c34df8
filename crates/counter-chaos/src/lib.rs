//! Clusters of `counter-node` processes on this machine, which can be partitioned, paused and killed.
//!
//! [`Cluster`] starts the processes of any `counter-node` executable, with a TCP proxy for each direction between two
//! of them. [`Loads`] and [`Driver`] send them operations and remember what was acknowledged; [`compare`], [`Seen`] and
//! [`History`] check what the nodes hold and answer. [`run`] puts these together: it is the command `counter-chaos`.
//! Tests of `counter-node` use the parts.
//!
//! Nothing here waits for a fixed time to be sure: a caller who needs a state of the cluster asks the nodes until they
//! report it, and fails at a deadline.

mod cluster;
mod command;
mod compare;
mod history;
mod loads;
mod process;
mod reports;
mod seen;
mod sent;

pub use cluster::{Cluster, ClusterOptions};
pub use command::{ChaosOptions, run};
pub use compare::{Kept, compare};
pub use history::{Add, Clock, History, Read, Violation};
pub use loads::Loads;
pub use process::{ANSWER_DEADLINE, Client, Launch, NodeProcess};
pub use reports::Reports;
pub use seen::{Backwards, Seen};
pub use sent::{Driver, Plan, Sent};
