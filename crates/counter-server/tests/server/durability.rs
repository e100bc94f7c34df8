//! Guarantees of replies.

use counter_server::{Durability, ServeOptions, Server};

use crate::setup::{Client, directory, durable_server, options, server};

#[tokio::test]
async fn waits_are_answered_by_what_is_there() {
    let server = server().await;
    let mut client = Client::connect(&server).await;
    assert_eq!(client.ask("INCR a\r\nWAIT 0 0\r\nWAIT 1 5\r\n", 3).await, ":1\r\n:0\r\n:0\r\n");
    let refused = client.ask("WAITAOF 1 0 0\r\n", 1).await;
    assert!(refused.starts_with("-ERR WAITAOF cannot be used"), "{refused}");
    // Without an end to wait for, but within a transaction nothing waits.
    let transaction = "MULTI\r\nINCR a\r\nWAIT 1 0\r\nWAITAOF 0 1 0\r\nEXEC\r\n";
    let answer = client.ask(transaction, 9).await;
    assert!(answer.ends_with("*3\r\n:2\r\n:0\r\n*2\r\n:0\r\n"), "{answer}");
    assert_eq!(client.ask("", 1).await, ":0\r\n");
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn counts_survive_the_end_of_a_server_and_are_on_disk_when_a_client_has_waited() {
    let dir = tempfile::tempdir().unwrap();
    let server = durable_server(dir.path(), Durability::Memory).await;
    let mut client = Client::connect(&server).await;
    let requests = "INCR a\r\nSET b 7 PXAT 4102444800000\r\nWAITAOF 1 0 0\r\n";
    assert_eq!(client.ask(requests, 5).await, ":1\r\n+OK\r\n*2\r\n:1\r\n:0\r\n");
    assert_eq!(server.service().counters().unwrap().committed().unwrap().borrow().failures, 0);
    drop(client);
    server.shutdown().await.unwrap();
    let server = durable_server(dir.path(), Durability::Fsync).await;
    let mut client = Client::connect(&server).await;
    assert_eq!(client.ask("INCR a\r\nGET b\r\nPERSIST b\r\n", 3).await, ":2\r\n$1\r\n7\r\n:1\r\n");
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_session_that_was_never_opened_is_refused_and_earlier_ones_end_when_they_are_to() {
    let dir = tempfile::tempdir().unwrap();
    let server = durable_server(dir.path(), Durability::Fsync).await;
    let mut client = Client::connect(&server).await;
    let refused = client.ask("COUNT.ADD 1.1 1 a 5\r\n", 1).await;
    assert!(refused.starts_with("-EXPIRED"), "{refused}");
    let opened = client.ask("COUNT.SESSION\r\n", 1).await;
    let session = opened.lines().last().unwrap().to_owned();
    let add = format!("COUNT.ADD {session} 1 a 5\r\n");
    server.shutdown().await.unwrap();
    for (end_earlier_sessions, reply) in
        [(false, "*1\r\n:5\r\n"), (false, "*1\r\n:5\r\n"), (true, "-EXPIRED")]
    {
        let storage = directory(dir.path());
        let server =
            Server::start(ServeOptions { storage, end_earlier_sessions, ..options() }).await.unwrap();
        let mut client = Client::connect(&server).await;
        let replied = client.ask(&add, if end_earlier_sessions { 1 } else { 2 }).await;
        assert!(replied.starts_with(reply), "{replied}");
        assert_eq!(client.ask("GET a\r\n", 1).await, "$1\r\n5\r\n");
        server.shutdown().await.unwrap();
    }
}
