//! Servers whose counts follow a topic.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::time::Duration;

use ractor_transport::Cookie;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::connection::Connection;
use crate::server::Process;

/// Deadline of everything that is expected to happen.
const NEVER: Duration = Duration::from_secs(60);

/// Topic of brokers within the test, and files of the servers that count it.
struct Log {
    cluster: MockCluster<'static, DefaultProducerContext>,
    dir: TempDir,
}

impl Log {
    fn new(partitions: i32) -> Self {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("visits", partitions, 1).unwrap();
        let dir = TempDir::new().unwrap();
        Cookie::generate().write_new(dir.path().join("cookie")).unwrap();
        Self { cluster, dir }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Starts a server that counts the topic, with these further arguments.
    async fn server(&self, name: &str, arguments: &[&str]) -> Process {
        let (data, brokers) = (self.path().join(name), self.cluster.bootstrap_servers());
        let mut all =
            vec!["--kafka", "--topic", "visits", "--group", "counters", "--name", name, "--brokers"];
        // The brokers wait for a second less than a session before they give a member its partitions, and, if they have
        // nothing to hand out, for as long as a fetch allows.
        all.extend([&brokers, "--session-timeout", "3500ms", "--set", "fetch.wait.max.ms=10"]);
        all.extend(["--set", "fetch.error.backoff.ms=10", "--set", "reconnect.backoff.max.ms=100"]);
        all.extend(arguments);
        let all: Vec<String> = all.into_iter().map(str::to_owned).collect();
        let start = move || Process::start_with(&data, |command| _ = command.args(all));
        tokio::task::spawn_blocking(start).await.unwrap()
    }
}

async fn resp(server: &Process) -> Connection {
    Connection::connect(server.addresses.resp).await.unwrap()
}

async fn http(server: &Process) -> Connection {
    Connection::connect(server.addresses.http).await.unwrap()
}

/// Returns the answer to one command, which is one line.
async fn ask(client: &mut Connection, command: &str) -> String {
    let answers = timeout(NEVER, client.ask(&format!("{command}\r\n"), 1)).await;
    answers.unwrap_or_else(|_| panic!("no answer to {command}")).unwrap().remove(0)
}

/// Returns the status of a server's topic.
async fn topic(client: &mut Connection) -> Value {
    let request = "GET /v1/status HTTP/1.1\r\nhost: test\r\n\r\n";
    client.ask_http(request, 1).await.unwrap().remove(0)["topic"].take()
}

/// Asks for the status of a server's topic until it is as expected.
async fn until(client: &mut Connection, is_reached: impl Fn(&Value) -> bool) -> Value {
    let reached = async {
        loop {
            let topic = topic(client).await;
            if is_reached(&topic) {
                return topic;
            }
        }
    };
    timeout(NEVER, reached).await.expect("the topic gets there")
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_answer_for_one_topic_and_a_killed_one_goes_on_exactly() {
    let log = Log::new(4);
    let cookie = log.path().join("cookie").display().to_string();
    let (of_a, of_b) = (free_address().to_string(), free_address().to_string());
    let group = ["--log-deadline", "50s", "--cookie-file", &cookie];
    let arguments_a = [&group[..], &["--listen", &of_a, "--peer", &of_b]].concat();
    let arguments_b = [&group[..], &["--listen", &of_b, "--peer", &of_a]].concat();
    let (mut a, b) = (log.server("a", &arguments_a).await, log.server("b", &arguments_b).await);
    let (mut on_a, mut on_b) = (resp(&a).await, resp(&b).await);
    // Each answer has what came before it, although the servers share the partitions.
    for round in 1..=3 {
        for name in ["n1", "n2", "n3", "n4", "n5"] {
            let client = if round == 2 { &mut on_b } else { &mut on_a };
            assert_eq!(ask(client, &format!("INCRBY {name} 5")).await, (round * 5).to_string());
        }
    }
    assert_eq!(ask(&mut on_a, "DECR n1").await, "14");
    let written = ask(&mut on_a, "COUNT.WRITTEN").await;
    assert_eq!(ask(&mut on_b, &format!("COUNT.AWAIT 50000 {written}")).await, "+OK");
    assert_eq!(on_b.ask("MGET n1 n2 n3\r\nDBSIZE\r\n", 4).await.unwrap(), ["14", "15", "15", "5"]);

    // What was written over HTTP is read at the other server behind its position.
    let mut http_b = http(&b).await;
    let add = "POST /v1/counters/n1 HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n\
        content-length: 9\r\n\r\n{\"by\": 6}";
    let answer = http_b.ask_http(add, 1).await.unwrap().remove(0);
    assert_eq!((&answer["value"], &answer["durability"]), (&20.into(), &Value::Null));
    let position = answer["position"].as_str().unwrap();
    let mut http_a = http(&a).await;
    let get = format!("GET /v1/counters/n1?after={position}&wait_ms=50000 HTTP/1.1\r\nhost: test\r\n\r\n");
    http_a.send(&get).await.unwrap();
    let (head, body) = http_a.http_head_and_body().await.unwrap();
    assert!(head.iter().any(|line| line.starts_with("counter-lag: ")), "{head:?}");
    assert!(body.contains("\"value\":20") && body.contains("\"lag\":"), "{body}");

    // One is killed, the other one takes its partitions, and in the end both have everything once.
    a.kill();
    for name in ["n1", "n2", "n3", "n4", "n5"] {
        ask(&mut on_b, &format!("INCR {name}")).await;
    }
    let written = ask(&mut on_b, "COUNT.WRITTEN").await;
    a = log.server("a", &arguments_a).await;
    let mut on_a = resp(&a).await;
    assert_eq!(ask(&mut on_a, &format!("COUNT.AWAIT 50000 {written}")).await, "+OK");
    for client in [&mut on_a, &mut on_b] {
        let values = client.ask("MGET n1 n2 n3 n4 n5\r\n", 5).await.unwrap();
        assert_eq!(values, ["21", "16", "16", "16", "16"]);
    }
    a.stop();
    b.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_log_cannot_do_is_refused_with_one_error() {
    let log = Log::new(2);
    let server = log.server("a", &["--log-deadline", "50s"]).await;
    let mut client = resp(&server).await;
    assert_eq!(ask(&mut client, "INCR a").await, "1");
    for command in [
        "SET a 1",
        "DEL a",
        "GETDEL a",
        "GETSET a 1",
        "EXPIRE a 5",
        "SETNX a 1",
        "INCREX a UBOUND 3",
        "FLUSHALL",
        "COUNT.SESSION",
        "COUNT.ADD 1.1 1 a 1",
    ] {
        let refusal = client.refused(&format!("{command}\r\n")).await.unwrap();
        assert!(refusal.starts_with("-ERR "), "{command}: {refusal}");
        assert!(refusal.ends_with(" is not possible on counts that follow a topic"), "{command}: {refusal}");
    }
    // A question does not see the increment behind it in the same pipeline.
    let answers = client.ask("GET a\r\nINCR a\r\nGET a\r\nTTL a\r\nEXISTS a b\r\n", 5).await.unwrap();
    assert_eq!(answers, ["1", "2", "2", "-1", "1"]);
    let scanned = client.ask("SCAN 0 COUNT 100\r\n", 2).await.unwrap();
    assert_eq!(scanned, ["0", "a"]);
    let mut http = http(&server).await;
    http.send("PUT /v1/counters/a HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n")
        .await
        .unwrap();
    http.send("content-length: 12\r\n\r\n{\"value\": 7}").await.unwrap();
    let (status, body) = http.http_answer().await.unwrap();
    assert!(status.contains(" 409 ") && body.contains("not-on-topic"), "{status} {body}");
    // Lines of StatsD go to the log as well.
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.send_to(b"hits:3|c\nhits:4|c", server.addresses.statsd).unwrap();
    let counted = async { while ask(&mut client, "INCRBY hits 0").await != "7" {} };
    timeout(NEVER, counted).await.expect("they are counted");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_read_the_log_says_how_far_it_is_behind() {
    let log = Log::new(1);
    let server = log.server("a", &["--log-deadline", "50s"]).await;
    let (mut client, mut http) = (resp(&server).await, http(&server).await);
    assert_eq!(ask(&mut client, "INCR a").await, "1");
    until(&mut http, |topic| topic["lag"]["records"] == 0).await;
    let errors = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR; 100_000];
    log.cluster.request_errors(RDKafkaApiKey::Fetch, &errors);
    // Without waiting until it is counted.
    let add = "POST /v1/counters/a?wait_ms=0 HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n";
    http.send(add).await.unwrap();
    let (head, body) = http.http_head_and_body().await.unwrap();
    assert!(head[0].contains(" 202 ") && body == "{\"position\":\"0:2\"}", "{head:?} {body}");
    assert!(head.contains(&"counter-position: 0:2".to_owned()), "{head:?}");
    let topic = until(&mut http, |topic| topic["lag"]["records"] != 0).await;
    assert_eq!((&topic["lag"]["records"], &topic["partitions"][0]["lag"]), (&1.into(), &1.into()), "{topic}");
    let refusal = client.refused("COUNT.AWAIT 10 0:2\r\n").await.unwrap();
    assert_eq!(refusal, "-TIMEOUT not counted up to 0:2 in time, but to 0:1");
    http.send("GET /v1/counters/a?after=0:2&wait_ms=10 HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
    let (status, body) = http.http_answer().await.unwrap();
    assert!(status.contains(" 504 ") && body.contains("not-reached"), "{status} {body}");
    assert_eq!(ask(&mut client, "GET a").await, "1");
    log.cluster.clear_request_errors(RDKafkaApiKey::Fetch);
    assert_eq!(ask(&mut client, "COUNT.AWAIT 50000 0:2").await, "+OK");
    assert_eq!(ask(&mut client, "GET a").await, "2");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_brokers_the_lag_is_unknown_and_increments_count_once_later() {
    let log = Log::new(1);
    let server = log.server("a", &["--log-deadline", "2s"]).await;
    let (mut client, mut http) = (resp(&server).await, http(&server).await);
    until(&mut http, |topic| topic["partitions"][0]["is_owned"] == true).await;
    log.cluster.broker_down(1).unwrap();
    let refusal = client.refused("INCR a\r\n").await.unwrap();
    assert!(refusal.starts_with("-UNKNOWN "), "{refusal}");
    let topic = until(&mut http, |topic| topic["lag"].is_null()).await;
    assert!(topic["partitions"][0]["lag"].is_null(), "{topic}");
    log.cluster.broker_up(1).unwrap();
    until(&mut http, |topic| topic["lag"]["records"] == 0 && topic["partitions"][0]["offset"] == 1).await;
    assert_eq!(ask(&mut client, "GET a").await, "1");
    server.stop();
}
