//! A load on each node, through the deaths of nodes.

use anyhow::{Context, bail, ensure};
use tokio::task::JoinHandle;

use super::{Client, Cluster, Driver, Plan, Sent};

/// What is being sent to all nodes.
#[derive(Debug)]
pub struct Loads {
    /// By node.
    nodes: Vec<Load>,
}

#[derive(Debug)]
enum Load {
    Running(JoinHandle<(Driver, Sent)>),
    /// The node has ended.
    Paused(Driver),
}

impl Loads {
    /// Begins to send a plan to each node.
    ///
    /// # Errors
    /// If a node does not run.
    pub fn start(cluster: &Cluster, plans: impl IntoIterator<Item = Plan>) -> anyhow::Result<Self> {
        let start = |(node, plan)| anyhow::Ok(Load::start(Driver::new(plan), cluster.client(node)?));
        let nodes = plans.into_iter().enumerate().map(start).collect::<Result<_, _>>()?;
        Ok(Self { nodes })
    }

    /// Takes note that a node has ended, and returns what was sent to it.
    ///
    /// # Errors
    /// If that is known already, or sending has panicked.
    ///
    /// # Panics
    /// If there are not so many nodes; so does [`resume`](Self::resume).
    pub async fn ended(&mut self, node: usize) -> anyhow::Result<Sent> {
        let Load::Running(running) = &mut self.nodes[node] else { bail!("a node has ended twice") };
        let (driver, sent) = running.await.context("failed to send a load")?;
        self.nodes[node] = Load::Paused(driver);
        Ok(sent)
    }

    /// Sends the rest to a node that was started again.
    pub fn resume(&mut self, node: usize, client: Client) {
        if let Load::Paused(driver) = self.nodes[node] {
            self.nodes[node] = Load::start(driver, client);
        }
    }

    /// Waits until all is sent, and returns what was sent to each node since it was last started.
    ///
    /// # Errors
    /// If a node has ended meanwhile.
    pub async fn finish(self) -> anyhow::Result<Vec<Sent>> {
        let mut all = Vec::new();
        for load in self.nodes {
            let Load::Running(running) = load else { bail!("a node has not been started again") };
            let (driver, sent) = running.await.context("failed to send a load")?;
            ensure!(driver.is_done(), "a node has ended while it was sent a load");
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
