//! One node, from its start until it is told to go.

use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, anyhow};
use counter_cluster::{Node, NodeHandle, NodeName};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::load::Load;
use crate::requests::{Answer, Report, Request, answer};

/// How many lines are read ahead; then the reading thread waits.
const LINES_AHEAD: usize = 1024;

/// How many requests with a number are at work at once; then no further line is looked at.
const REQUESTS_AT_ONCE: usize = 256;

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
    /// [`Request`]s. The node ends with them.
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

/// Answers requests until there are no more.
async fn answer_all(node: &NodeHandle, address: SocketAddr) -> anyhow::Result<()> {
    let mut lines = read_lines();
    let mut at_work = JoinSet::<anyhow::Result<()>>::new();
    loop {
        let line = tokio::select! {
            line = lines.recv(), if at_work.len() < REQUESTS_AT_ONCE => line,
            Some(done) = at_work.join_next() => {
                done.context("failed to answer a request")??;
                continue;
            }
        };
        let Some(line) = line else { break };
        let line = line.context("failed to read the standard input")?;
        if line.first() == Some(&b'[') {
            let node = node.clone();
            at_work.spawn(async move {
                match serde_json::from_slice::<(u64, Request)>(&line) {
                    Ok((number, request)) => print_json(&(number, answer(&node, address, request).await)),
                    Err(error) => print_json(&not_understood(&error)),
                }
            });
        } else {
            print_json(&match serde_json::from_slice(&line) {
                Ok(request) => answer(node, address, request).await,
                Err(error) => not_understood(&error),
            })?;
        }
    }
    while let Some(done) = at_work.join_next().await {
        done.context("failed to answer a request")??;
    }
    Ok(())
}

fn not_understood(error: &serde_json::Error) -> Answer {
    Answer::Failed(format!("expected a request as JSON: {error}"))
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

/// Counts lines until it is to stop, and then those that have been read already.
async fn count_lines(node: &NodeHandle, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let (mut lines, mut number, mut stop) = (read_lines(), 0, pin!(stop));
    let mut stopped = false;
    loop {
        let line = tokio::select! {
            biased;
            () = &mut stop, if !stopped => {
                stopped = true;
                lines.close();
                continue;
            }
            line = lines.recv() => line,
        };
        let Some(line) = line else { break };
        number += 1;
        count_line(node, number, &line.context("failed to read the standard input")?).await?;
    }
    if !stopped {
        // Others may go on counting.
        stop.await;
    }
    Ok(())
}

async fn count_line(node: &NodeHandle, number: u64, line: &[u8]) -> anyhow::Result<()> {
    match operation(line) {
        Some((name, amount)) => {
            node.increment(name, amount).await.map_err(|error| anyhow!("line {number}: failed to {error}"))
        }
        None => {
            tracing::warn!(
                "standard input: line {number}: not counted: expected a name, or a name, a tab and an amount"
            );
            Ok(())
        }
    }
}

/// A name, or a name, a tab and an amount.
fn operation(line: &[u8]) -> Option<(&[u8], i64)> {
    let Some(tab) = line.iter().rposition(|&byte| byte == b'\t') else { return Some((line, 1)) };
    let amount = str::from_utf8(&line[tab + 1..]).ok()?.parse().ok()?;
    Some((&line[..tab], amount))
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

/// Reads on a thread of its own, which ends with the process while it waits for input.
fn read_lines() -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel(LINES_AHEAD);
    std::thread::spawn(move || {
        for line in io::stdin().lock().split(b'\n') {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

fn print_json(line: &impl Serialize) -> anyhow::Result<()> {
    print(&serde_json::to_string(line).context("failed to write JSON")?)
}

/// Prints a line at once.
pub(crate) fn print(line: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("failed to write to the standard output")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_a_name_and_perhaps_an_amount() {
        assert_eq!(operation(b"a b"), Some((&b"a b"[..], 1)));
        assert_eq!(operation(b"a\t-5"), Some((&b"a"[..], -5)));
        assert_eq!(operation(b"a\tb\t5"), Some((&b"a\tb"[..], 5)));
        assert_eq!(operation(b"a\tb"), None);
    }
}
