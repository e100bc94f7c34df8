//! Measures how fast a member counts records that are in memory: `cargo run --release -p counter-stream --example rate
//! -- 10000000 1000`, with the number of records and of names.

use std::error::Error;

use counter_stream::{Content, PartitionId, Record, StreamNode, StreamOptions};
use tokio::time::Instant;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "that is what it is for")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let records = numbers.next().transpose()?.unwrap_or(1_000_000);
    let names = numbers.next().transpose()?.unwrap_or(1_000);
    let dir = tempfile::tempdir()?;
    let options = || Ok::<_, Box<dyn Error>>(StreamOptions::new("a".parse()?, dir.path()));
    let partition = PartitionId { cluster: "memory".into(), topic: [0; 16], partition: 0, mapping: 0 };

    let node = StreamNode::start(options()?).await?;
    let owned = node.own(partition).await?;
    let start = Instant::now();
    for offset in 0..records {
        let name = format!("name-{:08}", fastrand::u64(..names)).into_bytes().into();
        let content = Content::Count { name, amount: 1, operations: 1, stamp: None };
        owned.send(Record { offset, leader_epoch: None, content }).await?;
    }
    owned.release().await?;
    let seconds = start.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate is not exact")]
    let rate = records as f64 / seconds;
    println!("{records} records of {names} names: {rate:.0} records/s, durable after {seconds:.2} s");
    node.shutdown().await?;

    let start = Instant::now();
    let node = StreamNode::start(options()?).await?;
    println!("started again after {:.2} s: {:?}", start.elapsed().as_secs_f64(), node.handle().totals()?);
    node.shutdown().await?;
    Ok(())
}
