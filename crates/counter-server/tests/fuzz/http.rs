//! Requests of HTTP, as the server's parser and what is behind it take them.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use counter_server::StatsdOptions;
use counter_server::http::Http;
use counter_server::{ServeOptions, Server};
use fastrand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::time::{sleep, timeout};

use crate::{inputs, mutator, number};

/// Requests that depend on nothing but the counters.
pub(crate) const REQUESTS: [&[u8]; 9] = [
    b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /v1/counters/a%00b HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n{\"by\":5}",
    b"GET /v1/counters?prefix=a%ff&cursor=0&limit=9 HTTP/1.1\r\nHost: a\r\nAccept: application/x-ndjson\r\n\r\n",
    b"PUT /v1/counters/a HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n\
        b;x=y\r\n{\"value\":-9\r\n1\r\n}\r\n0\r\nTrailer: x\r\n\r\n",
    b"GET /v1/counters/a HTTP/1.1\r\nHost: a\r\nAccept: text/plain;q=0.9, */*\r\nPrefer: durability=fsync, x=\"y\"\r\n\r\n",
    b"POST /v1/counters HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\nContent-Length: 58\r\n\r\n\
        {\"name\":[97,255],\"by\":-2}\n{\"name\":\"a\",\"op\":\"delete\"}\r\n\r\n\r\n",
    b"POST /v1/counters/a HTTP/1.1\r\nHost: a\r\nIdempotency-Key: 1.1-1\r\nOrigin: http://a\r\nContent-Length: 0\r\n\r\n",
    b"DELETE /v1/sessions/1.1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\nConnection: close\r\n\r\n",
    b"HEAD /v1/top?n=3 HTTP/1.0\r\nExpect: 100-continue\r\nConnection: keep-alive\r\n\r\n",
];

/// Number of inputs for a parser for which there is one for HTTP, which costs more.
const INPUTS_PER_REQUEST: u64 = 200;

/// Number of pieces that an input is cut into, at most.
const PIECES: usize = 8;

/// Time until a connection has ended, whatever it waits for. It passes at once where nothing else is to be done.
const ENDED_WITHIN: Duration = Duration::from_secs(3600);

/// Starts a server without a socket.
async fn server() -> Server {
    let statsd = StatsdOptions { udp: None, tcp: None, unix: None };
    let options = ServeOptions {
        allow_removal_of_all: true,
        resp: None,
        http: None,
        statsd,
        ..ServeOptions::default()
    };
    Server::start(options).await.expect("it needs no port")
}

/// Sends pieces of an input to a server without counters, one after the other, and returns what it answers until it
/// closes the connection, without the dates and without whether it is about to close.
async fn answer(server: &Server, pieces: impl Iterator<Item = &[u8]>) -> String {
    let counters = server.service().counters().expect("it is ready");
    counters.remove_all().await.expect("it is allowed");
    let (mut client, stream) = duplex(1 << 20);
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let serving = tokio::spawn(Http::new(server.service()).serve(stream, peer));
    for piece in pieces {
        // It may close the connection at any time.
        let _ = client.write_all(piece).await;
        // Time passes when the server has done what it can.
        sleep(Duration::from_millis(1)).await;
    }
    let mut answer = Vec::new();
    let ended = timeout(ENDED_WITHIN, client.read_to_end(&mut answer)).await;
    ended.expect("the connection ends").expect("nothing is lost");
    serving.await.expect("the server does not panic");
    let answer = String::from_utf8_lossy(&answer);
    let lines = answer.split_inclusive("\r\n");
    lines.filter(|line| !line.starts_with("date: ") && !line.starts_with("connection: ")).collect()
}

/// Cuts an input at random places.
fn cut<'a>(mut input: &'a [u8], random: &mut Rng) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for _ in 1..random.usize(2..=PIECES) {
        let (piece, rest) = input.split_at(random.usize(0..=input.len()));
        pieces.push(piece);
        input = rest;
    }
    pieces.push(input);
    pieces
}

#[tokio::test(start_paused = true)]
async fn answers_of_http_do_not_depend_on_how_requests_arrive() {
    let (mut mutator, mut random) = (mutator(&REQUESTS), Rng::with_seed(number("COUNTER_SERVER_SEED", 1)));
    let server = server().await;
    for _ in 0..inputs() / INPUTS_PER_REQUEST {
        let input = mutator.next();
        let whole = answer(&server, std::iter::once(&input[..])).await;
        let pieces = answer(&server, cut(&input, &mut random).into_iter()).await;
        // A body that nobody reads ends the connection, unless all of it is there.
        let is_same = whole.starts_with(&pieces) || pieces.starts_with(&whole);
        assert!(is_same, "{}\n{whole}\n{pieces}", input.escape_ascii());
        assert!(whole.is_empty() || whole.starts_with("HTTP/1."), "{}\n{whole}", input.escape_ascii());
        assert!(!whole.contains(" 500 "), "{}\n{whole}", input.escape_ascii());
    }
    server.shutdown().await.expect("the counters are in order");
}
