//! Loads on all nodes, which continue when a node is started again.

use anyhow::{Context, bail, ensure};
use tokio::task::JoinHandle;

use crate::client::Client;
use crate::cluster::Cluster;
use crate::sent::{Driver, Plan, Sent};

/// Loads that are being sent to all nodes.
#[derive(Debug)]
pub struct Loads {
    /// Loads by the index of the node.
    nodes: Vec<Load>,
}

#[derive(Debug)]
enum Load {
    Running(JoinHandle<(Driver, Sent)>),
    /// Rest of the load of a node that has ended.
    Paused(Driver),
}

impl Loads {
    /// Starts to send a plan to each node.
    ///
    /// # Errors
    /// If a node does not run.
    pub fn start(cluster: &Cluster, plans: impl IntoIterator<Item = Plan>) -> anyhow::Result<Self> {
        let start = |(node, plan)| anyhow::Ok(Load::start(Driver::new(plan), cluster.client(node)?));
        let nodes = plans.into_iter().enumerate().map(start).collect::<Result<_, _>>()?;
        Ok(Self { nodes })
    }

    /// Waits until sending to a node that has ended is over, and returns the operations that were sent to it.
    ///
    /// # Errors
    /// If this was called since the node was started, or sending has panicked.
    ///
    /// # Panics
    /// If there is no such node; so does [`resume`](Self::resume).
    pub async fn ended(&mut self, node: usize) -> anyhow::Result<Sent> {
        let Load::Running(running) = &mut self.nodes[node] else { bail!("a node that has ended twice") };
        let (driver, sent) = running.await.context("failed to send a load")?;
        self.nodes[node] = Load::Paused(driver);
        Ok(sent)
    }

    /// Sends the rest of its plan to a node that was started again.
    pub fn resume(&mut self, node: usize, client: Client) {
        if let Load::Paused(driver) = self.nodes[node] {
            self.nodes[node] = Load::start(driver, client);
        }
    }

    /// Waits until all is sent, and returns the operations that were sent to each node since it was last started.
    ///
    /// # Errors
    /// If a node has ended meanwhile.
    pub async fn finish(self) -> anyhow::Result<Vec<Sent>> {
        let mut all = Vec::new();
        for load in self.nodes {
            let Load::Running(running) = load else { bail!("a node that ended and was not started again") };
            let (driver, sent) = running.await.context("failed to send a load")?;
            ensure!(driver.is_done(), "a node that has ended while it was sent a load");
            all.push(sent);
        }
        Ok(all)
    }
}

impl Load {
    fn start(mut driver: Driver, node: Client) -> Self {
        Self::Running(tokio::spawn(async move {
            let sent = driver.run(&node).await;
            (driver, sent)
        }))
    }
}
