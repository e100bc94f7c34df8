//! One node, from its start until it is told to go.

use std::time::Duration;

use anyhow::{Context, anyhow};
use counter_cluster::{Node, NodeHandle, NodeName};
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use crate::answering::answer_all;
use crate::load::Load;
use crate::operations::count_lines;
use crate::output::Printer;
use crate::requests::{Listening, Report};

/// Answers that wait to be printed, at most; then no further request is carried out.
const ANSWERS_AHEAD: usize = 64;

/// What a node does besides counting for its peers.
#[derive(Clone, Copy, Debug)]
pub struct Serve {
    /// What its standard input says.
    pub input: Input,
    /// A load that it makes up.
    pub load: Option<Load>,
    /// Time between two reports; there are none while it answers requests. A report that nobody has read when the next
    /// one is due is dropped.
    pub report_every: Duration,
    /// Reports are JSON.
    pub json: bool,
}

/// What the standard input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Operations: a name, or a name, a tab and an amount.
    Operations,
    /// [`Request`](crate::requests::Request)s. The node ends with them. When the standard output is closed, they are no
    /// longer carried out, since nobody could be told; the node goes on for its peers until its input ends.
    Requests,
}

/// Runs until `stop` is ready, or the requests end, and then hands over what was counted.
///
/// # Errors
/// If the standard input cannot be read, the node fails, or not everything can be handed over.
pub async fn serve(node: Node, serve: Serve, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let handle = node.handle();
    let (outcome, printer) = match serve.input {
        Input::Requests => {
            let (answers, lines) = mpsc::channel(ANSWERS_AHEAD);
            let printer = Printer::of_all(lines);
            let listening = Listening { address: node.local_addr(), replica: node.replica().to_string() };
            let outcome = tokio::select! {
                () = stop => Ok(()),
                outcome = answer_all(&handle, &listening, answers) => outcome,
            };
            (outcome, printer)
        }
        Input::Operations => {
            let (reports, lines) = watch::channel(String::new());
            let printer = Printer::of_latest(lines);
            (work(&handle, node.name(), serve, reports, stop).await, printer)
        }
    };
    let handed_over = node.shutdown().await;
    printer.finish().await;
    outcome?;
    Ok(handed_over?)
}

async fn work(
    node: &NodeHandle,
    name: &NodeName,
    serve: Serve,
    reports: watch::Sender<String>,
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
        outcome = report(node, name, serve, reports) => outcome,
    }
}

/// Reports how things stand, again and again.
async fn report(
    node: &NodeHandle,
    name: &NodeName,
    serve: Serve,
    reports: watch::Sender<String>,
) -> anyhow::Result<()> {
    let mut every = tokio::time::interval(serve.report_every);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let standing = node.standing().await.map_err(|error| anyhow!("failed to {error}"))?;
        let report = Report::new(standing, Vec::new());
        reports.send_replace(if serve.json {
            serde_json::to_string(&report).context("failed to write JSON")?
        } else {
            line(name, &report)
        });
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
