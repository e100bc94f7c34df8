//! One node, from its start until it is told to go.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Context, anyhow};
use counter_cluster::{Node, NodeHandle, NodeName};
use serde::Serialize;
use tokio::time::MissedTickBehavior;

use crate::answering::answer_all;
use crate::load::Load;
use crate::operations::count_lines;
use crate::requests::Report;

/// What a node does besides counting for its peers.
#[derive(Clone, Copy, Debug)]
pub struct Serve {
    /// What its standard input says.
    pub input: Input,
    /// A load that it makes up.
    pub load: Option<Load>,
    /// How often it prints how things stand; it does not while it answers requests.
    pub report_every: Duration,
    /// Reports are JSON.
    pub json: bool,
}

/// What the standard input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Operations: a name, or a name, a tab and an amount.
    Operations,
    /// [`Request`](crate::requests::Request)s. The node ends with them.
    Requests,
}

/// Runs until `stop` is ready, or the requests end. Returns the nodes that could not be given what they lacked.
///
/// # Errors
/// If the standard output cannot be written, or the node fails.
pub async fn serve(
    node: Node,
    serve: Serve,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<Vec<NodeName>> {
    let handle = node.handle();
    let outcome = match serve.input {
        Input::Requests => tokio::select! {
            () = stop => Ok(()),
            outcome = answer_all(&handle, node.local_addr()) => outcome,
        },
        Input::Operations => work(&handle, node.name(), serve, stop).await,
    };
    let lacking = node.shutdown().await;
    outcome.map(|()| lacking)
}

async fn work(
    node: &NodeHandle,
    name: &NodeName,
    serve: Serve,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let load = async {
        if let Some(load) = serve.load {
            load.send(node).await.map_err(|error| anyhow!("failed to {error}"))?;
        }
        std::future::pending::<anyhow::Result<()>>().await
    };
    tokio::select! {
        outcome = load => outcome,
        outcome = count_lines(node, stop) => outcome,
        outcome = report(node, name, serve) => outcome,
    }
}

/// Prints how things stand, again and again.
async fn report(node: &NodeHandle, name: &NodeName, serve: Serve) -> anyhow::Result<()> {
    let mut every = tokio::time::interval(serve.report_every);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let standing = node.standing().await.map_err(|error| anyhow!("failed to {error}"))?;
        let report = Report::new(standing, Vec::new());
        if serve.json {
            print_json(&report)?;
        } else {
            print(&line(name, &report))?;
        }
    }
}

/// A report for people.
fn line(name: &NodeName, Report { names, total, replicas, peers, .. }: &Report) -> String {
    let mine = replicas.iter().filter(|(id, _)| id.split('#').next() == Some(name.as_str()));
    let mine: u128 = mine.map(|(_, total)| total.operations).sum();
    let mut line = format!(
        "{name}: total {} after {} operations ({mine} here) on {names} names",
        total.value, total.operations
    );
    for peer in peers {
        let standing = match (peer.is_up, peer.lag) {
            (true, 0) => "up".to_owned(),
            (true, lag) => format!("lacks {lag}"),
            (false, _) => format!("down for {} s", peer.heard_ms / 1000),
        };
        line += &format!("; {} {standing}", peer.node);
    }
    line
}

pub(crate) fn print_json(line: &impl Serialize) -> anyhow::Result<()> {
    print(&serde_json::to_string(line).context("failed to write JSON")?)
}

/// Prints a line at once.
pub(crate) fn print(line: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("failed to write to the standard output")
}
