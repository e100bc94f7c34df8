use std::net::SocketAddr;
use std::time::Duration;

use counter_keyspace::{Keyspace, KeyspaceOptions, ShardMessage, ShardState};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use ractor_supervision::Lease;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::server::{Limits, serve};

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<anyhow::Result<usize>>,
    keyspace: Keyspace,
}

impl Running {
    async fn start(limits: Limits) -> Self {
        Self::with(limits, Keyspace::start(KeyspaceOptions::default()).await.unwrap()).await
    }

    async fn with(limits: Limits, keyspace: Keyspace) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(serve(listener, keyspace.handle(), limits, async { _ = stopped.await }));
        Self { address, stop, server, keyspace }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Stops the server, and returns its counters. Each connection has ended once.
    async fn stop(self) -> impl Fn(&str) -> i64 {
        self.stop.send(()).unwrap();
        assert_eq!(self.server.await.unwrap().unwrap(), 0, "killed");
        let counters = self.keyspace.handle().top(100).await.unwrap();
        self.keyspace.shutdown().await;
        let count = move |name: &str| {
            let name = format!("server:{name}");
            counters
                .iter()
                .find(|(other, _)| other.as_bytes() == name.as_bytes())
                .map_or(0, |(_, count)| count.value)
        };
        let ends = ["closed", "drained", "garbage", "idle", "slow"];
        assert_eq!(count("accepted"), ends.map(&count).iter().sum::<i64>());
        count
    }
}

async fn write(client: &mut TcpStream, bytes: &[u8]) {
    client.write_all(bytes).await.unwrap();
}

async fn read(client: &mut TcpStream, expected: &str) {
    let mut answer = vec![0; expected.len()];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(str::from_utf8(&answer).unwrap(), expected);
}

async fn read_to_end(client: &mut TcpStream) -> String {
    let mut answers = String::new();
    client.read_to_string(&mut answers).await.unwrap();
    answers
}

#[tokio::test]
async fn every_command_is_answered_in_order() {
    let running = Running::start(Limits::default()).await;
    let mut client = running.connect().await;
    write(&mut client, b"PING\nPING hi\nINCR a\nINCRBY a 41\nINCR b\nDECR a\nDECRBY a -9\nGET a\nGET c\nSET a 1\nQUIT\nINCR a\n").await;
    let answers = read_to_end(&mut client).await;
    assert_eq!(
        answers.split("\r\n").collect::<Vec<_>>(),
        [
            "+PONG",
            "$2",
            "hi",
            ":1",
            ":42",
            ":1",
            ":41",
            ":50",
            "$2",
            "50",
            "$-1",
            "-ERR unknown command, or not its arguments",
            "+OK",
            "",
        ]
    );
    let mut client = running.connect().await;
    write(&mut client, b"GET a\n").await;
    read(&mut client, "$2\r\n50\r\n").await;
    drop(client);
    assert_eq!(running.stop().await("requests"), 12);
}

#[tokio::test]
async fn a_request_is_answered_however_its_bytes_arrive() {
    let running = Running::start(Limits::default()).await;
    let mut client = running.connect().await;
    client.set_nodelay(true).unwrap();
    for byte in b"*2\r\n$4\r\nINCR\r\n$1\r\na\r\n" {
        write(&mut client, &[*byte]).await;
    }
    read(&mut client, ":1\r\n").await;
    assert_eq!(running.stop().await("drained"), 1);
}

#[tokio::test]
async fn garbage_is_named_and_ends_the_connection_after_the_answers_before_it() {
    let running = Running::start(Limits::default()).await;
    let mut client = running.connect().await;
    write(&mut client, b"PING\r\n*1\r\nPING\r\n").await;
    assert_eq!(read_to_end(&mut client).await, "+PONG\r\n-ERR expected '$'\r\n");
    assert_eq!(running.stop().await("garbage"), 1);
}

