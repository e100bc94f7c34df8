//! Nodes of a counting cluster as processes: what they are told and answer on their standard input and output.
//!
//! The binary `counter-node` is made of this, and so are the tests that start many of it.

mod answering;
pub mod cluster;
pub mod harness;
mod lines;
pub mod load;
mod operations;
mod output;
mod refusals;
pub mod requests;
pub mod serve;
