//! Clusters of `counter-server` processes on this machine, which can be partitioned, paused and killed.
//!
//! [`Cluster`] starts the processes of any `counter-server` executable, with a TCP proxy for each direction between two
//! of them. [`Client`] talks to one as its users do, by RESP and HTTP. [`Loads`] and [`Driver`] send them operations
//! and remember what was acknowledged; [`compare`], [`Seen`] and [`History`] check what the nodes hold and answer.
//! [`run`] puts these together: it is the command `counter-chaos`.
//! Tests of `counter-server` use the parts.
//!
//! Nothing here waits for a fixed time to be sure: a caller who needs a state of the cluster asks the nodes until they
//! report it, and fails at a deadline.

mod client;
mod cluster;
mod command;
mod compare;
mod history;
mod load;
mod loads;
mod process;
mod report;
mod reports;
mod resp;
mod seen;
mod sent;

pub use client::{ANSWER_DEADLINE, Client};
pub use cluster::{Cluster, ClusterOptions};
pub use command::{ChaosOptions, run};
pub use compare::{Kept, compare};
pub use history::{Add, Clock, History, Read, Violation};
pub use load::Load;
pub use loads::Loads;
pub use process::{Launch, NodeProcess};
pub use report::{Peer, Replica, Report};
pub use reports::Reports;
pub use seen::{Backwards, Seen};
pub use sent::{Driver, Plan, Sent};
