//! Runs nodes of a counting cluster from the command line.

mod cli;
mod log;
mod signals;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Parser;
use counter_cluster::transport::{Cookie, Identity, Limits, Security, certificates};
use counter_cluster::{Node, NodeOptions};
use counter_node::cluster;
use counter_node::load::Load;
use counter_node::serve::{Input, Serve, serve};
use tokio::runtime::Runtime;

use crate::cli::{Cli, ClusterArguments, Command, NodeArguments, StdinFormat};
use crate::log::Log;
use crate::signals::told_to_stop;

/// Time that a cluster has to kill its nodes when it is interrupted.
const INTERRUPTED: Duration = Duration::from_secs(1);

/// What the user gave cannot be worked with.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct BadInput(anyhow::Error);

fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    let mut log = Log::start();
    let code = match run(command, &log) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log.write(&format!("counter-node: {error:#}\n"));
            ExitCode::from(if error.is::<BadInput>() { 2 } else { 1 })
        }
    };
    log.finish();
    code
}

fn run(command: Command, log: &Log) -> anyhow::Result<()> {
    log.subscribe().map_err(BadInput)?;
    match command {
        Command::Cookie { file } => {
            Ok(Cookie::generate().write_new(&file).map_err(|error| BadInput(error.into()))?)
        }
        Command::Certificates { dir, nodes } => {
            Ok(certificates(&dir, &nodes).map_err(|error| BadInput(error.into()))?)
        }
        Command::Node(arguments) => block_on(node(arguments)),
        Command::Cluster(arguments) => block_on(cluster(arguments)),
    }
}

fn block_on(future: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = Runtime::new().context("failed to start the runtime")?;
    let outcome = runtime.block_on(future);
    // Does not wait for the thread that may still be reading the standard input: it ends with the process.
    runtime.shutdown_background();
    outcome
}

async fn node(arguments: NodeArguments) -> anyhow::Result<()> {
    let (options, what) = (options(&arguments).map_err(BadInput)?, what(&arguments));
    let stop = told_to_stop()?;
    let node = Node::start(options).await.map_err(|error| failed_to(error.into()))?;
    tracing::info!(name = %node.name(), address = %node.local_addr(), "listening");
    serve(node, what, stop).await
}

async fn cluster(arguments: ClusterArguments) -> anyhow::Result<()> {
    let ClusterArguments { nodes, operations, names, seconds, chaos, seed } = arguments;
    let options = cluster::Options {
        program: std::env::current_exe().context("failed to find this program")?,
        nodes: nodes.into(),
        operations: operations.get(),
        names,
        seconds,
        chaos,
        seed: seed.unwrap_or_else(|| fastrand::u64(..1_000_000)),
    };
    let stop = told_to_stop()?;
    // On a task of its own, which may be stuck because nobody reads what it prints.
    let mut running = tokio::spawn(cluster::run(options));
    tokio::select! {
        outcome = &mut running => outcome.context("failed to run a cluster")?,
        () = stop => {
            running.abort();
            let _ = tokio::time::timeout(INTERRUPTED, running).await;
            Err(anyhow!("interrupted"))
        }
    }
}

fn options(arguments: &NodeArguments) -> anyhow::Result<NodeOptions> {
    let cookie = Cookie::from_file(&arguments.cookie_file)?;
    let security = match &arguments.tls_dir {
        Some(dir) => Security::Tls(Arc::new(Identity::load(dir, &arguments.name)?)),
        None => Security::Plain,
    };
    Ok(NodeOptions {
        listen: arguments.listen,
        peers: arguments.peers.clone(),
        security,
        plaintext_anywhere: arguments.allow_plaintext,
        limits: Limits { connections: arguments.max_connections.into(), ..Limits::default() },
        ..NodeOptions::new(arguments.name.clone(), cookie)
    })
}

fn what(arguments: &NodeArguments) -> Serve {
    let load = arguments.load.map(|operations| Load {
        operations: operations.get(),
        names: arguments.load_names.get(),
        seed: fastrand::u64(..),
        per_second: arguments.load_rate.map(Into::into),
    });
    let input = match arguments.stdin {
        StdinFormat::Operations => Input::Operations,
        StdinFormat::Requests => Input::Requests,
    };
    Serve { input, load, report_every: arguments.report_every, json: arguments.json }
}

/// The libraries' errors complete this sentence.
fn failed_to(error: anyhow::Error) -> anyhow::Error {
    anyhow!("failed to {error:#}")
}
