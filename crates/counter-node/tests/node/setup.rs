//! Processes under test, and peers that report what has reached them.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use counter_chaos::{Launch, NodeProcess};
use counter_node_protocol::{Answer, Report, Request};
use counter_protocol::CounterName;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ractor_transport::Cookie;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, sleep, timeout};

/// Deadline of everything that is expected to happen.
pub(crate) const NEVER: Duration = Duration::from_secs(30);

const LOG: &str =
    "warn,ractor_cluster=error,counter_cli=info,counter_node=info,counter_cluster=info,ractor_transport=info";

const PROGRAM: &str = env!("CARGO_BIN_EXE_counter-node");

/// Files that the nodes of a test share.
pub(crate) struct Files(TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        let files = Self(tempfile::tempdir().expect("there is room"));
        Cookie::generate().write_new(files.cookie()).expect("there is room");
        files
    }

    pub(crate) fn cookie(&self) -> PathBuf {
        self.0.path().join("cookie")
    }

    /// Starts a node that answers requests.
    pub(crate) async fn peer(&self, name: &str) -> NodeProcess {
        NodeProcess::start(&self.launch(name)).await.expect("it starts")
    }

    /// Returns the launch of such a node.
    pub(crate) fn launch(&self, name: &str) -> Launch {
        Launch {
            program: PROGRAM.into(),
            name: name.parse().expect("a valid name"),
            cookie: self.cookie(),
            tls: None,
            peers: Vec::new(),
            log: self.0.path().join(format!("{name}.log")),
            arguments: Vec::new(),
        }
    }
}

/// The node under test.
pub(crate) struct Node {
    child: Child,
    stdin: Option<ChildStdin>,
    stderr: Option<BufReader<ChildStderr>>,
}

impl Node {
    /// Starts a node that is called `a`, and returns its standard output.
    pub(crate) fn start(files: &Files, arguments: &[&str]) -> (Self, Lines<BufReader<ChildStdout>>) {
        let mut node = Self::start_with(files, arguments, Stdio::piped(), Stdio::piped());
        let stdout = node.child.stdout.take().expect("a pipe");
        (node, BufReader::new(stdout).lines())
    }

    /// Starts a node whose standard output is dropped.
    pub(crate) fn start_silent(files: &Files, arguments: &[&str]) -> Self {
        Self::start_with(files, arguments, Stdio::null(), Stdio::piped())
    }

    /// Starts a node with the given standard output and standard error.
    pub(crate) fn start_with(
        files: &Files,
        arguments: &[&str],
        stdout: impl Into<Stdio>,
        stderr: impl Into<Stdio>,
    ) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(["node", "--name", "a", "--cookie-file"]).arg(files.cookie()).args(arguments);
        command.env("RUST_LOG", LOG).stdin(Stdio::piped()).stdout(stdout).stderr(stderr).kill_on_drop(true);
        let mut child = command.spawn().expect("it starts");
        let (stdin, stderr) = (child.stdin.take(), child.stderr.take().map(BufReader::new));
        Self { child, stdin, stderr }
    }

    /// Writes to the standard input.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().expect("it is open");
        timeout(NEVER, stdin.write_all(bytes)).await.expect("it is read").expect("it is open");
    }

    /// Ends the standard input.
    pub(crate) fn close(&mut self) {
        self.stdin = None;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = self.child.id().expect("it runs");
        kill(Pid::from_raw(id.cast_signed()), signal).expect("it runs");
    }

    /// Waits until it has logged a line with this part.
    pub(crate) async fn logs(&mut self, part: &str) {
        let stderr = self.stderr.as_mut().expect("a pipe");
        let logged = async {
            let mut line = String::new();
            while !line.contains(part) {
                line.clear();
                let read = stderr.read_line(&mut line).await.expect("it is text");
                assert!(read > 0, "it has ended without a word of {part:?}");
            }
        };
        timeout(NEVER, logged).await.expect("it logs it");
    }

    /// Waits for its end, and returns the rest of its standard error.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String) {
        let mut rest = String::new();
        let ended = async {
            if let Some(stderr) = &mut self.stderr {
                stderr.read_to_string(&mut rest).await.expect("it is text");
            }
            self.child.wait().await.expect("it has not been waited for")
        };
        let status = timeout(NEVER, ended).await.expect("it ends");
        (status, rest)
    }

    /// Returns its peak memory so far.
    pub(crate) fn peak_bytes(&self) -> u64 {
        let status = format!("/proc/{}/status", self.child.id().expect("it runs"));
        let status = std::fs::read_to_string(status).expect("Linux tells");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"));
        1024 * peak.expect("Linux tells").trim().parse::<u64>().expect("a number")
    }
}

/// Reads reports until one is as expected.
pub(crate) async fn until_reported(
    reports: &mut Lines<BufReader<ChildStdout>>,
    is_it: impl Fn(&Report) -> bool,
) {
    let reported = async {
        loop {
            let line = reports.next_line().await.expect("it is text").expect("it runs");
            if is_it(&serde_json::from_str(&line).expect("it is a report")) {
                return;
            }
        }
    };
    timeout(NEVER, reported).await.expect("it is reported");
}

/// Waits until a peer holds this number of operations of a counter.
pub(crate) async fn until_held(peer: &NodeProcess, name: &'static str, operations: u128) {
    let begun = Instant::now();
    loop {
        let value = Request::Value { name: CounterName::from_static(name), fresh_ms: None };
        let answer = peer.client().ask(value).await.expect("it answers");
        let Answer::Value(total, _) = answer else { panic!("{answer:?}") };
        if total.operations == operations {
            return;
        }
        assert!(begun.elapsed() < NEVER, "{name}: {total:?}");
        sleep(Duration::from_millis(5)).await;
    }
}
