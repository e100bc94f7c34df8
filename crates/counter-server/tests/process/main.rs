//! The server as a process: killed, while it starts and ends, and operated.

mod clients;
mod connection;
mod kills;
mod operations;
mod phases;
mod server;
#[cfg(test)]
mod topic;
