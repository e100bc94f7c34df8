//! StatsD, over UDP, TCP and a Unix socket.

use std::path::Path;

use cadence::{Counted, CountedExt, Gauged, StatsdClient, Timed, UdpMetricSink};
use counter_server::{Counters, Server};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket, UnixDatagram};
use tokio::time::{Duration, timeout};

use crate::setup::{options, server};

/// Time within which what was sent has to be counted.
const COUNTED_WITHIN: Duration = Duration::from_secs(30);

/// Waits until a counter has this value.
async fn reaches(counters: &Counters, name: &str, value: i64) {
    let reached = async {
        while counters.count(name).await.expect("the counters answer").map_or(0, |count| count.value) != value
        {
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(COUNTED_WITHIN, reached).await.is_ok(), "{name} is not {value}");
}

async fn udp(server: &Server) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port is free");
    socket.connect(server.statsd_udp_addr().expect("UDP is on")).await.expect("there is a socket");
    socket
}

/// Returns the value of a metric of the server.
fn metric(server: &Server, name: &str) -> u64 {
    let name = &format!("counter_server_{name}")[..];
    let text = server.service().telemetry().encode().expect("metrics are text");
    let line = text.lines().find(|line| line.starts_with(name) && line[name.len()..].starts_with(' '));
    line.map_or(0, |line| line[name.len() + 1..].parse().expect("it is a number"))
}

#[tokio::test]
async fn datagrams_are_counted_by_name_and_tags() {
    let server = server().await;
    let (counters, socket) = (server.service().counters().unwrap(), udp(&server).await);
    socket.send(b"hits:1|c\nhits:2|c|@0.5\nhits:1:2|c|#b,a\n").await.unwrap();
    socket.send(b"hits:1|c|#a,b").await.unwrap();
    reaches(&counters, "hits|#a,b", 4).await;
    reaches(&counters, "hits", 5).await;
    assert_eq!(metric(&server, "statsd_datagrams_total"), 2);
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_is_not_a_count_is_rejected_and_counted_as_that() {
    let server = server().await;
    let (counters, socket) = (server.service().counters().unwrap(), udp(&server).await);
    socket.send(b"temperature:3|g\nlatency:3|ms\nnonsense\nhits:1e30|c\nhits:1|c").await.unwrap();
    reaches(&counters, "hits", 1).await;
    assert_eq!(metric(&server, "statsd_lines_rejected_total{reason=\"OtherType\"}"), 2);
    assert_eq!(metric(&server, "statsd_lines_rejected_total{reason=\"Malformed\"}"), 1);
    assert_eq!(metric(&server, "statsd_lines_rejected_total{reason=\"OutOfRange\"}"), 1);
    assert_eq!(metric(&server, "requests_rejected_total{front_end=\"statsd\"}"), 4);
    assert_eq!(counters.stats().await.unwrap().num_counters, 1);
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_cadence_counts_is_counted() {
    let server = server().await;
    let counters = server.service().counters().unwrap();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let sink = UdpMetricSink::from(server.statsd_udp_addr().unwrap(), socket).unwrap();
    let client = StatsdClient::from_sink("web", sink);
    client.incr("hits").unwrap();
    client.count("hits", 41).unwrap();
    client.decr("hits").unwrap();
    client.count_with_tags("hits", 5).with_tag("route", "/a").with_tag_value("beta").try_send().unwrap();
    client.count_with_tags("sampled", 2).with_sampling_rate(0.5).try_send().unwrap();
    client.gauge("load", 7).unwrap();
    client.time("latency", 12).unwrap();
    client.incr("last").unwrap();
    reaches(&counters, "web.last", 1).await;
    for (name, value) in [("web.hits", 41), ("web.hits|#beta,route:/a", 5), ("web.sampled", 4)] {
        reaches(&counters, name, value).await;
    }
    assert_eq!(metric(&server, "statsd_lines_rejected_total{reason=\"OtherType\"}"), 2);
    assert_eq!(counters.stats().await.unwrap().num_counters, 4);
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn lines_over_tcp_are_counted_wherever_they_are_split() {
    let server = server().await;
    let counters = server.service().counters().unwrap();
    let mut stream = TcpStream::connect(server.statsd_tcp_addr().unwrap()).await.unwrap();
    for piece in ["hits:1|c\nhi", "ts:2", "0|c\r\n", "hits:300|c"] {
        stream.write_all(piece.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
    }
    reaches(&counters, "hits", 21).await;
    // A line that does not end might have gone on.
    drop(stream);
    let refused = async {
        while metric(&server, "statsd_lines_rejected_total{reason=\"Malformed\"}") == 0 {
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(COUNTED_WITHIN, refused).await.is_ok());
    reaches(&counters, "hits", 21).await;
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_unix_socket_replaces_one_that_nobody_uses_and_goes_with_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("statsd");
    let start = async |path: &Path| {
        let mut options = options();
        options.statsd.unix = Some(path.to_owned());
        Server::start(options).await
    };
    drop(UnixDatagram::bind(&path).unwrap());
    let server = start(&path).await.unwrap();
    assert!(start(&path).await.is_err(), "the socket is in use");
    let counters = server.service().counters().unwrap();
    let socket = UnixDatagram::unbound().unwrap();
    socket.send_to(b"hits:1|c\nhits:1|c", &path).await.unwrap();
    reaches(&counters, "hits", 2).await;
    server.shutdown().await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn lines_that_have_arrived_are_counted_before_the_server_ends() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options();
    options.storage = crate::setup::directory(dir.path());
    let server = Server::start(options.clone()).await.unwrap();
    let counters = server.service().counters().unwrap();
    let mut stream = TcpStream::connect(server.statsd_tcp_addr().unwrap()).await.unwrap();
    stream.write_all(b"hits:1|c\n").await.unwrap();
    reaches(&counters, "hits", 1).await;
    drop(counters);
    stream.write_all(&b"hits:1|c\n".repeat(1000)).await.unwrap();
    server.shutdown().await.unwrap();
    let server = Server::start(options).await.unwrap();
    let count = server.service().counters().unwrap().count("hits").await.unwrap();
    assert_eq!(count.map(|count| count.value), Some(1001));
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn datagrams_that_have_arrived_are_counted_before_the_server_ends() {
    const DATAGRAMS: i64 = 100;
    let dir = tempfile::tempdir().unwrap();
    let mut options = options();
    options.storage = crate::setup::directory(dir.path());
    let server = Server::start(options.clone()).await.unwrap();
    let socket = udp(&server).await;
    for _ in 0..DATAGRAMS {
        socket.send(b"hits:1|c").await.unwrap();
    }
    server.shutdown().await.unwrap();
    let server = Server::start(options).await.unwrap();
    let count = server.service().counters().unwrap().count("hits").await.unwrap();
    assert_eq!(count.map(|count| count.value), Some(DATAGRAMS));
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn garbage_does_not_hold_up_what_follows() {
    let server = server().await;
    let (counters, socket) = (server.service().counters().unwrap(), udp(&server).await);
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..50 {
        let garbage: Vec<_> = std::iter::repeat_with(|| random.u8(..)).take(1000).collect();
        socket.send(&garbage).await.unwrap();
        let mut stream = TcpStream::connect(server.statsd_tcp_addr().unwrap()).await.unwrap();
        stream.write_all(&garbage).await.unwrap();
    }
    socket.send(b"hits:1|c").await.unwrap();
    reaches(&counters, "hits", 1).await;
    server.shutdown().await.unwrap();
}
