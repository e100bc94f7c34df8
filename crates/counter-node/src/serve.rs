//! Service of a node: its input, its reports, and the hand-over at its end.

use std::time::Duration;

use anyhow::Context;
use counter_cluster::{Durability, Node, NodeHandle};
use counter_node_protocol::{Listening, Load, Report};
use ractor_transport::NodeName;
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use crate::answering::{MAX_REQUEST_BYTES, Service, answer_all};
use crate::lines::read_lines;
use crate::load::count_load;
use crate::operations::count_lines;
use crate::output::Printer;

/// Maximum number of answers that wait to be printed; then no further request is carried out.
const ANSWERS_AHEAD: usize = 64;

/// Options of [`serve`].
#[derive(Clone, Copy, Debug)]
pub struct ServeOptions {
    /// Meaning of the standard input.
    pub input: Input,
    /// Generated operations to count, if any.
    pub load: Option<Load>,
    /// Interval between two reports; there are none with [`Input::Requests`]. A report that is not read before the next
    /// one is due is dropped.
    pub report_every: Duration,
    /// Prints reports as JSON.
    pub json: bool,
    /// Guarantee of an answer to an operation.
    pub durability: Durability,
}

/// Meaning of the standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Operations, one a line: a name, or a name, a tab and an amount.
    Operations,
    /// [`Request`](counter_node_protocol::Request)s. The node ends with them. When the standard output is closed, they
    /// are no longer carried out, since they could not be answered; the node serves its peers until its input ends.
    Requests,
}

/// Serves until `stop` is ready or the requests end, and then hands over the counted operations to the peers.
///
/// # Errors
/// If standard input cannot be read, the node fails, or not everything can be handed over.
pub async fn serve(node: Node, options: ServeOptions, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let handle = node.handle();
    let (outcome, printer) = match options.input {
        Input::Requests => {
            let (answers, lines) = mpsc::channel(ANSWERS_AHEAD);
            let printer = Printer::of_all(lines);
            let address = node.local_addr().context("node does not listen")?;
            let listening = Listening { address, replica: node.replica().to_string() };
            let requests = read_lines(MAX_REQUEST_BYTES);
            let service = Service { node: handle, listening, durability: options.durability };
            let answering = answer_all(&service, requests, answers, stop);
            (unless_rolled_back(&node, answering).await, printer)
        }
        Input::Operations => {
            let (reports, lines) = watch::channel(String::new());
            let printer = Printer::of_latest(lines);
            let working = work(&handle, node.name(), options, reports, stop);
            (unless_rolled_back(&node, working).await, printer)
        }
    };
    // Nothing is counted any more: the hand-over might miss it.
    let handed_over = node.shutdown().await;
    printer.finish().await;
    outcome?;
    Ok(handed_over?)
}

/// Goes on until the node has to stop because its store has been rolled back.
async fn unless_rolled_back(
    node: &Node,
    work: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    tokio::select! {
        outcome = work => outcome,
        alarm = node.rolled_back() => Err(alarm.into()),
    }
}

async fn work(
    node: &NodeHandle,
    name: &NodeName,
    options: ServeOptions,
    reports: watch::Sender<String>,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let load = async {
        if let Some(load) = options.load {
            count_load(node, load).await?;
        }
        std::future::pending::<anyhow::Result<()>>().await
    };
    tokio::select! {
        outcome = load => outcome,
        outcome = count_lines(node, stop) => outcome,
        outcome = report(node, name, options, reports) => outcome,
    }
}

/// Sends reports of the cluster's status, one for each interval.
async fn report(
    node: &NodeHandle,
    name: &NodeName,
    options: ServeOptions,
    reports: watch::Sender<String>,
) -> anyhow::Result<()> {
    let mut every = tokio::time::interval(options.report_every);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let status = node.status().await?;
        let report = Report::new(status, Vec::new());
        reports.send_replace(if options.json {
            serde_json::to_string(&report).context("failed to write JSON")?
        } else {
            line(name, &report)
        });
    }
}

/// Formats a report for people.
fn line(name: &NodeName, Report { names, total, replicas, peers, forks, alarm, .. }: &Report) -> String {
    let mine = replicas.iter().filter(|(id, _)| id.split('#').next() == Some(name.as_str()));
    let mine: u128 = mine.map(|(_, total)| total.operations).sum();
    let mut line = format!(
        "{name}: total {} after {} operations ({mine} here) on {names} names",
        total.value, total.operations
    );
    for peer in peers {
        let status = match (peer.is_up, peer.lag) {
            (true, 0) => "up".to_owned(),
            (true, lag) => format!("lacks {lag}"),
            (false, _) => format!("down for {} s", peer.heard_ms / 1000),
        };
        line += &format!("; {} {status}", peer.node);
    }
    if !forks.is_empty() {
        line += &format!("; {} replicas have forked", forks.len());
    }
    if let Some(alarm) = alarm {
        line += &format!("; {alarm}");
    }
    line
}
