//! The whole counter system in one file: counters, an aggregator, clients, an orderly shutdown.

fn main() {}
