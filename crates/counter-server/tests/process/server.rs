//! A server process.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

/// Addresses of the front ends for clients.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    pub(crate) resp: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) statsd: SocketAddr,
}

/// Server process, killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    process: Child,
    pub(crate) addresses: Addresses,
    /// Reads what it prints, or it drops lines.
    last_line: Option<JoinHandle<String>>,
}

impl Process {
    /// Starts a server whose answers are on disk, on free ports, and waits until it is ready.
    pub(crate) fn start(data: &Path) -> Self {
        Self::start_with(data, |command| _ = command.args(["--durability", "fsync"]))
    }

    /// Starts a server with these arguments and variables.
    pub(crate) fn start_with(data: &Path, configure: impl FnOnce(&mut Command)) -> Self {
        Self::start_at([SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); 3], data, configure)
    }

    /// Starts a server with these addresses of RESP, HTTP and StatsD.
    pub(crate) fn start_at(
        [resp, http, statsd]: [SocketAddr; 3],
        data: &Path,
        configure: impl FnOnce(&mut Command),
    ) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_counter-server"));
        command.arg("--data").arg(data);
        for (front_end, address) in [("--resp", resp), ("--http", http), ("--statsd", statsd)] {
            command.arg(front_end).arg(address.to_string());
        }
        command.stderr(Stdio::piped());
        configure(&mut command);
        let mut process = command.spawn().expect("the program is there");
        let output = BufReader::new(process.stderr.take().expect("it is piped"));
        let mut lines = output.lines().map_while(Result::ok);
        let line = lines.find(|line| line.contains("RESP on ")).expect("it says where it listens");
        let address = |of: &str| line.split(of).nth(1)?.split(',').next()?.parse().ok();
        let [resp, http, statsd] =
            ["RESP on ", "HTTP on ", "StatsD on "].map(|of| address(of).expect("it is an address"));
        let last_line = Some(std::thread::spawn(move || lines.last().unwrap_or_default()));
        Self { process, addresses: Addresses { resp, http, statsd }, last_line }
    }

    /// Kills the process with SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it is a child");
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().is_ok_and(|status| status.success()));
    }

    /// Waits for the end of the process, and returns its exit code and the last line that it has printed.
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        let code = self.process.wait().expect("it is a child").code();
        let last_line = self.last_line.take().expect("it is waited for once");
        (code, last_line.join().expect("it only reads"))
    }

    /// Stops the process with SIGTERM, which has to succeed.
    pub(crate) fn stop(self) {
        self.signal("TERM");
        self.wait();
    }

    /// Waits for the end of the process, which has to be a success.
    pub(crate) fn wait(self) {
        let (code, last_line) = self.ended();
        assert_eq!(code, Some(0), "{last_line}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
