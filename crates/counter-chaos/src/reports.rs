//! Reports of a cluster's nodes, and waiting for a state that they report.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use counter_cluster::Total;
use futures_util::future::try_join_all;
use ractor_transport::NodeName;
use tokio::time::{Instant, sleep};

use crate::cluster::Cluster;
use crate::compare::{Kept, compare};
use crate::report::Report;
use crate::sent::Sent;

/// Interval between two reports while waiting for a state.
const POLL_EVERY: Duration = Duration::from_millis(10);

/// Report of each node.
pub type Reports = BTreeMap<NodeName, Report>;

impl Cluster {
    /// Returns the report of each node that runs and is not paused.
    ///
    /// # Errors
    /// If one does not answer.
    pub async fn reports(&self) -> anyhow::Result<Reports> {
        let asked = self.responsive().map(async |(name, client)| {
            let report = client.report().await.with_context(|| format!("failed to ask {name}"))?;
            anyhow::Ok((name.clone(), report))
        });
        Ok(try_join_all(asked).await?.into_iter().collect())
    }

    /// Waits until the reports of all nodes fulfil a condition, and returns the time that it took.
    ///
    /// # Errors
    /// If they do not within the deadline, or a node does not answer.
    pub async fn wait_until(
        &self,
        condition: &str,
        deadline: Duration,
        is_met: impl Fn(&Reports) -> bool,
    ) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        loop {
            let reports = self.reports().await?;
            if is_met(&reports) {
                return Ok(begun.elapsed());
            }
            if begun.elapsed() > deadline {
                bail!("not so within {deadline:?}: {condition}: {reports:#?}");
            }
            sleep(POLL_EVERY).await;
        }
    }

    /// Waits until all nodes that run are connected to each other.
    ///
    /// # Errors
    /// If they are not within the deadline.
    pub async fn wait_until_connected(&self, deadline: Duration) -> anyhow::Result<Duration> {
        self.wait_until("all are connected", deadline, |reports| {
            let sees_all = |(me, report): (&NodeName, &Report)| {
                reports.keys().filter(|name| *name != me).all(|name| report.sees(name))
            };
            reports.iter().all(sees_all)
        })
        .await
    }

    /// Waits until all nodes that run hold the same. Nothing should be counted meanwhile.
    ///
    /// # Errors
    /// If they do not within the deadline.
    pub async fn wait_until_converged(&self, deadline: Duration) -> anyhow::Result<Duration> {
        self.wait_until("all hold the same", deadline, |reports| {
            let mut held = reports.values().map(held);
            held.next().is_none_or(|first| held.all(|other| other == first))
        })
        .await
    }

    /// Compares the counters of all nodes, name by name, with the operations that were sent to those that live and to
    /// those that were killed.
    ///
    /// # Errors
    /// If a node holds anything else, or other operations of killed ones than the node before; or if one does not run.
    pub async fn compare(&self, alive: &[Sent], killed: &[Sent]) -> anyhow::Result<Kept> {
        let mut kept = None;
        for (node, name) in self.names().enumerate() {
            let held = self.client(node)?.everything().await?;
            let here = compare(alive, killed, &held).with_context(|| format!("wrong counters on {name}"))?;
            ensure!(
                *kept.get_or_insert(here) == here,
                "different operations of killed nodes on {name} and on the nodes before it"
            );
        }
        Ok(kept.unwrap_or_default())
    }
}

/// Returns the sum of each replica that has counted anything.
fn held(report: &Report) -> BTreeMap<&str, Total> {
    let counted = report.replicas.iter().filter(|replica| replica.operations > 0);
    counted.map(|replica| (replica.replica.as_str(), replica.total())).collect()
}
