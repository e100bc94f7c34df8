//! Service of a node of a counting cluster as a process: the requests and operations on its standard input, and the
//! answers and reports on its standard output.
//!
//! The binary `counter-node` parses the command line and calls [`serve`]. The types of requests and answers are those
//! of `counter-node-protocol`.

mod answering;
mod lines;
mod load;
mod operations;
mod output;
mod refusals;
mod serve;

pub use serve::{Input, ServeOptions, serve};
