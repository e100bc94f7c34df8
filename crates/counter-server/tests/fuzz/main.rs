//! Mutated input for the parser of each front end, and for the front ends themselves.
//!
//! `COUNTER_SERVER_FUZZ=N` tries `N` inputs with each parser (20,000 without it), and `COUNTER_SERVER_SEED=N` begins
//! with another seed. A failure prints the input.

mod http;
mod mutate;

use std::env;
use std::net::SocketAddr;
use std::time::Duration;

use counter_server::{ServeOptions, Server, resp, statsd};
use mutate::Mutator;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

const RESP: [&[u8]; 7] = [
    b"*2\r\n$4\r\nINCR\r\n$1\r\na\r\n",
    b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$2\r\n10\r\n*1\r\n$4\r\nPING\r\n",
    b"*0\r\n*-1\r\n",
    b"set a 'b\\'c' \"d\\x41\\n\"\r\nPING\n",
    b"MULTI\r\nINCR a\r\nEXPIRE a 10 NX\r\nEXEC\r\nHELLO 3 AUTH default x SETNAME y\r\n",
    b"COUNT.SESSION\r\nCOUNT.ADD 1.1 1 a 5 b -5\r\nCOUNT.TOP 3\r\nSCAN 0 MATCH a* COUNT 10 TYPE string\r\n",
    b"CLIENT REPLY SKIP\r\nINCREX a BYINT 5 UBOUND 10\r\nWAITAOF 1 0 10\r\nCONFIG GET *\r\nCOMMAND DOCS get\r\n",
];

const STATSD: [&[u8]; 5] = [
    b"hits:1|c",
    b"a.b:-3|c|@0.1|#x:y,z,a:b|c:0af|T17",
    b"hits:1:2.5:3e2|c|@1e-3\nload:3|g\r\n",
    b"_e{5,4}:title|text|d:1\n_sc|check|0|#a",
    b"hits:9223372036854775807|c|@0.5\n",
];

/// Number of inputs for each front end, which cost more than those for a parser.
const FRONT_END_INPUTS: usize = 200;

fn number(variable: &str, otherwise: u64) -> u64 {
    env::var(variable).ok().and_then(|number| number.parse().ok()).unwrap_or(otherwise)
}

fn inputs() -> u64 {
    number("COUNTER_SERVER_FUZZ", 20_000)
}

fn mutator(corpus: &[&[u8]]) -> Mutator {
    Mutator::new(number("COUNTER_SERVER_SEED", 1), corpus)
}

/// Decodes requests that arrive in pieces. Returns them, and whether the input ends in an error.
fn requests(input: &[u8], piece: usize) -> (Vec<Vec<Vec<u8>>>, bool) {
    let (mut decoder, mut buffer, mut requests) = (resp::decode::Decoder::new(512), Vec::new(), Vec::new());
    for piece in input.chunks(piece) {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&buffer) {
                Ok(Some(request)) => {
                    requests.push(request.arguments().map(<[u8]>::to_vec).collect());
                    let len = request.len_bytes();
                    buffer.drain(..len);
                }
                Ok(None) => break,
                Err(_) => return (requests, true),
            }
        }
    }
    (requests, false)
}

#[test]
fn requests_of_resp_do_not_depend_on_how_they_arrive() {
    let mut mutator = mutator(&RESP);
    for number in 0..inputs() {
        let input = mutator.next();
        let whole = requests(&input, input.len().max(1));
        let pieces = requests(&input, 1 + usize::try_from(number % 7).unwrap());
        assert_eq!(whole, pieces, "{}", input.escape_ascii());
    }
}

#[test]
fn lines_of_statsd_are_counted_or_refused_the_same_each_time() {
    let (mut mutator, mut used) = (mutator(&STATSD), statsd::decode::Decoder::default());
    for _ in 0..inputs() {
        let input = mutator.next();
        for line in input.split(|byte| *byte == b'\n') {
            let mut fresh = statsd::decode::Decoder::default();
            let (counted, again) = (fresh.decode(line), used.decode(line));
            assert_eq!(counted, again, "{}", line.escape_ascii());
            if let Ok(counted) = counted {
                assert!(!counted.name.is_empty() && !counted.amounts.is_empty(), "{}", line.escape_ascii());
                assert!(counted.name.len() <= line.len(), "{}", line.escape_ascii());
            }
        }
    }
}

async fn server() -> Server {
    let options = ServeOptions { allow_removal_of_all: true, ..ServeOptions::default() };
    Server::start(options).await.expect("ports are free")
}

/// Sends input and reads what is answered to it until the server closes the connection.
async fn send(address: SocketAddr, input: &[u8]) {
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    // It may close the connection at any time.
    let _ = stream.write_all(input).await;
    let _ = stream.shutdown().await;
    let ended = timeout(Duration::from_secs(60), stream.read_to_end(&mut Vec::new())).await;
    assert!(ended.is_ok(), "no end of {}", input.escape_ascii());
}

#[tokio::test]
async fn front_ends_survive_garbage() {
    let server = server().await;
    let (mut resp, mut http, mut statsd) = (mutator(&RESP), mutator(&http::REQUESTS), mutator(&STATSD));
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for _ in 0..FRONT_END_INPUTS {
        send(server.resp_addr().unwrap(), &resp.next()).await;
        send(server.http_addr().unwrap(), &http.next()).await;
        let lines = statsd.next();
        send(server.statsd_tcp_addr().unwrap(), &lines).await;
        udp.send_to(&lines, server.statsd_udp_addr().unwrap()).await.unwrap();
    }
    let counters = server.service().counters().unwrap();
    counters.increment("still here", 1).await.unwrap();
    assert_eq!(counters.count("still here").await.unwrap().map(|count| count.value), Some(1));
    server.shutdown().await.unwrap();
}
