//! The two servers.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use counter_server::{ServeOptions, Server, StatsdOptions};

/// Process of Redis, which ends with this.
#[derive(Debug)]
pub(crate) struct Redis {
    process: Child,
    pub(crate) address: SocketAddr,
}

impl Redis {
    /// Starts Redis, if it is installed.
    #[expect(clippy::print_stdout, reason = "a skipped test says so")]
    pub(crate) fn start() -> Option<Self> {
        let address = free_address();
        let port = address.port().to_string();
        let options = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
        let mut command = Command::new("redis-server");
        let started = command.args(options).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut process = match started {
            Ok(process) => process,
            Err(error) => {
                println!("SKIPPED: redis-server cannot be started: {error}");
                return None;
            }
        };
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut lines = output.lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("eady to accept connections")), "Redis does not start");
        // Somebody has to read what it prints, or it blocks.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { process, address })
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts this server in memory.
pub(crate) async fn own() -> Server {
    let options = ServeOptions {
        http: None,
        statsd: StatsdOptions::default(),
        allow_removal_of_all: true,
        ..ServeOptions::default()
    };
    Server::start(options).await.expect("ports are free")
}

/// Returns an address that is free now. Somebody else may take it first, but then Redis says so.
fn free_address() -> SocketAddr {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("ports are free");
    socket.local_addr().expect("it is bound")
}
