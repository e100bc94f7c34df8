//! A Kafka consumer group member with an actor per partition, which counts into a keyspace.

fn main() {}
