//! A server process.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Server process, killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    process: Child,
    pub(crate) resp: SocketAddr,
}

impl Process {
    /// Starts a server on free ports, and waits until it is ready.
    pub(crate) fn start(data: &Path) -> Self {
        Self::start_with(data, |_| {})
    }

    /// Starts a server with other options, too.
    pub(crate) fn start_with(data: &Path, configure: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_counter-server"));
        command.arg("--data").arg(data).args(["--durability", "fsync"]);
        command
            .args(["--resp", "127.0.0.1:0", "--http", "127.0.0.1:0", "--statsd", "127.0.0.1:0"])
            .stderr(Stdio::piped());
        configure(&mut command);
        let mut process = command.spawn().expect("the program is there");
        let output = BufReader::new(process.stderr.take().expect("it is piped"));
        let mut lines = output.lines().map_while(Result::ok);
        let line = lines.find(|line| line.contains("RESP on ")).expect("it says where it listens");
        let address = line.split("RESP on ").nth(1).and_then(|rest| rest.split(',').next());
        let resp = address.and_then(|address| address.parse().ok()).expect("it is an address");
        // Somebody has to read what it prints, or it drops lines.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, resp }
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

    /// Waits for the end of the process, which has to be a success.
    pub(crate) fn wait(mut self) {
        assert_eq!(self.process.wait().expect("it is a child").code(), Some(0));
    }

    /// Stops the process with SIGTERM, which has to succeed.
    pub(crate) fn stop(self) {
        self.signal("TERM");
        self.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
