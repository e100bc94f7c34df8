//! Built-in clients that show and check, in a few seconds, what the server does.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use counter_keyspace::KeyspaceHandle;
use rustix::process::{Signal, getpid, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::server::{Limits, serve};

const CLIENTS: u32 = 200;
const PIPELINES: u32 = 20;
const INCREMENTS: u32 = 16;
const IDLE_CLIENTS: u64 = 2_000;

/// Runs them against a server of their own. The idle clients share the remaining open files, with two for each.
pub(crate) async fn run(
    counters: KeyspaceHandle,
    stop: impl Future<Output = ()> + Send + 'static,
    files: u64,
) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let limits = Limits { slow_after: Duration::from_millis(300), ..Limits::default() };
    let server = tokio::spawn(serve(listener, counters.clone(), limits, stop));

    let slow = tokio::spawn(never_reads(address));
    let mut busy: JoinSet<_> = (0..CLIENTS).map(|_| increments(address)).collect();
    while let Some(done) = busy.join_next().await {
        done??;
    }
    slow.await??;
    let expected = i64::from(CLIENTS * PIPELINES * INCREMENTS);
    let value = counters.value("hits").await?;
    ensure!(value == Some(expected), "the counter is {value:?} after {expected} increments");
    println!("{CLIENTS} clients at once, {expected} increments of one counter: exact");

    let (before, mut idle) = (resident_kb(), Vec::new());
    for _ in 0..IDLE_CLIENTS.min(files / 4) {
        // As a bare file, so that the memory measured is the server's only.
        idle.push(greeted(address).await?.into_std()?);
    }
    if let (Some(before), Some(now)) = (before, resident_kb()) {
        println!(
            "{} idle clients: {} bytes each",
            idle.len(),
            now.saturating_sub(before) * 1024 / idle.len() as u64
        );
    }

    let mut asking = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = greeted(address).await?;
        client.write_all(&pipeline()).await?;
        asking.push(client);
    }
    kill_process(getpid(), Signal::TERM)?;
    for client in &mut asking {
        let mut answers = String::new();
        client.read_to_string(&mut answers).await?;
        ensure!(answers.lines().count() == INCREMENTS as usize, "not all was answered: {answers:?}");
    }
    ensure!(server.await?? == 0, "connections had to be killed");
    println!("SIGTERM: {} requests under way answered, then all closed", CLIENTS * INCREMENTS);
    let drained = i64::from(CLIENTS) + i64::try_from(idle.len())?;
    for (end, expected) in [("slow", 1), ("closed", CLIENTS.into()), ("drained", drained)] {
        let value = counters.value(format!("server:{end}")).await?;
        ensure!(value == Some(expected), "{value:?} clients {end}, and not {expected}");
    }
    Ok(())
}

fn pipeline() -> Vec<u8> {
    b"INCR hits\r\n".repeat(INCREMENTS as usize)
}

/// Opens a connection, and waits for its first answer.
async fn greeted(address: SocketAddr) -> Result<TcpStream> {
    let mut client = TcpStream::connect(address).await?;
    client.write_all(b"PING\r\n").await?;
    let mut pong = [0; 7];
    client.read_exact(&mut pong).await?;
    ensure!(&pong == b"+PONG\r\n", "answered {}", pong.escape_ascii());
    Ok(client)
}

async fn increments(address: SocketAddr) -> Result<()> {
    let mut client = greeted(address).await?;
    for _ in 0..PIPELINES {
        client.write_all(&pipeline()).await?;
        for _ in 0..INCREMENTS {
            while client.read_u8().await? != b'\n' {}
        }
    }
    Ok(())
}

/// Asks without reading answers until it is disconnected.
async fn never_reads(address: SocketAddr) -> Result<()> {
    let mut client = greeted(address).await?;
    while client.write_all(&b"PING\r\n".repeat(1000)).await.is_ok() {}
    Ok(())
}

fn resident_kb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?.parse().ok()
}
