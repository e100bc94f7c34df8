//! A server that loads its counters, or drains, as clients see it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tokio::net::{TcpStream, UdpSocket};
use tokio::time::sleep;

use crate::connection::Connection;
use crate::server::Process;

const READINESS: &str = "GET /readyz HTTP/1.1\r\nhost: test\r\n\r\n";

/// Returns an address of this machine that no other process uses: it listens before it can say where.
fn own_address(port: u16) -> SocketAddr {
    let [_, a, b, c] = std::process::id().to_be_bytes();
    SocketAddr::from(([127, a | 0x80, b, c], port))
}

/// Keeps a server from opening its store until a reader opens the pipe that is returned.
fn pipe_in_place_of_the_lock(data: &Path) -> PathBuf {
    let lock = data.join("lock");
    std::fs::remove_file(&lock).expect("a store has a lock");
    assert!(Command::new("mkfifo").arg(&lock).status().is_ok_and(|status| status.success()));
    lock
}

async fn readiness(http: &mut Connection) -> (String, String) {
    http.send(READINESS).await.expect("it is open");
    http.http_answer().await.expect("it is answered")
}

fn unavailable(body: &str) -> (String, String) {
    ("HTTP/1.1 503 Service Unavailable".to_owned(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_a_server_that_loads_its_counters_are_told_so_and_served_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let server = Process::start(dir.path());
    let mut client = Connection::connect(server.addresses.resp).await.unwrap();
    assert_eq!(client.ask("INCR a\r\n", 1).await.unwrap(), ["1"]);
    server.stop();

    let lock = pipe_in_place_of_the_lock(dir.path());
    let [resp, http, statsd] = [6380, 8380, 8125].map(own_address);
    let data = dir.path().to_owned();
    let server = tokio::task::spawn_blocking(move || Process::start_at([resp, http, statsd], &data, |_| {}));
    while TcpStream::connect(http).await.is_err() {
        sleep(Duration::from_millis(5)).await;
    }
    let mut http = Connection::connect(http).await.unwrap();
    let mut client = Connection::connect(resp).await.unwrap();
    assert_eq!(readiness(&mut http).await, unavailable("loading\n"));
    assert!(client.refused("INCR a\r\n").await.unwrap().starts_with("-LOADING "));
    http.send("POST /v1/counters/a HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    let (status, problem) = http.http_answer().await.unwrap();
    assert!(status.contains(" 503 ") && problem.contains("urn:problem-type:counter:loading"), "{problem}");
    let datagrams = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    datagrams.send_to(b"a:10|c", statsd).await.unwrap();

    let reader = tokio::task::spawn_blocking(|| std::fs::File::open(lock));
    let server = server.await.unwrap();
    assert_eq!(readiness(&mut http).await, ("HTTP/1.1 200 OK".to_owned(), "ready\n".to_owned()));
    while client.ask("GET a\r\n", 1).await.unwrap() != ["11"] {
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(client.ask("INCR a\r\n", 1).await.unwrap(), ["12"]);
    server.stop();
    drop(reader.await.unwrap().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_a_server_that_drains_are_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let server = Process::start(dir.path());
    let mut http = Connection::connect(server.addresses.http).await.unwrap();
    let (first, rest) = READINESS.split_at(10);
    http.send(first).await.unwrap();
    // Connections are accepted in turn.
    let mut second = Connection::connect(server.addresses.http).await.unwrap();
    assert_eq!(readiness(&mut second).await.1, "ready\n");
    server.signal("TERM");
    while TcpStream::connect(server.addresses.http).await.is_ok() {
        sleep(Duration::from_millis(5)).await;
    }
    http.send(rest).await.unwrap();
    assert_eq!(http.http_answer().await.unwrap(), unavailable("draining\n"));
    server.wait();
}
