//! A Kafka consumer group member with an actor per partition, which counts records by key into a keyspace. README.md
//! says what to look at.

#![expect(clippy::print_stdout, reason = "printing is what an example is for")]

mod member;
mod partition;
mod progress;
mod rehearsal;

use anyhow::Result;
use clap::Parser;
use counter_keyspace::{Keyspace, KeyspaceOptions};
use rdkafka::ClientConfig;

use crate::member::MemberHandle;

/// Counts the records of a topic by key until Ctrl-C. Without brokers, shows that a rebalance loses and doubles
/// nothing.
#[derive(Parser)]
struct Arguments {
    /// One or more brokers, separated by commas
    #[arg(long, value_name = "HOST:PORT")]
    brokers: Option<String>,
    #[arg(long, default_value = "visits", requires = "brokers")]
    topic: String,
    #[arg(long, default_value = "counters", requires = "brokers")]
    group: String,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { brokers, topic, group } = Arguments::parse();
    let Some(brokers) = brokers else { return rehearsal::rehearse(60_000).await.map(drop) };
    let keyspace = Keyspace::start(KeyspaceOptions::default()).await?;
    let mut member = MemberHandle::join(&settings(&brokers, &group), &topic, keyspace.handle()).await?;
    tokio::select! {
        signal = tokio::signal::ctrl_c() => signal?,
        _ = member.report.wait_for(|_| false) => {} // It has ended by itself.
    }
    println!("{}", member.leave().await?);
    for (key, count) in keyspace.handle().top(10).await? {
        println!("{:>9} {key}", count.value);
    }
    keyspace.shutdown().await;
    Ok(())
}

/// Returns the settings of a group member.
fn settings(brokers: &str, group: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", group);
    // An offset is committed when its record is applied, not when it is read.
    config.set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
    // Only partitions that move are revoked; meanwhile members count on in the others.
    config.set("partition.assignment.strategy", "cooperative-sticky");
    config
}
