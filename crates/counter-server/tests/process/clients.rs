//! Clients that pipeline requests of several sessions, and retry what was not answered.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};

/// Number of clients.
pub(crate) const CONNECTIONS: u64 = 50;

/// Sessions of a client, whose requests travel in one pipeline.
pub(crate) const SESSIONS: u64 = 4;

/// Requests of a session.
pub(crate) const REQUESTS: u64 = 12;

/// Number of requests that were answered.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    answers: AtomicU64,
    changed: Notify,
}

impl Counted {
    fn add(&self, answers: u64) {
        self.answers.fetch_add(answers, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    /// Waits until so many requests were answered.
    pub(crate) async fn reached(&self, answers: u64) {
        loop {
            let changed = self.changed.notified();
            if self.answers.load(Ordering::SeqCst) >= answers {
                return;
            }
            changed.await;
        }
    }
}

/// Connection whose replies are split into lines.
#[derive(Debug)]
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        Ok(Self(BufReader::new(TcpStream::connect(address).await?)))
    }

    /// Sends requests, and returns the integers and texts of this number of replies.
    pub(crate) async fn ask(&mut self, requests: &str, replies: usize) -> io::Result<Vec<String>> {
        self.0.write_all(requests.as_bytes()).await?;
        let mut answers = Vec::new();
        while answers.len() < replies {
            let mut line = String::new();
            if self.0.read_line(&mut line).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end();
            match line.as_bytes().first() {
                // The text of a bulk string and the items of a list follow.
                Some(b'$' | b'*') => {}
                Some(b':') => answers.push(line[1..].to_owned()),
                Some(b'-') => panic!("{line}"),
                _ => answers.push(line.to_owned()),
            }
        }
        Ok(answers)
    }
}

impl Connection {
    /// Sends a request, and returns the error that it is refused with.
    pub(crate) async fn refused(&mut self, request: &str) -> io::Result<String> {
        self.0.write_all(request.as_bytes()).await?;
        let mut line = String::new();
        self.0.read_line(&mut line).await?;
        assert!(line.starts_with('-'), "{line}");
        Ok(line.trim_end().to_owned())
    }
}

/// Sends all requests of a client, each until it is answered, and returns the values of the shared counter that they
/// were answered with.
pub(crate) async fn run(
    client: u64,
    mut addresses: watch::Receiver<SocketAddr>,
    counted: Arc<Counted>,
) -> Vec<i64> {
    let (mut sessions, mut sequence, mut values) = (Vec::new(), 1, Vec::new());
    while sequence <= REQUESTS {
        let address = *addresses.borrow_and_update();
        let served = serve(client, address, &mut sessions, &mut sequence, &mut values, &counted).await;
        if served.is_err() {
            // The next server process.
            addresses.changed().await.expect("the test goes on");
        }
    }
    values
}

async fn serve(
    client: u64,
    address: SocketAddr,
    sessions: &mut Vec<String>,
    sequence: &mut u64,
    values: &mut Vec<i64>,
    counted: &Counted,
) -> io::Result<()> {
    let mut connection = Connection::connect(address).await?;
    while (sessions.len() as u64) < SESSIONS {
        sessions.extend(connection.ask("COUNT.SESSION\r\n", 1).await?);
    }
    while *sequence <= REQUESTS {
        let request = |session| format!("COUNT.ADD {session} {sequence} shared 1 own:{client} 2\r\n");
        let pipeline: String = sessions.iter().map(request).collect();
        let answers = connection.ask(&pipeline, sessions.len() * 2).await?;
        values.extend(answers.iter().step_by(2).map(|value| value.parse::<i64>().expect("a value")));
        *sequence += 1;
        counted.add(SESSIONS);
    }
    Ok(())
}
