//! One node in a process of its own.

use std::collections::HashMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use counter_cluster::{NodeName, Total};
use counter_protocol::{CounterName, NameTooLong};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::requests::{Answer, Listening, Report, Request};

/// How long a node may take to answer. It is generous: a machine with little to spare is not a fault of the node.
pub const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// How long other nodes may take to answer when a value is to be fresh.
const FRESH_MS: u64 = 10_000;

/// How many requests wait for a node's standard input.
const REQUESTS_AHEAD: usize = 64;

/// What a node's log is to say.
const LOG: &str = "info,counter_cluster=debug,ractor=warn,ractor_cluster=error";

/// How to start a node's process.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program, `counter-node`.
    pub program: PathBuf,
    /// What the node is called.
    pub name: NodeName,
    /// The file with the cluster's cookie.
    pub cookie: PathBuf,
    /// The directory with its certificate; without one, it speaks plaintext.
    pub tls: Option<PathBuf>,
    /// Whom it dials.
    pub peers: Vec<SocketAddr>,
    /// Where its log goes, behind what is there.
    pub log: PathBuf,
    /// Further arguments of the program.
    pub arguments: Vec<String>,
}

/// A node's process. It is killed when this is dropped.
#[derive(Debug)]
pub struct NodeProcess {
    child: Child,
    pid: Pid,
    client: Client,
    listening: Listening,
}

/// Asks a node. Clones ask the same process, all at once if need be.
#[derive(Clone, Debug)]
pub struct Client {
    lines: mpsc::Sender<String>,
    pending: Pending,
    next: Arc<AtomicU64>,
}

/// Who waits for which answer; nothing once the process says nothing any more.
type Pending = Arc<Mutex<Option<HashMap<u64, oneshot::Sender<Answer>>>>>;

impl NodeProcess {
    /// Starts a node, and returns when it listens.
    ///
    /// # Errors
    /// If there is no such program, or it does not get so far.
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
        let pid = Pid::from_raw(i32::try_from(id).context("failed to understand a process id")?);
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("failed to speak to a node: it has no pipes");
        };
        let client = Client::new(stdin, stdout);
        let listening = match client.ask(Request::Listening {}).await {
            Ok(Answer::Listening(listening)) => listening,
            Ok(answer) => bail!("failed to start {name}: it answered {answer:?}"),
            Err(error) => {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                bail!("failed to start {name}: {error}; it said:\n{said}");
            }
        };
        Ok(Self { child, pid, client, listening })
    }

    /// What can ask it, from anywhere.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.listening.address
    }

    /// Which incarnation of the node it is, as `NODE#INCARNATION`.
    #[must_use]
    pub fn replica(&self) -> &str {
        &self.listening.replica
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        kill(self.pid, signal).with_context(|| format!("failed to send {signal}"))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// If it takes longer than the deadline.
    pub async fn ended(&mut self, deadline: Duration) -> anyhow::Result<ExitStatus> {
        let ended = timeout(deadline, self.child.wait()).await;
        ended
            .map_err(|_| anyhow!("a node has not ended in {deadline:?}"))?
            .context("failed to wait for a node")
    }

    /// How much memory it has, in bytes.
    ///
    /// # Errors
    /// If the system does not say so as Linux does.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        let status = format!("/proc/{}/status", self.pid);
        let status = std::fs::read_to_string(status).context("failed to read how much memory a node has")?;
        let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB"));
        let kilobytes = kilobytes.context("failed to find how much memory a node has")?;
        Ok(1024
            * kilobytes.trim().parse::<u64>().context("failed to understand how much memory a node has")?)
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

    /// Asks, and waits for the answer for [`ANSWER_DEADLINE`].
    ///
    /// # Errors
    /// If the node fails to do it, is gone, or takes longer.
    pub async fn ask(&self, request: Request) -> anyhow::Result<Answer> {
        self.ask_within(request, ANSWER_DEADLINE).await
    }

    /// The same with another deadline.
    ///
    /// # Errors
    /// If the node fails to do it, is gone, or takes longer.
    pub async fn ask_within(&self, request: Request, deadline: Duration) -> anyhow::Result<Answer> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let line = serde_json::to_string(&(number, request)).context("failed to write a request")?;
        let (answered, answer) = oneshot::channel();
        match lock(&self.pending).as_mut() {
            Some(pending) => pending.insert(number, answered),
            None => bail!("the node is gone"),
        };
        let asked = async {
            self.lines.send(line).await.map_err(|_| anyhow!("the node is gone"))?;
            answer.await.map_err(|_| anyhow!("the node went without an answer"))
        };
        let outcome = timeout(deadline, asked).await;
        if let Some(pending) = lock(&self.pending).as_mut() {
            pending.remove(&number);
        }
        match outcome.map_err(|_| anyhow!("the node has not answered in {deadline:?}"))?? {
            Answer::Failed(reason) => bail!("the node could not: {reason}"),
            answer => Ok(answer),
        }
    }

    /// Counts one operation.
    ///
    /// # Errors
    /// If the node fails to do it, is gone, or takes longer than [`ANSWER_DEADLINE`]; or if the name is too long. It may have been counted then.
    pub async fn add(
        &self,
        name: impl TryInto<CounterName, Error: Into<NameTooLong>>,
        amount: i64,
    ) -> anyhow::Result<()> {
        match self.ask(Request::Add { name: CounterName::new(name)?, amount }).await? {
            Answer::Added => Ok(()),
            other => bail!("a node answered {other:?} to an operation"),
        }
    }

    /// A counter's value, after all other nodes have been asked for it.
    ///
    /// # Errors
    /// If the node fails to do it, is gone, or takes longer than [`ANSWER_DEADLINE`]; or if another node does not answer.
    pub async fn fresh_value(
        &self,
        name: impl TryInto<CounterName, Error: Into<NameTooLong>>,
    ) -> anyhow::Result<Total> {
        match self.ask(Request::Value { name: CounterName::new(name)?, fresh_ms: Some(FRESH_MS) }).await? {
            Answer::Value(total, unanswered) if unanswered.is_empty() => Ok(total),
            other => bail!("a node answered {other:?} to a counter's value"),
        }
    }

    /// All counters that the node knows.
    ///
    /// # Errors
    /// If the node is gone, or takes longer than [`ANSWER_DEADLINE`].
    pub async fn everything(&self) -> anyhow::Result<Vec<(CounterName, Total)>> {
        match self.ask(Request::Top { n: usize::MAX }).await? {
            Answer::Top(all) => Ok(all),
            other => bail!("a node answered {other:?} to what it holds"),
        }
    }

    /// How things stand, as the node sees it.
    ///
    /// # Errors
    /// If the node is gone, or takes longer than [`ANSWER_DEADLINE`].
    pub async fn standing(&self) -> anyhow::Result<Report> {
        match self.ask(Request::Standing { fresh_ms: None }).await? {
            Answer::Standing(report) => Ok(report),
            other => bail!("a node answered {other:?} to how things stand"),
        }
    }
}

/// Writes lines whole, whoever gives up on them meanwhile.
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
        // Anything else is an answer to a request that was not understood: whoever asked finds it missing.
        let Ok((number, answer)) = serde_json::from_str::<(u64, Answer)>(&line) else { continue };
        let answered = lock(&pending).as_mut().and_then(|pending| pending.remove(&number));
        if let Some(answered) = answered {
            let _ = answered.send(answer);
        }
    }
    // Drops the senders, and whoever waits learns it.
    let waiting = lock(&pending).take();
    drop(waiting);
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A map stays whole whatever panics.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
