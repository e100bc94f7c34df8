//! A node in a process of its own, and clients of it.

use std::collections::HashMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use counter_cluster::Total;
use counter_node_protocol::{Answer, Listening, Report, Request};
use counter_protocol::{CounterName, NameTooLong};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ractor_transport::NodeName;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Time that a node has to answer. It is generous: a busy machine is not a fault of the node.
pub const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// Time that other nodes have to answer a fresh read, in milliseconds.
const FRESH_MS: u64 = 10_000;

/// Maximum number of requests that wait for a node's standard input.
const REQUESTS_AHEAD: usize = 64;

/// Log filter of the nodes.
const LOG: &str = "info,counter_cluster=debug,ractor_transport=debug,ractor=warn,ractor_cluster=error";

/// Arguments of a node's process.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Path of the executable `counter-node`.
    pub program: PathBuf,
    /// Name of the node.
    pub name: NodeName,
    /// Path of the cookie file.
    pub cookie: PathBuf,
    /// Directory of its certificate; without one, its connections are not encrypted.
    pub tls: Option<PathBuf>,
    /// Addresses that it dials.
    pub peers: Vec<SocketAddr>,
    /// Path of the log file, which is appended to.
    pub log: PathBuf,
    /// Further arguments.
    pub arguments: Vec<String>,
}

/// Process of a node, which is killed when this is dropped.
#[derive(Debug)]
pub struct NodeProcess {
    child: Child,
    pid: Pid,
    client: Client,
    listening: Listening,
}

/// Client of a node. Clones send to the same process, also at the same time.
#[derive(Clone, Debug)]
pub struct Client {
    lines: mpsc::Sender<String>,
    pending: Pending,
    next: Arc<AtomicU64>,
}

/// Callers that wait for an answer, by the number of the request; none once the process has closed its output.
type Pending = Arc<Mutex<Option<HashMap<u64, oneshot::Sender<Answer>>>>>;

impl NodeProcess {
    /// Starts a node, and returns when it listens.
    ///
    /// # Errors
    /// If there is no such executable, or it ends before it listens.
    pub async fn start(launch: &Launch) -> anyhow::Result<Self> {
        let Launch { program, name, cookie, tls, peers, log, arguments } = launch;
        let log_file = File::options().create(true).append(true).open(log).context("failed to open a log")?;
        let mut command = Command::new(program);
        command.args(["node", "--stdin", "requests", "--name", name.as_str()]);
        command.args(arguments).arg("--cookie-file").arg(cookie);
        if let Some(tls) = tls {
            command.arg("--tls-dir").arg(tls);
        }
        peers.iter().for_each(|peer| _ = command.args(["--peer", &peer.to_string()]));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log_file).env("RUST_LOG", LOG);
        // A group of its own: Ctrl-C is for the whole cluster, and not for one node after another.
        let mut child =
            command.kill_on_drop(true).process_group(0).spawn().context("failed to start a node")?;
        let id = child.id().context("failed to start a node: it has ended")?;
        let pid = Pid::from_raw(i32::try_from(id).context("failed to parse a process id")?);
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("failed to start a node: it has no pipes");
        };
        let client = Client::new(stdin, stdout);
        let listening = match client.ask(Request::Listening {}).await {
            Ok(Answer::Listening(listening)) => listening,
            Ok(answer) => bail!("failed to start {name}: it answered {answer:?}"),
            Err(error) => {
                let log = std::fs::read_to_string(log).unwrap_or_default();
                bail!("failed to start {name}: {error}; its log:\n{log}");
            }
        };
        Ok(Self { child, pid, client, listening })
    }

    /// Returns a client.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Address at which it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.listening.address
    }

    /// Incarnation of the node, as `NODE#INCARNATION`.
    #[must_use]
    pub fn replica(&self) -> &str {
        &self.listening.replica
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// If the process has ended.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        kill(self.pid, signal).with_context(|| format!("failed to send {signal}"))
    }

    /// Waits until the process has ended.
    ///
    /// # Errors
    /// If it takes longer than the deadline.
    pub async fn ended(&mut self, deadline: Duration) -> anyhow::Result<ExitStatus> {
        let ended = timeout(deadline, self.child.wait()).await;
        ended
            .map_err(|_| anyhow!("a node that has not ended within {deadline:?}"))?
            .context("failed to wait for a node")
    }

    /// Returns its resident memory in bytes.
    ///
    /// # Errors
    /// If `/proc` is not as on Linux.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        let status = format!("/proc/{}/status", self.pid);
        let status = std::fs::read_to_string(status).context("failed to read the memory of a node")?;
        let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB"));
        let kilobytes = kilobytes.context("failed to find the memory of a node")?;
        Ok(1024 * kilobytes.trim().parse::<u64>().context("failed to parse the memory of a node")?)
    }
}

