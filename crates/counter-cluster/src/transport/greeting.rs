//! The first bytes of a connection: the accepting end says what it is and which node. Then `ractor_cluster` takes over.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::{MAX_NODE_NAME_BYTES, NodeName};

/// What it is, and the version of what follows. The length of the name comes next, in one byte, and then the name.
const MAGIC: &[u8] = b"counter-cluster/1";

/// Says the name.
pub(super) async fn send(stream: &mut (impl AsyncWrite + Unpin), name: &NodeName) -> io::Result<()> {
    let name = name.as_str().as_bytes();
    let length = u8::try_from(name.len()).map_err(io::Error::other)?;
    let greeting = [MAGIC, &[length], name].concat();
    stream.write_all(&greeting).await?;
    stream.flush().await
}

/// Hears the name, and not a byte more.
///
/// # Errors
///
/// `InvalidData` if something else than a node of a cluster speaks there, or another version.
pub(super) async fn receive(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<NodeName> {
    let strange = || io::Error::new(io::ErrorKind::InvalidData, "it is not a node of a counter cluster");
    let mut start = [0; MAGIC.len() + 1];
    stream.read_exact(&mut start).await?;
    let [magic @ .., length] = start;
    let length = usize::from(length);
    if magic != MAGIC || length > MAX_NODE_NAME_BYTES {
        return Err(strange());
    }
    let mut name = vec![0; length];
    stream.read_exact(&mut name).await?;
    String::from_utf8(name).ok().and_then(|name| NodeName::try_from(name).ok()).ok_or_else(strange)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_arrives_and_what_follows_is_left_in_the_stream() {
        let (mut ours, mut theirs) = tokio::io::duplex(256);
        let name: NodeName = "a".repeat(MAX_NODE_NAME_BYTES).parse().unwrap();
        send(&mut ours, &name).await.unwrap();
        ours.write_all(b"next").await.unwrap();
        assert_eq!(receive(&mut theirs).await.unwrap(), name);
        let mut rest = [0; 4];
        theirs.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"next");
    }

    #[tokio::test]
    async fn anything_else_is_an_error() {
        for bytes in [
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            b"counter-cluster/2\x01a",
            b"counter-cluster/1\x00",
            b"counter-cluster/1\xff",
            b"counter-cluster/1\x02\xff\xfe",
            b"counter-cluster/1\x02a ",
            b"counter-cluster/1\x02a",
            b"",
        ] {
            let mut stream = bytes;
            assert!(receive(&mut stream).await.is_err(), "{bytes:?}");
        }
    }
}
