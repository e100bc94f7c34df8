//! Bounds, slow and broken clients, loading and draining.

use std::num::NonZeroUsize;
use std::time::Duration;

use counter_server::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::setup::{Client, server, server_with};

#[tokio::test]
async fn at_the_limit_of_names_new_counters_are_refused_and_others_go_on() {
    let server = server_with(Limits { names: NonZeroUsize::new(64), ..Limits::default() }).await;
    let mut client = Client::connect(&server).await;
    let mut refused = 0;
    for n in 0..200 {
        let answer = client.ask(&format!("INCR {n}\r\n"), 1).await;
        refused += u64::from(answer.starts_with("-OOM "));
    }
    let size = client.ask("DBSIZE\r\n", 1).await;
    assert_eq!(size, format!(":{}\r\n", 200 - refused));
    assert!((136..150).contains(&refused), "{refused}");
    assert_eq!(client.ask("INCR 0\r\nDEL 0\r\n", 2).await, ":2\r\n:1\r\n");
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_long_pipeline_is_answered_whole_and_in_order() {
    let server = server_with(Limits { pipeline: 7, ..Limits::default() }).await;
    let mut client = Client::connect(&server).await;
    let requests: String = (0..1000).map(|n| format!("INCR a\r\nDBSIZE\r\nECHO {n}\r\n")).collect();
    let expected: String =
        (0..1000).map(|n| format!(":{}\r\n:1\r\n${}\r\n{n}\r\n", n + 1, n.to_string().len())).collect();
    assert_eq!(client.ask(&requests, 3000).await, expected);
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_request_that_is_too_long_or_no_request_ends_its_connection_behind_earlier_replies() {
    let server = server_with(Limits { request_bytes: 1000, ..Limits::default() }).await;
    for garbage in ["*1\r\n$1001\r\n", "*1\r\n:5\r\n", "*x\r\n", "\"\r\n"] {
        let mut socket = TcpStream::connect(server.resp_addr().unwrap()).await.unwrap();
        socket.write_all(format!("INCR a\r\n{garbage}INCR a\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        let (first, second) = answer.split_once("\r\n").unwrap();
        assert!(first.starts_with(':') && second.starts_with("-ERR Protocol error: "), "{answer}");
    }
    let mut client = Client::connect(&server).await;
    assert_eq!(client.ask("GET a\r\n", 1).await, "$1\r\n4\r\n");
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_request_may_arrive_byte_by_byte() {
    let server = server().await;
    let mut socket = TcpStream::connect(server.resp_addr().unwrap()).await.unwrap();
    socket.set_nodelay(true).unwrap();
    for byte in b"*3\r\n$6\r\nINCRBY\r\n$1\r\na\r\n$2\r\n17\r\n" {
        socket.write_all(&[*byte]).await.unwrap();
    }
    let mut answer = [0; 5];
    socket.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b":17\r\n");
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_disconnected() {
    let limits = Limits { unread_timeout: Duration::from_millis(50), ..Limits::default() };
    let server = server_with(limits).await;
    let mut socket = TcpStream::connect(server.resp_addr().unwrap()).await.unwrap();
    let requests = "COMMAND DOCS\r\n".repeat(1000);
    // The server stops to read, and then closes, so writing fails in the end.
    while socket.write_all(requests.as_bytes()).await.is_ok() {}
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn connections_above_the_limit_are_turned_away_in_the_words_of_redis() {
    let server = server_with(Limits { connections: 1, ..Limits::default() }).await;
    let mut first = Client::connect(&server).await;
    assert_eq!(first.ask("PING\r\n", 1).await, "+PONG\r\n");
    let mut second = TcpStream::connect(server.resp_addr().unwrap()).await.unwrap();
    let mut answer = String::new();
    second.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "-ERR max number of clients reached\r\n");
    assert_eq!(first.ask("PING\r\n", 1).await, "+PONG\r\n");
    drop(first);
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_has_arrived_is_answered_when_the_server_drains() {
    let server = server().await;
    let mut socket = TcpStream::connect(server.resp_addr().unwrap()).await.unwrap();
    socket.write_all(&b"INCR a\r\n".repeat(500)).await.unwrap();
    let mut first = [0; 4];
    socket.read_exact(&mut first).await.unwrap();
    server.shutdown().await.unwrap();
    let mut rest = String::new();
    socket.read_to_string(&mut rest).await.unwrap();
    assert!(rest.ends_with(":500\r\n"), "{rest}");
}
