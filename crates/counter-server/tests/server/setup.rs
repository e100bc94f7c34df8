//! Servers and clients of tests.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use counter_keyspace::KeyspaceOptions;
use counter_server::{Limits, ServeOptions, Server, Storage};
use counter_store::{Durability, StoreOptions};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Starts a server in memory on free ports.
pub(crate) async fn server() -> Server {
    server_with(Limits::default()).await
}

/// Starts a server with other limits.
pub(crate) async fn server_with(limits: Limits) -> Server {
    start(Storage::Memory(KeyspaceOptions::default()), Durability::Memory, limits).await
}

/// Starts a server whose counters are kept in a directory, with this guarantee.
pub(crate) async fn durable_server(dir: &Path, durability: Durability) -> Server {
    start(Storage::Directory(dir.into(), StoreOptions::default()), durability, Limits::default()).await
}

async fn start(storage: Storage, durability: Durability, limits: Limits) -> Server {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let options = ServeOptions {
        storage,
        durability,
        resp: Some(any),
        http: Some(any),
        limits,
        allow_removal_of_all: true,
        drain_deadline: Duration::from_secs(5),
    };
    Server::start(options).await.expect("ports are free")
}

/// RESP client.
#[derive(Debug)]
pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    pub(crate) async fn connect(server: &Server) -> Self {
        let address = server.resp_addr().expect("RESP is on");
        Self(BufReader::new(TcpStream::connect(address).await.expect("the server listens")))
    }

    /// Sends text, and returns the answer. A bulk string is one line more.
    pub(crate) async fn ask(&mut self, text: &str, answers: usize) -> String {
        self.0.write_all(text.as_bytes()).await.expect("the server reads");
        let mut answer = String::new();
        for _ in 0..answers {
            let start = answer.len();
            self.0.read_line(&mut answer).await.expect("the server answers");
            if answer[start..].starts_with('$') && !answer[start..].starts_with("$-1") {
                self.0.read_line(&mut answer).await.expect("the server answers");
            }
        }
        answer
    }
}