#[tokio::test]
async fn a_client_that_closes_its_side_gets_its_answers_first() {
    let running = Running::start(Limits::default()).await;
    let mut client = running.connect().await;
    write(&mut client, &b"PING\r\n".repeat(50_000)).await;
    client.shutdown().await.unwrap();
    assert_eq!(read_to_end(&mut client).await, "+PONG\r\n".repeat(50_000));
    assert_eq!(running.stop().await("closed"), 1);
}

#[tokio::test]
async fn beyond_its_limit_a_client_is_turned_away_with_a_line() {
    let running = Running::start(Limits { connections: 1, ..Limits::default() }).await;
    let mut first = running.connect().await;
    write(&mut first, b"PING\r\n").await;
    read(&mut first, "+PONG\r\n").await;
    let mut second = running.connect().await;
    assert_eq!(read_to_end(&mut second).await, "-ERR too many connections\r\n");
    assert_eq!(["accepted", "most_at_once", "turned_away"].map(running.stop().await), [1, 1, 1]);
}

#[tokio::test]
async fn a_client_that_says_nothing_is_disconnected() {
    let running = Running::start(Limits { idle: Duration::from_millis(20), ..Limits::default() }).await;
    let mut client = running.connect().await;
    assert_eq!(read_to_end(&mut client).await, "");
    assert_eq!(running.stop().await("idle"), 1);
}

#[tokio::test]
async fn a_client_that_never_reads_is_disconnected_and_delays_nobody() {
    let running =
        Running::start(Limits { slow_after: Duration::from_millis(200), ..Limits::default() }).await;
    let (mut slow, mut other) = (running.connect().await, running.connect().await);
    while slow.write_all(&b"PING\r\n".repeat(1000)).await.is_ok() {
        write(&mut other, b"INCR a\r\n").await;
        let _ = other.read(&mut [0; 100]).await.unwrap();
    }
    write(&mut other, b"QUIT\r\n").await;
    assert_eq!(read_to_end(&mut other).await, "+OK\r\n");
    assert_eq!(["closed", "slow"].map(running.stop().await), [1, 1]);
}

#[tokio::test]
async fn what_has_arrived_is_answered_when_the_server_stops() {
    let running = Running::start(Limits::default()).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = running.connect().await;
        write(&mut client, b"PING\r\n").await;
        read(&mut client, "+PONG\r\n").await;
        write(&mut client, &b"PING\r\n".repeat(1000)).await;
        clients.push(client);
    }
    let count = running.stop().await;
    for mut client in clients {
        assert_eq!(read_to_end(&mut client).await, "+PONG\r\n".repeat(1000));
    }
    assert_eq!(["requests", "drained"].map(count), [20 * 1001, 20]);
}

/// Shard that never gets done with anything.
#[derive(Clone)]
struct Stuck;

impl Actor for Stuck {
    type Msg = ShardMessage;
    type State = Lease<ShardState>;
    type Arguments = Lease<ShardState>;

    async fn pre_start(
        &self,
        _: ActorRef<ShardMessage>,
        life: Lease<ShardState>,
    ) -> Result<Lease<ShardState>, ActorProcessingErr> {
        Ok(life)
    }

    async fn handle(
        &self,
        _: ActorRef<ShardMessage>,
        _: ShardMessage,
        _: &mut Lease<ShardState>,
    ) -> Result<(), ActorProcessingErr> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn what_cannot_be_answered_holds_a_server_up_until_its_deadline_only() {
    let limits = Limits { drain: Duration::from_millis(50), ..Limits::default() };
    let keyspace = Keyspace::start_with(KeyspaceOptions::default(), Stuck, None).await.unwrap();
    let running = Running::with(limits, keyspace).await;
    let mut client = running.connect().await;
    write(&mut client, b"PING\r\n").await;
    read(&mut client, "+PONG\r\n").await;
    write(&mut client, b"INCR a\r\n").await;
    running.stop.send(()).unwrap();
    assert_eq!(running.server.await.unwrap().unwrap(), 1, "killed");
    assert_eq!(read_to_end(&mut client).await, "");
}
