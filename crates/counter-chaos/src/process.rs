//! A server in a process of its own.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ractor_transport::NodeName;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::client::{ANSWER_DEADLINE, Client};

/// Interval between two looks at a log.
const POLL_EVERY: Duration = Duration::from_millis(5);

/// Log filter of the servers.
const LOG: &str = "info,counter_cluster=debug,ractor_transport=debug,ractor=warn,ractor_cluster=error";

/// Arguments of a server's process.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Path of the executable `counter-server`.
    pub program: PathBuf,
    /// Name of the node.
    pub name: NodeName,
    /// Path of the cookie file.
    pub cookie: PathBuf,
    /// Directory of its certificate; without one, connections to other nodes are not encrypted.
    pub tls: Option<PathBuf>,
    /// Addresses that it dials.
    pub peers: Vec<SocketAddr>,
    /// Path of the log file, which is appended to.
    pub log: PathBuf,
    /// Further arguments: where it keeps what it counts, in any case.
    pub arguments: Vec<String>,
}

/// Process of a server that is a node, which is killed when this is dropped.
#[derive(Debug)]
pub struct NodeProcess {
    child: Child,
    pid: Pid,
    client: Client,
    addresses: Addresses,
    replica: Option<String>,
    log: PathBuf,
}

/// Addresses of a server, as it logs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Addresses {
    resp: SocketAddr,
    http: SocketAddr,
    node: SocketAddr,
}

impl Launch {
    /// Returns the command that starts the server, on free ports, with its log in the file.
    ///
    /// # Errors
    /// If the log cannot be opened.
    pub fn command(&self) -> anyhow::Result<Command> {
        let log =
            File::options().create(true).append(true).open(&self.log).context("failed to open a log")?;
        let mut command = Command::new(&self.program);
        let any = "127.0.0.1:0";
        command.args(["--listen", any, "--resp", any, "--http", any, "--statsd", "off"]);
        command
            .args(["--name", self.name.as_str()])
            .args(&self.arguments)
            .arg("--cookie-file")
            .arg(&self.cookie);
        if let Some(tls) = &self.tls {
            command.arg("--tls-dir").arg(tls);
        }
        self.peers.iter().for_each(|peer| _ = command.args(["--peer", &peer.to_string()]));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).env("RUST_LOG", LOG);
        // A group of its own: Ctrl-C is for the whole cluster, and not for one node after another.
        command.kill_on_drop(true).process_group(0);
        Ok(command)
    }
}

impl NodeProcess {
    /// Starts a server, and returns when it is ready.
    ///
    /// # Errors
    /// If there is no such executable, or it ends before it is ready.
    pub async fn start(launch: &Launch) -> anyhow::Result<Self> {
        let mut command = launch.command()?;
        let earlier_bytes = fs::metadata(&launch.log).map_or(0, |log| log.len());
        let mut child = command.spawn().context("failed to start a server")?;
        let id = child.id().context("failed to start a server: it has ended")?;
        let pid = Pid::from_raw(i32::try_from(id).context("failed to parse a process id")?);
        let addresses = addresses(&mut child, launch, usize::try_from(earlier_bytes)?).await;
        let addresses = addresses.with_context(|| format!("failed to start {}", launch.name))?;
        let client = Client::new(addresses.resp, addresses.http);
        // One whose store has never had a peer is none of a cluster.
        let replica = client.report().await.ok().map(|report| report.replica);
        Ok(Self { child, pid, client, addresses, replica, log: launch.log.clone() })
    }

