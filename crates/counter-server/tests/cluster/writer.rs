//! A client that sends one operation after another, and records the time of each acknowledgement.

use std::time::Duration;

use counter_chaos::Client;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::setup::NEVER;

pub(crate) struct Writer {
    stop: watch::Sender<bool>,
    acknowledged: watch::Receiver<usize>,
    task: JoinHandle<Vec<Instant>>,
}

impl Writer {
    /// Adds 1 to the counter of this name, again and again, until told to stop or the node is gone.
    pub(crate) fn start(node: Client, name: &str) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (counted, acknowledged) = watch::channel(0);
        let name = name.to_owned();
        let task = tokio::spawn(async move {
            let mut times = Vec::new();
            while !*stopped.borrow() && node.add(&name, 1).await.is_ok() {
                times.push(Instant::now());
                counted.send_replace(times.len());
            }
            times
        });
        Self { stop, acknowledged, task }
    }

    /// Waits until this number of operations has been acknowledged.
    pub(crate) async fn acknowledged(&mut self, operations: usize) {
        let enough = self.acknowledged.wait_for(|&acknowledged| acknowledged >= operations);
        tokio::time::timeout(NEVER, enough).await.expect("nodes answer").expect("the writer is at work");
    }

    /// Stops after the operation under way, and returns the time of each acknowledgement.
    pub(crate) async fn finish(self) -> Vec<Instant> {
        self.stop.send_replace(true);
        self.task.await.expect("writers do not panic")
    }
}

/// Returns the longest time without an acknowledgement.
pub(crate) fn longest_pause(times: &[Instant]) -> Duration {
    times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}
