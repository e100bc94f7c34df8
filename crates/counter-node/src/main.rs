//! Runs nodes of a counting cluster from the command line.

mod cli;

use std::process::ExitCode;

use clap::Parser;
use counter_cli::{Completion, Failure, Program, Stop};
use counter_cluster::{Node, NodeOptions, NodeStoreOptions};
use counter_node::{Input, ServeOptions, serve};
use counter_node_protocol::Load;
use counter_store::StoreOptions;
use ractor_transport::{Cookie, Limits, Security, certificates};

use crate::cli::{Cli, Command, NodeArguments, StdinFormat};

/// Log filter by default: `ractor_cluster` warns of each connection that ends, and the node knows.
const DEFAULT_FILTER: &str = "warn,ractor_cluster=error";

fn main() -> ExitCode {
    let Cli { command, log } = Cli::parse();
    let program = Program { name: "counter-node", default_filter: DEFAULT_FILTER, log, threads: None };
    counter_cli::run(program, |stop| run(command, stop))
}

async fn run(command: Command, stop: Stop) -> Result<Completion, Failure> {
    match command {
        Command::Cookie { file } => Cookie::generate().write_new(&file).map_err(Failure::input)?,
        Command::Certificates { dir, nodes } => certificates(&dir, &nodes).map_err(Failure::input)?,
        Command::Node(arguments) => node(arguments, stop).await?,
    }
    Ok(Completion::Complete)
}

async fn node(arguments: NodeArguments, mut stop: Stop) -> Result<(), Failure> {
    let node_options = node_options(&arguments).map_err(Failure::Input)?;
    let serve_options = serve_options(&arguments);
    let node = Node::start(node_options).await?;
    if let Some(address) = node.local_addr() {
        tracing::info!(name = %node.name(), %address, "listening");
    }
    serve(node, serve_options, async { _ = stop.wait().await }).await?;
    Ok(())
}

fn node_options(arguments: &NodeArguments) -> anyhow::Result<NodeOptions> {
    let cookie = Cookie::from_file(&arguments.cookie_file)?;
    let security = Security::load(arguments.tls_dir.as_deref(), &arguments.name)?;
    let store = arguments.data.clone().map(|dir| NodeStoreOptions {
        dir,
        options: StoreOptions { accept_loss: arguments.accept_loss, ..StoreOptions::default() },
        accept_rollback: arguments.accept_rollback,
    });
    Ok(NodeOptions {
        store,
        listen: arguments.listen,
        peers: arguments.peers.clone(),
        security,
        allow_plaintext: arguments.allow_plaintext,
        limits: Limits { connections: arguments.max_connections.into(), ..Limits::default() },
        ..NodeOptions::new(arguments.name.clone(), cookie)
    })
}

fn serve_options(arguments: &NodeArguments) -> ServeOptions {
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
    let NodeArguments { report_every, json, durability, .. } = *arguments;
    ServeOptions { input, load, report_every, json, durability }
}