    /// Returns a client.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Address at which it listens for other nodes.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.addresses.node
    }

    /// Address of its RESP front end.
    #[must_use]
    pub const fn resp_addr(&self) -> SocketAddr {
        self.addresses.resp
    }

    /// Incarnation of the node, as `NODE#INCARNATION`.
    ///
    /// # Errors
    /// If it counts alone.
    pub fn replica(&self) -> anyhow::Result<&str> {
        self.replica.as_deref().context("a node that counts alone")
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// If the process has ended.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        kill(self.pid, signal).with_context(|| format!("failed to send {signal}"))
    }

    /// Pauses the process with SIGSTOP, and returns when all of its threads have stopped: nothing comes from it any
    /// more.
    ///
    /// # Errors
    /// If the process has ended, takes longer than [`ANSWER_DEADLINE`], or `/proc` is not as on Linux.
    pub async fn pause(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGSTOP)?;
        let begun = Instant::now();
        while !self.is_stopped().context("failed to read the state of a server")? {
            if begun.elapsed() > ANSWER_DEADLINE {
                bail!("a server that has not stopped within {ANSWER_DEADLINE:?}");
            }
            sleep(POLL_EVERY).await;
        }
        Ok(())
    }

    fn is_stopped(&self) -> io::Result<bool> {
        for thread in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            let stat = match fs::read_to_string(thread?.path().join("stat")) {
                // A thread that has just ended.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                stat => stat?,
            };
            // The state is behind the name of the thread, which is in brackets.
            if !stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" T ")) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Waits until the process has ended.
    ///
    /// # Errors
    /// If it takes longer than the deadline.
    pub async fn ended(&mut self, deadline: Duration) -> anyhow::Result<ExitStatus> {
        let ended = timeout(deadline, self.child.wait()).await;
        ended
            .map_err(|_| anyhow!("a server that has not ended within {deadline:?}"))?
            .context("failed to wait for a server")
    }

    /// Returns what it has logged, with what earlier processes have logged to the same file.
    ///
    /// # Errors
    /// If the file is gone.
    pub fn log(&self) -> anyhow::Result<String> {
        fs::read_to_string(&self.log).context("failed to read a log")
    }

    /// Waits until its log has a text.
    ///
    /// # Errors
    /// If it takes longer than the deadline.
    pub async fn logs(&self, text: &str, deadline: Duration) -> anyhow::Result<()> {
        let begun = Instant::now();
        while !self.log()?.contains(text) {
            if begun.elapsed() > deadline {
                bail!("{text:?} was not logged within {deadline:?}");
            }
            sleep(POLL_EVERY).await;
        }
        Ok(())
    }

    /// Returns its resident memory in bytes.
    ///
    /// # Errors
    /// If `/proc` is not as on Linux.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        let status = format!("/proc/{}/status", self.pid);
        let status = fs::read_to_string(status).context("failed to read the memory of a server")?;
        let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB"));
        let kilobytes = kilobytes.context("failed to find the memory of a server")?;
        Ok(1024 * kilobytes.trim().parse::<u64>().context("failed to parse the memory of a server")?)
    }
}

/// Waits until a server has logged where it listens.
async fn addresses(child: &mut Child, launch: &Launch, earlier_bytes: usize) -> anyhow::Result<Addresses> {
    let begun = Instant::now();
    loop {
        let has_ended = child.try_wait()?.is_some();
        let log = fs::read(&launch.log).context("failed to read a log")?;
        let log = String::from_utf8_lossy(log.get(earlier_bytes..).unwrap_or_default());
        if let Some(addresses) = Addresses::parse(&log) {
            return Ok(addresses);
        }
        if has_ended {
            bail!("it has ended; its log:\n{log}");
        }
        if begun.elapsed() > ANSWER_DEADLINE {
            bail!("it is not ready within {ANSWER_DEADLINE:?}; its log:\n{log}");
        }
        sleep(POLL_EVERY).await;
    }
}

impl Addresses {
    /// Finds the line with the addresses.
    fn parse(log: &str) -> Option<Self> {
        let lines = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let parse = |line: &str| {
            let address = |of: &str| line.split(of).nth(1)?.split(',').next()?.parse().ok();
            let (resp, http) = (address("RESP on ")?, address("HTTP on ")?);
            Some(Self { resp, http, node: address("other nodes on ")? })
        };
        lines.filter_map(parse).next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_a_whole_line_of_a_log() {
        let line = "INFO counter_server: RESP on 127.0.0.1:1, HTTP on 127.0.0.1:2, StatsD on none, \
                    other nodes on 127.0.0.1:3, counters in memory\n";
        let [resp, http, node] = [1, 2, 3].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let log = format!("INFO another line\n{line}");
        assert_eq!(Addresses::parse(&log), Some(Addresses { resp, http, node }));
        assert_eq!(Addresses::parse(log.trim_end()), None);
    }
}
