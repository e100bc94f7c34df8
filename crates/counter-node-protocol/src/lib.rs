//! Requests to a node on its standard input, and its answers on its standard output: a line of JSON each.
//!
//! A node answers requests one after another. A request with a number, as in `[7,{"status":{}}]`, is answered with the
//! same number, as in `[7,{"status":..}]`, as soon as it is done, and others may be answered before it.
//!
//! `counter-node node --stdin requests` is the server, `counter-chaos` a client. These are only the types: nothing here
//! reads, writes or waits.

mod load;
mod report;
mod request;

pub use load::{Load, Operation, due_after};
pub use report::{Peer, Report};
pub use request::{Answer, Listening, Request};
