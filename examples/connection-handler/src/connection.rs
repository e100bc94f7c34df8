//! The actor that answers one client.

use std::time::Duration;

use counter_keyspace::{KeyspaceError, KeyspaceHandle};
use ractor::{Actor, ActorProcessingErr, ActorRef, Message};
use ractor_outbox::{Fifo, OpenBatch, Parcel};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::time::timeout;

use crate::resp::{self, Request};

/// Number of bytes at which answers are written. They are also written when there is nothing more to answer.
const ANSWER_BYTES: usize = 16 * 1024;

/// Reason for the end of a connection, and name of the server's own counter for it.
pub(crate) type End = &'static str;

#[derive(Debug)]
pub(crate) struct Connection;

pub(crate) struct Client {
    pub(crate) counters: KeyspaceHandle,
    pub(crate) socket: OwnedWriteHalf,
    /// Maximum time for a client to receive a piece of its answers.
    pub(crate) slow_after: Duration,
    /// Beginning of a request whose end has not arrived yet.
    pub(crate) unfinished: Vec<u8>,
    pub(crate) requests: i64,
}

pub(crate) enum ConnectionMessage {
    Chunks(Parcel<Fifo<Vec<u8>>>),
    /// There is no more to read.
    Ended(End),
}

impl Message for ConnectionMessage {}

impl From<Parcel<Fifo<Vec<u8>>>> for ConnectionMessage {
    fn from(parcel: Parcel<Fifo<Vec<u8>>>) -> Self {
        Self::Chunks(parcel)
    }
}

impl Actor for Connection {
    type Msg = ConnectionMessage;
    type State = Client;
    type Arguments = Client;

    async fn pre_start(&self, _: ActorRef<Self::Msg>, client: Client) -> Result<Client, ActorProcessingErr> {
        Ok(client)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        client: &mut Client,
    ) -> Result<(), ActorProcessingErr> {
        let ended = match message {
            ConnectionMessage::Chunks(parcel) => match parcel.open() {
                Some(chunks) => client.hear(chunks).await.err(),
                None => None,
            },
            ConnectionMessage::Ended(end) => Some(end),
        };
        if let Some(end) = ended {
            client.counters.increment(end, 1).await?;
            client.counters.increment("server:requests", client.requests).await?;
            myself.stop(None);
        }
        Ok(())
    }
}

impl Client {
    async fn hear(&mut self, mut chunks: OpenBatch<Fifo<Vec<u8>>>) -> Result<(), End> {
        while let Some(chunk) = chunks.pop() {
            self.unfinished.extend(chunk);
            let (requests, used) = resp::parse(&self.unfinished);
            let mut answers = Vec::new();
            self.requests += i64::try_from(requests.len()).expect("a chunk has fewer");
            for run in requests.chunk_by(Request::same_counter) {
                if let Err(error) = answer(run, &self.counters, &mut answers).await {
                    answers.extend(format!("-ERR {error}\r\n").repeat(run.len()).bytes());
                }
                if answers.len() >= ANSWER_BYTES {
                    write(&mut self.socket, &mut answers, self.slow_after).await?;
                }
            }
            write(&mut self.socket, &mut answers, self.slow_after).await?;
            match requests.last() {
                Some(Request::Quit) => return Err("server:closed"),
                Some(Request::Garbage(_)) => return Err("server:garbage"),
                // A copy, so that an idle client takes no more memory than its unfinished request.
                _ => self.unfinished = self.unfinished[used..].to_vec(),
            }
        }
        Ok(())
    }
}

/// Answers a request, or several that add to one counter, which need only one question.
async fn answer(
    run: &[Request<'_>],
    counters: &KeyspaceHandle,
    out: &mut Vec<u8>,
) -> Result<(), KeyspaceError> {
    match run[0] {
        Request::Add(name, _) => {
            let amounts = run.iter().filter_map(Request::amount);
            for amount in amounts.clone() {
                counters.increment(name, amount).await?;
            }
            let after = counters.value(name).await?.unwrap_or(0);
            let mut value = after.wrapping_sub(amounts.clone().fold(0, i64::wrapping_add));
            for amount in amounts {
                value = value.wrapping_add(amount);
                out.extend(format!(":{value}\r\n").bytes());
            }
        }
        Request::Get(name) => out.extend(match counters.value(name).await? {
            Some(value) => resp::bulk(value.to_string().as_bytes()),
            None => b"$-1\r\n".to_vec(),
        }),
        Request::Ping(None) => out.extend(b"+PONG\r\n"),
        Request::Ping(Some(text)) => out.extend(resp::bulk(text)),
        Request::Quit => out.extend(b"+OK\r\n"),
        Request::Refused(why) | Request::Garbage(why) => out.extend(format!("-ERR {why}\r\n").bytes()),
    }
    Ok(())
}

async fn write(socket: &mut OwnedWriteHalf, answers: &mut Vec<u8>, slow_after: Duration) -> Result<(), End> {
    let written = timeout(slow_after, socket.write_all(answers)).await;
    answers.clear();
    written.map_err(|_| "server:slow")?.map_err(|_| "server:closed")
}
