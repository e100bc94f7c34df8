//! The first bytes of a connection: the dialler sends its name and a ticket for the other end, which answers in the
//! same way. Then `ractor_cluster` takes over.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::node_name::{MAX_NODE_NAME_BYTES, NodeName};
use crate::ticket::Ticket;

/// Identifies the protocol.
const MAGIC: &[u8] = b"ractor-transport/";

/// Version of what follows: the ticket, the length of the name in one byte, and the name.
const VERSION: u8 = b'1';

/// Introduction of one end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Greeting {
    /// Name that it claims.
    pub(crate) name: NodeName,
    /// Ticket that it issues to the other end.
    pub(crate) ticket: Ticket,
}

/// Sends a greeting.
pub(crate) async fn send(stream: &mut (impl AsyncWrite + Unpin), greeting: &Greeting) -> io::Result<()> {
    let Greeting { name, ticket } = greeting;
    let name = name.as_str().as_bytes();
    let length = u8::try_from(name.len()).map_err(io::Error::other)?;
    let greeting = [MAGIC, &[VERSION], ticket.as_bytes(), &[length], name].concat();
    stream.write_all(&greeting).await?;
    stream.flush().await
}

/// Receives a greeting, and reads not a byte beyond it.
///
/// # Errors
///
/// `InvalidData` if the other end is not a node of a cluster, or speaks another version.
pub(crate) async fn receive(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Greeting> {
    let strange = |reason| io::Error::new(io::ErrorKind::InvalidData, reason);
    let mut start = [0; MAGIC.len() + 1];
    stream.read_exact(&mut start).await?;
    let [magic @ .., version] = start;
    if magic != MAGIC {
        return Err(strange("the peer is not a node of a cluster"));
    }
    if version != VERSION {
        return Err(strange("the peer speaks another version of the protocol"));
    }
    let mut ticket = [0; Ticket::BYTES];
    stream.read_exact(&mut ticket).await?;
    let length = usize::from(stream.read_u8().await?);
    if length > MAX_NODE_NAME_BYTES {
        return Err(strange("the peer's name is too long"));
    }
    let mut name = vec![0; length];
    stream.read_exact(&mut name).await?;
    let name = String::from_utf8(name).ok().and_then(|name| NodeName::try_from(name).ok());
    let name = name.ok_or_else(|| strange("the peer's name is not a node's"))?;
    Ok(Greeting { name, ticket: Ticket::from_bytes(ticket) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_greeting_arrives_and_what_follows_is_left_in_the_stream() {
        let (mut ours, mut theirs) = tokio::io::duplex(256);
        let name: NodeName = "a".repeat(MAX_NODE_NAME_BYTES).parse().unwrap();
        let greeting = Greeting { name, ticket: Ticket::issue() };
        send(&mut ours, &greeting).await.unwrap();
        ours.write_all(b"next").await.unwrap();
        assert_eq!(receive(&mut theirs).await.unwrap(), greeting);
        let mut rest = [0; 4];
        theirs.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"next");
    }

    #[tokio::test]
    async fn anything_else_is_an_error() {
        for (bytes, error) in [
            (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "not a node"),
            (b"ractor-transport/0\x01a", "another version"),
            (b"ractor-transport/2 ticket ticket t\x01a", "another version"),
            (b"ractor-transport/1 ticket ticket t\x00", "not a node's"),
            (b"ractor-transport/1 ticket ticket t\xff", "too long"),
            (b"ractor-transport/1 ticket ticket t\x02\xff\xfe", "not a node's"),
            (b"ractor-transport/1 ticket ticket t\x02a ", "not a node's"),
            (b"ractor-transport/1 ticket ticket t\x02a", "eof"),
            (b"ractor-transport/1 ticket", "eof"),
            (b"", "eof"),
        ] {
            let mut stream = bytes;
            let refused = receive(&mut stream).await.unwrap_err().to_string();
            assert!(refused.contains(error), "{bytes:?}: {refused}");
        }
    }
}
