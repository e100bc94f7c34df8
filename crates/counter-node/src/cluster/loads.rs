//! The load on each node, through the death of one of them.

use anyhow::{Context, ensure};
use tokio::task::JoinHandle;

use crate::harness::{Client, Cluster, Driver, Plan, Sent};

/// What is being sent to all nodes, and what was. Only one node may be killed.
#[derive(Debug)]
pub(super) struct Loads {
    /// By node.
    running: Vec<JoinHandle<(Driver, Sent)>>,
    alive: Vec<Sent>,
    killed: Option<(usize, Sent)>,
}

impl Loads {
    /// Begins to send a plan to each node.
    pub(super) fn start(cluster: &Cluster, plans: impl Iterator<Item = Plan>) -> anyhow::Result<Self> {
        let start = |(node, plan)| anyhow::Ok(spawn(Driver::new(plan), cluster.client(node)?));
        let running = plans.enumerate().map(start).collect::<Result<_, _>>()?;
        Ok(Self { running, alive: Vec::new(), killed: None })
    }

    /// A node has been killed and started again: sends the rest to its successor.
    pub(super) async fn restarted(&mut self, node: usize, client: Client) -> anyhow::Result<()> {
        let (driver, sent) = (&mut self.running[node]).await.context("failed to send a load")?;
        self.killed = Some((node, sent));
        self.running[node] = spawn(driver, client);
        Ok(())
    }

    /// Waits until all is sent.
    pub(super) async fn finish(&mut self) -> anyhow::Result<()> {
        for running in std::mem::take(&mut self.running) {
            let (driver, sent) = running.await.context("failed to send a load")?;
            ensure!(driver.is_done(), "a node went while it was sent a load");
            self.alive.push(sent);
        }
        Ok(())
    }

    /// What was sent to those that live.
    pub(super) fn alive(&self) -> &[Sent] {
        &self.alive
    }

    /// What was sent to the one that was killed.
    pub(super) fn killed(&self) -> Option<(usize, &Sent)> {
        self.killed.as_ref().map(|(node, sent)| (*node, sent))
    }
}

fn spawn(mut driver: Driver, node: Client) -> JoinHandle<(Driver, Sent)> {
    tokio::spawn(async move {
        let sent = driver.run(&node).await;
        (driver, sent)
    })
}
