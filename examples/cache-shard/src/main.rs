//! A sharded cache with time to live and an LRU bound: a shard an actor.

fn main() {}
