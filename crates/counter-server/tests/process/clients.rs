//! Clients that pipeline requests of several sessions, and retry what was not answered.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Notify, watch};

use crate::connection::Connection;
use crate::server::Addresses;

/// Number of clients.
pub(crate) const CONNECTIONS: u64 = 50;

/// Sessions of a client, whose requests travel in one pipeline.
pub(crate) const SESSIONS: u64 = 4;

/// Requests of a session.
pub(crate) const REQUESTS: u64 = 12;

/// Protocol that clients speak.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Protocol {
    Resp,
    Http,
}

/// Number of requests that were answered.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    answers: AtomicU64,
    changed: Notify,
}

impl Counted {
    pub(crate) fn add(&self, answers: u64) {
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

impl Protocol {
    async fn connect(self, addresses: Addresses) -> io::Result<Connection> {
        match self {
            Self::Resp => Connection::connect(addresses.resp).await,
            Self::Http => Connection::connect(addresses.http).await,
        }
    }

    async fn open_session(self, connection: &mut Connection) -> io::Result<String> {
        match self {
            Self::Resp => Ok(connection.ask("COUNT.SESSION\r\n", 1).await?.remove(0)),
            Self::Http => {
                let answers =
                    connection.ask_http("POST /v1/sessions HTTP/1.1\r\nhost: test\r\n\r\n", 1).await?;
                Ok(answers[0]["session"].as_str().expect("a session").to_owned())
            }
        }
    }

    /// Adds to the shared counter and to that of the client as a request of each session, all in one pipeline, and
    /// returns the values of the shared counter.
    async fn add(
        self,
        connection: &mut Connection,
        client: u64,
        sessions: &[String],
        sequence: u64,
    ) -> io::Result<Vec<i64>> {
        match self {
            Self::Resp => {
                let add = |session| format!("COUNT.ADD {session} {sequence} shared 1 own:{client} 2\r\n");
                let pipeline: String = sessions.iter().map(add).collect();
                let answers = connection.ask(&pipeline, sessions.len() * 2).await?;
                Ok(answers.iter().step_by(2).map(|value| value.parse().expect("a value")).collect())
            }
            Self::Http => {
                let body = format!("{{\"name\":\"shared\"}}\n{{\"name\":\"own:{client}\",\"by\":2}}\n");
                let head = "POST /v1/counters HTTP/1.1\r\nhost: test\r\ncontent-type: application/x-ndjson";
                let length = body.len();
                let add = |session| {
                    let key = format!("idempotency-key: {session}-{sequence}");
                    format!("{head}\r\n{key}\r\ncontent-length: {length}\r\n\r\n{body}")
                };
                let pipeline: String = sessions.iter().map(add).collect();
                let answers = connection.ask_http(&pipeline, sessions.len()).await?;
                Ok(answers.iter().map(|line| line["value"].as_i64().expect("a value")).collect())
            }
        }
    }
}

/// Sends all requests of a client, each until it is answered, and returns the values of the shared counter that they
/// were answered with.
pub(crate) async fn run(
    protocol: Protocol,
    client: u64,
    mut addresses: watch::Receiver<Addresses>,
    counted: Arc<Counted>,
) -> Vec<i64> {
    let (mut sessions, mut sequence, mut values) = (Vec::new(), 1, Vec::new());
    while sequence <= REQUESTS {
        let address = *addresses.borrow_and_update();
        let served = async {
            let mut connection = protocol.connect(address).await?;
            while (sessions.len() as u64) < SESSIONS {
                sessions.push(protocol.open_session(&mut connection).await?);
            }
            while sequence <= REQUESTS {
                values.extend(protocol.add(&mut connection, client, &sessions, sequence).await?);
                sequence += 1;
                counted.add(SESSIONS);
            }
            io::Result::Ok(())
        };
        if served.await.is_err() {
            // The next server process.
            addresses.changed().await.expect("the test goes on");
        }
    }
    values
}

/// Sends pipelines of `INCR` to a server until it is gone, and returns the values that they were answered with, and the
/// number of those that were sent.
pub(crate) async fn increment(addresses: Addresses, counted: Arc<Counted>) -> (Vec<i64>, u64) {
    const PIPELINE: usize = 8;
    let (mut values, mut sent) = (Vec::new(), 0);
    let mut connection = Connection::connect(addresses.resp).await.expect("the server listens");
    let pipeline = "INCR shared\r\n".repeat(PIPELINE);
    loop {
        sent += PIPELINE as u64;
        // Some may be answered before the server is gone.
        let outcome = connection.ask_into(&pipeline, PIPELINE, |value| {
            values.push(value.parse().expect("a value"));
            counted.add(1);
        });
        if outcome.await.is_err() {
            return (values, sent);
        }
    }
}
