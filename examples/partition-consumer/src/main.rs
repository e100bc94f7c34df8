//! A Kafka consumer group member with an actor per partition, which counts records by key into a keyspace. README.md
//! says what to look at.

#![expect(clippy::print_stdout, reason = "printing is what an example is for")]

mod member;
mod partition;
mod progress;
mod rehearsal;

use anyhow::ensure;
use clap::Parser;
use counter_keyspace::{Keyspace, KeyspaceOptions};
use rdkafka::ClientConfig;

use crate::member::{MemberHandle, Report};

const RECORDS: u64 = 60_000;

/// Counts the records of a topic by key, until Ctrl-C. Without brokers, shows that a rebalance loses and doubles nothing.
#[derive(Parser)]
struct Arguments {
    /// One or more brokers, separated by commas; without, a cluster inside this process
    #[arg(long, value_name = "HOST:PORT")]
    brokers: Option<String>,
    #[arg(long, default_value = "visits", requires = "brokers")]
    topic: String,
    #[arg(long, default_value = "counters", requires = "brokers")]
    group: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { brokers, topic, group } = Arguments::parse();
    if let Some(brokers) = brokers {
        return follow(&settings(&brokers, &group), &topic).await;
    }
    println!(
        "{RECORDS} records in {} partitions; two members count, and the first leaves\n",
        rehearsal::PARTITIONS
    );
    let outcome = rehearsal::rehearse(RECORDS).await?;
    for (name, report) in ["first", "second"].into_iter().zip(&outcome.members) {
        print(name, report);
    }
    println!(
        "operations {:>9}\nlost {:>15}\ndoubled {:>12}",
        outcome.operations, outcome.lost, outcome.doubled
    );
    println!("committed {:>10}", outcome.committed);
    let exact = outcome.operations == RECORDS.into() && outcome.committed == i64::try_from(RECORDS)?;
    ensure!(exact && outcome.lost + outcome.doubled == 0, "count exactly");
    println!("exact: each key has the value that was sent, and each offset is committed");
    Ok(())
}

async fn follow(config: &ClientConfig, topic: &str) -> anyhow::Result<()> {
    let keyspace = Keyspace::start(KeyspaceOptions::default()).await?;
    let mut member = MemberHandle::join(config, topic, keyspace.handle()).await?;
    tokio::select! {
        signal = tokio::signal::ctrl_c() => signal?,
        _ = member.report.wait_for(|_| false) => {} // It has ended by itself.
    }
    print("member", &member.leave().await?);
    for (key, count) in keyspace.handle().top(10).await? {
        println!("{:>9} {key}", count.value);
    }
    keyspace.shutdown().await;
    Ok(())
}

fn print(name: &str, report: &Report) {
    println!("{name}: {} records", report.records);
    for step in &report.moves {
        println!("    {step}");
    }
    println!();
}

/// Those of a group member.
fn settings(brokers: &str, group: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", group);
    // An offset is committed when its record is applied, not when it is read.
    config.set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
    // Only partitions that move are revoked; meanwhile members count on in the others.
    config.set("partition.assignment.strategy", "cooperative-sticky");
    config
}
