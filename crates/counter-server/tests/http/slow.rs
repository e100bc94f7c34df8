//! Clients that send or read slowly, or no longer.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use counter_server::http::Http;
use counter_server::{Limits, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::client::Client;
use crate::setup::{server, server_with};

/// Time for the head of a request, and for its body.
const HEAD: Duration = Duration::from_secs(60);
const BODY: Duration = Duration::from_secs(30);

/// Bytes that are under way on a connection.
const ROOM_BYTES: usize = 1024;

/// Connects without a socket, so that time need not pass. Returns the client's end, and the server's work.
fn connect(server: &Server) -> (DuplexStream, JoinHandle<()>) {
    let (client, stream) = duplex(ROOM_BYTES);
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    (client, tokio::spawn(Http::new(server.service()).serve(stream, peer)))
}

/// Sends the beginning of a request, and then a byte a second, until the server closes the connection. Returns its
/// answer, and how long it has waited.
async fn send_without_end(server: &Server, beginning: &str) -> (String, Duration) {
    let ((mut client, _serving), began) = (connect(server), Instant::now());
    client.write_all(beginning.as_bytes()).await.expect("it is open");
    let mut answer = Vec::new();
    loop {
        match timeout(Duration::from_secs(1), client.read_buf(&mut answer)).await {
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(_)) => {}
            Err(_) => _ = client.write_all(b"1").await,
        }
    }
    (String::from_utf8(answer).expect("it is text"), began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_head_that_never_ends_costs_its_client_the_connection() {
    let server = server().await;
    for beginning in ["", "G", "GET /readyz HTTP/1.1\r\nHost: a\r\nX: "] {
        let (answer, waited) = send_without_end(&server, beginning).await;
        assert_eq!((answer.as_str(), waited.as_secs()), ("", HEAD.as_secs()), "{beginning}");
    }
    server.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_answered_and_its_connection_closed() {
    let server = server().await;
    for rest in ["Content-Length: 100000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\nfffff\r\n"] {
        let head = "POST /v1/counters/a HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n";
        let (answer, waited) = send_without_end(&server, &format!("{head}{rest}")).await;
        assert!(
            answer.starts_with("HTTP/1.1 408 ") && answer.contains("problem-type:counter:too-slow"),
            "{answer}"
        );
        assert_eq!(waited.as_secs(), BODY.as_secs());
        // What is answered without the body does not wait for it.
        let head = "DELETE /v1/nothing HTTP/1.1\r\nHost: a\r\n";
        let (answer, waited) = send_without_end(&server, &format!("{head}{rest}")).await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        assert!(waited < BODY);
    }
    server.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_idle_client_is_disconnected() {
    let server = server().await;
    let ((mut client, serving), began) = (connect(&server), Instant::now());
    client.write_all(b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    timeout(2 * HEAD, serving).await.expect("it is disconnected").unwrap();
    assert_eq!(began.elapsed().as_secs(), HEAD.as_secs());
    server.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_its_answers_is_disconnected() {
    let patience = Duration::from_secs(5);
    let server = server_with(Limits { unread_timeout: patience, ..Limits::default() }).await;
    let counters = server.service().counters().unwrap();
    for n in 0..1000 {
        counters.increment(format!("name:{n}"), 1).await.unwrap();
    }
    for path in ["/v1/counters?limit=1000", "/v1/events?prefix=", "/openapi.json"] {
        let ((mut client, serving), began) = (connect(&server), Instant::now());
        client.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
        timeout(2 * HEAD, serving).await.expect("it is disconnected").unwrap();
        assert!((patience..HEAD).contains(&began.elapsed()), "{path}: {:?}", began.elapsed());
    }
    // Nor does it help to send request after request.
    let (mut client, serving) = connect(&server);
    while client.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await.is_ok() {}
    timeout(2 * HEAD, serving).await.expect("it is disconnected").unwrap();
    server.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_gets_everything() {
    let patience = Duration::from_secs(5);
    let server = server_with(Limits { unread_timeout: patience, ..Limits::default() }).await;
    let counters = server.service().counters().unwrap();
    for n in 0..100 {
        counters.increment(format!("name:{n}"), 1).await.unwrap();
    }
    let (mut client, _serving) = connect(&server);
    let request =
        "GET /v1/counters HTTP/1.1\r\nHost: a\r\nAccept: application/x-ndjson\r\nConnection: close\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    let (mut answer, mut piece, began) = (Vec::new(), [0; 64], Instant::now());
    loop {
        sleep(patience - Duration::from_secs(1)).await;
        match client.read(&mut piece).await.unwrap() {
            0 => break,
            read => answer.extend_from_slice(&piece[..read]),
        }
    }
    assert!(began.elapsed() > 10 * patience, "{:?}", began.elapsed());
    assert_eq!(String::from_utf8(answer).unwrap().matches("\"value\":1").count(), 100);
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn over_a_socket_who_reads_nothing_is_disconnected_too() {
    let limits = Limits { unread_timeout: Duration::from_millis(50), ..Limits::default() };
    let server = server_with(limits).await;
    let mut socket = TcpStream::connect(server.http_addr().unwrap()).await.unwrap();
    let requests = "GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100);
    // The server stops to read, and then closes, so writing fails in the end.
    while socket.write_all(requests.as_bytes()).await.is_ok() {}
    // It disturbs nobody.
    assert_eq!(Client::connect(&server).await.ask("GET /healthz", &[], "").await.status, 200);
    server.shutdown().await.unwrap();
}
