//! The server as its clients see it.

mod durability;
mod limits;
mod security;
mod setup;
mod statsd;

use setup::{Client, server};

#[tokio::test]
async fn replies_have_the_values_that_commands_lead_to_one_by_one() {
    let server = server().await;
    let mut client = Client::connect(&server).await;
    for (requests, expected) in [
        ("INCR a\r\nINCR a\r\nGET a\r\nGET b\r\n", ":1 :2 $1 2 $-1 "),
        ("EXISTS a a b\r\nDEL a a\r\n", ":2 :1 "),
        ("SET a 5 EX 1000\r\nINCR a\r\nTTL a\r\nSET a 7\r\nTTL a\r\n", "+OK :6 :1000 +OK :-1 "),
        ("SETEX a 1000 1\r\nGETSET a 2\r\nTTL a\r\n", "+OK $1 1 :-1 "),
        ("EXPIRE a -1\r\nGET a\r\nINCR a\r\nTTL a\r\n", ":1 $-1 :1 :-1 "),
        ("SET m 9223372036854775807\r\nINCR m\r\n", "+OK -ERR increment or decrement would overflow "),
        ("SET x 1 NX GET\r\nSET x 2 NX GET\r\nGET x\r\n", "$-1 $1 1 $1 1 "),
    ] {
        let answers = requests.matches("\r\n").count();
        assert_eq!(client.ask(requests, answers).await.replace("\r\n", " "), expected, "{requests}");
    }
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn increx_adds_within_bounds_and_leaves_the_deadline_if_it_does_not() {
    let server = server().await;
    let mut client = Client::connect(&server).await;
    for (request, expected) in [
        ("INCREX a EX 1000 ENX", "*2 :1 :1 "),
        ("INCREX a EX 5 ENX UBOUND 3", "*2 :2 :1 "),
        ("INCREX a BYINT 5 UBOUND 3 PERSIST", "*2 :2 :0 "),
        ("INCREX a BYINT 5 UBOUND 3 SATURATE", "*2 :3 :1 "),
        ("INCREX b BYINT -5 LBOUND 0 EX 9", "*2 :0 :0 "),
    ] {
        let answer = client.ask(&format!("{request}\r\n"), 3).await;
        assert_eq!(answer.replace("\r\n", " "), expected, "{request}");
    }
    assert_eq!(client.ask("TTL a\r\nEXISTS b\r\n", 2).await, ":1000\r\n:0\r\n");
    assert_eq!(client.ask("INCREX a PERSIST\r\nTTL a\r\n", 4).await, "*2\r\n:4\r\n:1\r\n:-1\r\n");
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_request_of_a_session_counts_once_and_is_answered_the_same_again() {
    let server = server().await;
    let mut client = Client::connect(&server).await;
    let session = client.ask("COUNT.SESSION\r\n", 1).await;
    let session = session.lines().nth(1).unwrap();
    let request = format!("COUNT.ADD {session} 1 a 5 b -2 a 1\r\n");
    let first = client.ask(&request, 4).await;
    assert_eq!(first, "*3\r\n:5\r\n:-2\r\n:6\r\n");
    // Also from another connection.
    let mut other = Client::connect(&server).await;
    assert_eq!(other.ask(&request, 4).await, first);
    let kinds = [
        (format!("COUNT.ADD {session} 1 a 6\r\n"), "-MISMATCH "),
        (format!("COUNT.ADD {session} 2 a 1\r\n"), "*1"),
        (request, "-SUPERSEDED "),
        (format!("COUNT.SESSION CLOSE {session}\r\n"), "+OK"),
        (format!("COUNT.ADD {session} 3 a 1\r\n"), "-EXPIRED "),
        ("COUNT.ADD x 3 a 1\r\n".to_owned(), "-ERR invalid session"),
    ];
    for (request, expected) in kinds {
        let answers = if expected == "*1" { 2 } else { 1 };
        let answer = client.ask(&request, answers).await;
        assert!(answer.starts_with(expected), "{request} {answer}");
    }
    assert_eq!(client.ask("GET a\r\n", 1).await, "$1\r\n7\r\n");
    server.shutdown().await.unwrap();
}
