//! Processes under test.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use counter_cluster::transport::Cookie;
use counter_node::requests::Report;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// Nothing takes so long, unless it never happens.
pub(crate) const NEVER: Duration = Duration::from_secs(30);

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
}

/// The node under test.
pub(crate) struct Node {
    child: Child,
    stdin: Option<ChildStdin>,
    stderr: Lines<BufReader<ChildStderr>>,
}

impl Node {
    /// Starts a node that is called `a`, and returns its standard output.
    pub(crate) fn start(files: &Files, arguments: &[&str]) -> (Self, Lines<BufReader<ChildStdout>>) {
        let mut node = Self::start_with(files, arguments, Stdio::piped());
        let stdout = node.child.stdout.take().expect("a pipe");
        (node, BufReader::new(stdout).lines())
    }

    /// Starts a node with a standard output of the caller's.
    pub(crate) fn start_with(files: &Files, arguments: &[&str], stdout: impl Into<Stdio>) -> Self {
        let cookie = files.cookie();
        let first = ["node", "--name", "a", "--cookie-file"].map(OsStr::new);
        let mut command = Command::new(PROGRAM);
        command
            .args(first)
            .arg(cookie)
            .args(arguments)
            .env("RUST_LOG", "warn,ractor_cluster=error,counter_node=info");
        command.stdin(Stdio::piped()).stdout(stdout).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("it starts");
        let (stdin, stderr) = (child.stdin.take(), child.stderr.take().expect("a pipe"));
        Self { child, stdin, stderr: BufReader::new(stderr).lines() }
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

    /// Waits for its end, and returns what it has written to the standard error since.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String) {
        let mut rest = String::new();
        let ended = async {
            self.stderr.get_mut().read_to_string(&mut rest).await.expect("it is text");
            self.child.wait().await.expect("it has not been waited for")
        };
        let status = timeout(NEVER, ended).await.expect("it ends");
        (status, rest)
    }

    /// Its greatest memory so far.
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
