//! What a cluster's nodes report, and waiting until they report something.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use counter_cluster::{NodeName, Total};
use futures_util::future::try_join_all;
use tokio::time::{Instant, sleep};

use super::cluster::Cluster;
use super::compare::{Kept, compare};
use super::sent::Sent;
use crate::requests::Report;

/// Between two looks at the cluster.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How things stand, as each node sees it.
pub type Reports = BTreeMap<NodeName, Report>;

impl Cluster {
    /// How things stand, as each node sees it that runs and is not stopped.
    ///
    /// # Errors
    /// If one does not say.
    pub async fn reports(&self) -> anyhow::Result<Reports> {
        let asked = self.able().map(async |(name, client)| {
            let report = client.standing().await.with_context(|| format!("failed to ask {name}"))?;
            anyhow::Ok((name.clone(), report))
        });
        Ok(try_join_all(asked).await?.into_iter().collect())
    }

    /// Waits until something holds for what the nodes report, and returns how long that took.
    ///
    /// # Errors
    /// If it does not hold within the deadline, or a node does not report.
    pub async fn until(
        &self,
        what: &str,
        deadline: Duration,
        holds: impl Fn(&Reports) -> bool,
    ) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        loop {
            let reports = self.reports().await?;
            if holds(&reports) {
                return Ok(begun.elapsed());
            }
            if begun.elapsed() > deadline {
                bail!("failed to see within {deadline:?} that {what}: {reports:#?}");
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until all nodes that run are connected to each other.
    ///
    /// # Errors
    /// If they are not within the deadline.
    pub async fn connected(&self, deadline: Duration) -> anyhow::Result<Duration> {
        self.until("all are connected", deadline, |reports| {
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
    pub async fn settle(&self, deadline: Duration) -> anyhow::Result<Duration> {
        self.until("all hold the same", deadline, |reports| {
            let mut held = reports.values().map(held);
            held.next().is_none_or(|first| held.all(|other| other == first))
        })
        .await
    }

    /// Compares what all nodes hold, name by name, with what was sent to those that live and to those that were killed.
    ///
    /// # Errors
    /// If a node holds anything else, or another part of what killed ones had counted than the node before; or if one does
    /// not run.
    pub async fn compare(&self, alive: &[Sent], killed: &[Sent]) -> anyhow::Result<Kept> {
        let mut kept = None;
        for (node, name) in self.names().enumerate() {
            let held = self.client(node)?.everything().await?;
            let here = compare(alive, killed, &held).with_context(|| format!("{name} is not exact"))?;
            ensure!(
                *kept.get_or_insert(here) == here,
                "the nodes hold different parts of what killed ones had counted"
            );
        }
        Ok(kept.unwrap_or_default())
    }
}

/// What is known of each replica that has counted anything.
fn held(report: &Report) -> BTreeMap<&str, Total> {
    let counted = report.replicas.iter().filter(|(_, total)| total.operations > 0);
    counted.map(|(replica, total)| (replica.as_str(), *total)).collect()
}
