//! One connection of a RESP client.

use std::io;
use std::net::SocketAddr;

use counter_keyspace::{Operation, Outcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::decode::{Decoder, Request};
use crate::counters::Counters;
use crate::listener::Stream;
use crate::service::{Service, ServiceState};

/// Number of bytes that are read at once.
const READ_BYTES: usize = 16 * 1024;

/// Serves a client until it leaves or the server drains.
pub(crate) async fn serve(stream: Stream, peer: SocketAddr, service: Service) {
    if let Err(error) = answer_all(stream, &service).await {
        tracing::debug!(%peer, %error, "connection ended");
    }
}

async fn answer_all(mut stream: Stream, service: &Service) -> io::Result<()> {
    let mut decoder = Decoder::new(service.limits().request_bytes);
    let (mut input, mut output, mut counters) = (Vec::new(), Vec::new(), None);
    loop {
        input.reserve(READ_BYTES);
        let read = tokio::select! {
            biased;
            read = stream.read_buf(&mut input) => read?,
            () = service.reached(ServiceState::Draining) => return Ok(()),
        };
        if read == 0 {
            return Ok(());
        }
        let mut used = 0;
        loop {
            match decoder.decode(&input[used..]) {
                Ok(None) => break,
                Ok(Some(request)) => {
                    used += request.len_bytes();
                    if counters.is_none() {
                        counters = service.counters().ok();
                    }
                    answer(request, counters.as_ref(), &mut output).await;
                }
                Err(error) => {
                    output.extend(format!("-ERR {error}\r\n").bytes());
                    return stream.write_all(&output).await;
                }
            }
        }
        input.drain(..used);
        stream.write_all(&output).await?;
        output.clear();
    }
}

async fn answer(request: Request<'_>, counters: Option<&Counters>, output: &mut Vec<u8>) {
    let mut arguments = request.arguments();
    let Some(command) = arguments.next() else { return };
    let name = arguments.next();
    let (name, operation) = match (command.to_ascii_uppercase().as_slice(), name) {
        (b"PING", _) => return output.extend(b"+PONG\r\n"),
        (b"INCR", Some(name)) => (name, Operation::Add(1)),
        (b"GET", Some(name)) => (name, Operation::Get),
        _ => return output.extend(b"-ERR unknown command\r\n"),
    };
    let Some(counters) = counters else {
        return output.extend(b"-LOADING Redis is loading the dataset in memory\r\n");
    };
    match counters.apply([(name, operation)], counters.default_durability()).await.as_deref() {
        Ok([Outcome::Value(Some(value))]) if operation == Operation::Get => {
            let value = value.to_string();
            output.extend(format!("${}\r\n{value}\r\n", value.len()).bytes());
        }
        Ok([Outcome::Value(Some(value))]) => output.extend(format!(":{value}\r\n").bytes()),
        Ok([Outcome::Value(None)]) => output.extend(b"$-1\r\n"),
        Ok(_) => output.extend(b"-ERR increment or decrement would overflow\r\n"),
        Err(error) => output.extend(format!("-ERR {error}\r\n").bytes()),
    }
}