impl Client {
    fn new(stdin: ChildStdin, stdout: ChildStdout) -> Self {
        let (lines, to_write) = mpsc::channel(REQUESTS_AHEAD);
        let pending: Pending = Arc::new(Mutex::new(Some(HashMap::new())));
        // Both end with the process; the first also with the last client, and so closes the standard input.
        tokio::spawn(write(stdin, to_write));
        tokio::spawn(read(BufReader::new(stdout).lines(), Arc::clone(&pending)));
        Self { lines, pending, next: Arc::default() }
    }

    /// Sends a request, and waits for the answer up to [`ANSWER_DEADLINE`].
    ///
    /// # Errors
    /// If the node fails to carry it out, has ended, or takes longer.
    pub async fn ask(&self, request: Request) -> anyhow::Result<Answer> {
        self.ask_within(request, ANSWER_DEADLINE).await
    }

    /// Sends a request, and waits for the answer up to a deadline.
    ///
    /// # Errors
    /// If the node fails to carry it out, has ended, or takes longer.
    pub async fn ask_within(&self, request: Request, deadline: Duration) -> anyhow::Result<Answer> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let line = serde_json::to_string(&(number, request)).context("failed to write a request")?;
        let (answered, answer) = oneshot::channel();
        match lock(&self.pending).as_mut() {
            Some(pending) => pending.insert(number, answered),
            None => bail!("a node that has ended"),
        };
        let asked = async {
            self.lines.send(line).await.map_err(|_| anyhow!("a node that has ended"))?;
            answer.await.map_err(|_| anyhow!("a node that has ended without an answer"))
        };
        let outcome = timeout(deadline, asked).await;
        if let Some(pending) = lock(&self.pending).as_mut() {
            pending.remove(&number);
        }
        match outcome.map_err(|_| anyhow!("no answer from a node within {deadline:?}"))?? {
            Answer::Failed(reason) => bail!("refusal by a node: {reason}"),
            answer => Ok(answer),
        }
    }

    /// Counts one operation.
    ///
    /// # Errors
    /// If the node has ended or takes longer than [`ANSWER_DEADLINE`], and then the operation may have been counted; or
    /// if the name is too long.
    pub async fn add(
        &self,
        name: impl TryInto<CounterName, Error: Into<NameTooLong>>,
        amount: i64,
    ) -> anyhow::Result<()> {
        match self.ask(Request::Add { name: CounterName::new(name)?, amount }).await? {
            Answer::Added => Ok(()),
            other => bail!("unexpected answer to an operation: {other:?}"),
        }
    }

    /// Reads a counter after all other nodes have been asked for it.
    ///
    /// # Errors
    /// If the node has ended or takes longer than [`ANSWER_DEADLINE`]; if another node does not answer; or if the name
    /// is too long.
    pub async fn fresh_value(
        &self,
        name: impl TryInto<CounterName, Error: Into<NameTooLong>>,
    ) -> anyhow::Result<Total> {
        match self.ask(Request::Value { name: CounterName::new(name)?, fresh_ms: Some(FRESH_MS) }).await? {
            Answer::Value(total, unanswered) if unanswered.is_empty() => Ok(total),
            other => bail!("unexpected answer to a fresh read: {other:?}"),
        }
    }

    /// Reads all counters that the node holds.
    ///
    /// # Errors
    /// If the node has ended, or takes longer than [`ANSWER_DEADLINE`].
    pub async fn everything(&self) -> anyhow::Result<Vec<(CounterName, Total)>> {
        match self.ask(Request::Top { n: usize::MAX }).await? {
            Answer::Top(all) => Ok(all),
            other => bail!("unexpected answer to a read of all counters: {other:?}"),
        }
    }

    /// Reads the status of the cluster, as the node sees it.
    ///
    /// # Errors
    /// If the node has ended, or takes longer than [`ANSWER_DEADLINE`].
    pub async fn report(&self) -> anyhow::Result<Report> {
        match self.ask(Request::Status { fresh_ms: None }).await? {
            Answer::Status(report) => Ok(report),
            other => bail!("unexpected answer to a read of the status: {other:?}"),
        }
    }
}

/// Writes requests, each as a whole line, also if the caller has given up on it.
async fn write(mut stdin: ChildStdin, mut lines: mpsc::Receiver<String>) {
    while let Some(mut line) = lines.recv().await {
        line.push('\n');
        if stdin.write_all(line.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(mut lines: Lines<BufReader<ChildStdout>>, pending: Pending) {
    while let Ok(Some(line)) = lines.next_line().await {
        // Anything else is an answer to a request that was not understood: the caller finds it missing.
        let Ok((number, answer)) = serde_json::from_str::<(u64, Answer)>(&line) else { continue };
        let answered = lock(&pending).as_mut().and_then(|pending| pending.remove(&number));
        if let Some(answered) = answered {
            let _ = answered.send(answer);
        }
    }
    // Drops the senders, from which the callers learn it.
    let waiting = lock(&pending).take();
    drop(waiting);
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A map stays whole whatever panics.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
