use std::sync::Arc;

use counter_store::Driver;
use counter_store::disk::{Fault, MemoryDisk};
use counter_stream::{StreamError, StreamNode, StreamOptions};

use crate::log::{check, partition, record};

const PARTITIONS: u32 = 2;
const RECORDS: u64 = 60;
/// Number of records between two rounds.
const STEP: u64 = 20;

/// Reads all partitions to their ends, a step at a time, each of which is durable before the next.
async fn read(disk: &Arc<MemoryDisk>) -> Result<(), StreamError> {
    let mut options = StreamOptions::new("a".parse().unwrap(), "");
    // The disk never blocks, and time need not pass while it fails.
    options.store.driver = Driver::Task;
    options.store.segment_bytes = 64 * 1024;
    let node = StreamNode::start_on(disk.clone(), options).await?;
    let done = read_on(&node).await;
    if done.is_ok() {
        check(&node.handle(), PARTITIONS, RECORDS).await;
    }
    let stopped = node.shutdown().await;
    done.and(stopped)
}

async fn read_on(node: &StreamNode) -> Result<(), StreamError> {
    for step in 1..=RECORDS / STEP {
        for number in 0..PARTITIONS {
            let owned = node.own(partition(number)).await?;
            for offset in owned.position().offset..step * STEP {
                owned.send(record(number, offset)).await.map_err(|_| StreamError::Stopped)?;
            }
            owned.release().await?;
        }
    }
    Ok(())
}

/// Number of operations on the disk until all is read.
async fn operations() -> u64 {
    let disk = Arc::new(MemoryDisk::new(0));
    read(&disk).await.unwrap();
    disk.operations()
}

#[tokio::test(start_paused = true)]
async fn a_power_failure_at_any_operation_costs_nothing_and_doubles_nothing() {
    for operation in 0..operations().await {
        let disk = Arc::new(MemoryDisk::new(operation));
        disk.fail_at(operation, Fault::Crash);
        // It may have been done before its last operations.
        let _ = read(&disk).await;
        disk.restart();
        read(&disk).await.unwrap_or_else(|error| panic!("operation {operation}: {error}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_fails_once_is_written_anew() {
    for operation in 0..operations().await {
        let disk = Arc::new(MemoryDisk::new(operation));
        disk.fail_at(operation, Fault::Error);
        let _ = read(&disk).await;
        disk.restart_process();
        read(&disk).await.unwrap_or_else(|error| panic!("operation {operation}: {error}"));
    }
}
