//! Servers and clients of tests.

use std::path::Path;

use counter_server::{Durability, Limits, ServeOptions, Server, Storage};
use counter_store::StoreOptions;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Returns options of a server in memory on free ports.
pub(crate) fn options() -> ServeOptions {
    ServeOptions { allow_removal_of_all: true, ..ServeOptions::default() }
}

/// Starts a server in memory on free ports.
pub(crate) async fn server() -> Server {
    Server::start(options()).await.expect("ports are free")
}

/// Starts a server with other limits.
pub(crate) async fn server_with(limits: Limits) -> Server {
    Server::start(ServeOptions { limits, ..options() }).await.expect("ports are free")
}

/// Starts a server whose counters are kept in a directory, with this guarantee.
pub(crate) async fn durable_server(dir: &Path, durability: Durability) -> Server {
    let durable = ServeOptions { storage: directory(dir), durability, ..options() };
    Server::start(durable).await.expect("ports are free")
}

/// Returns the storage of a server in a directory.
pub(crate) fn directory(path: &Path) -> Storage {
    Storage::Directory(path.to_owned(), StoreOptions::default())
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
