//! A TCP server with an actor per connection: counters by name, for every client of Redis.
//!
//! Look at `connection.rs`, the actor that answers one client, and in `server.rs` at the task that reads for it
//! through a bounded outbox, and at how all of them end on SIGTERM. `resp.rs` is the protocol, pure.
#![expect(clippy::print_stdout, reason = "printing is what an example is for")]

mod connection;
mod demo;
mod resp;
mod server;
#[cfg(test)]
mod tests;

use anyhow::{Result, bail};
use counter_keyspace::{Keyspace, KeyspaceOptions};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Maximum number of open files; each connection is one.
const OPEN_FILES: u64 = 20_000;

#[tokio::main]
async fn main() -> Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let files = maximum.unwrap_or(OPEN_FILES).min(OPEN_FILES);
    setrlimit(Resource::Nofile, Rlimit { current: Some(files), maximum })?;

    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let keyspace = Keyspace::start(KeyspaceOptions::default()).await?;
    let counters = keyspace.handle();
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => demo::run(counters.clone(), stop, files).await?,
        ["--listen", address] => {
            let listener = TcpListener::bind(address).await?;
            println!("listening on {}", listener.local_addr()?);
            let killed = server::serve(listener, counters.clone(), server::Limits::default(), stop).await?;
            println!("stopped; {killed} connections had to be killed");
        }
        _ => bail!("usage: connection-handler [--listen ADDRESS:PORT]"),
    }
    // The server's own counters; the requests are those of connections that have ended.
    for name in "accepted most_at_once turned_away requests closed drained garbage idle slow".split(' ') {
        println!("{name:<12} {:>9}", counters.value(format!("server:{name}")).await?.unwrap_or(0));
    }
    keyspace.shutdown().await;
    Ok(())
}
