//! A client that splits what it receives into replies.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Sent behind each chunk. Its reply says that all replies before are there.
const SENTINEL: &[u8] = b"*2\r\n$4\r\nECHO\r\n$12\r\nall-replies!\r\n";

/// Reply of the sentinel.
const ALL_REPLIES: &[u8] = b"$12\r\nall-replies!\r\n";

/// One reply, as it was received.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Frame(Vec<u8>);

/// Connection to a server.
#[derive(Debug)]
pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self(BufReader::new(TcpStream::connect(address).await.expect("it listens")))
    }

    /// Sends requests, and returns the replies to them.
    pub(crate) async fn ask(&mut self, requests: &[u8]) -> Vec<Frame> {
        self.0.write_all(&[requests, SENTINEL].concat()).await.expect("it reads");
        let mut frames = Vec::new();
        loop {
            let mut frame = Vec::new();
            self.read(&mut frame).await;
            if frame == ALL_REPLIES {
                return frames;
            }
            frames.push(Frame(frame));
        }
    }

    /// Reads one reply with all that it contains.
    async fn read(&mut self, frame: &mut Vec<u8>) {
        let mut missing = 1;
        while missing > 0 {
            let start = frame.len();
            let read = self.0.read_until(b'\n', frame).await.expect("it answers");
            assert!(read > 0, "connection closed behind {:?}", Frame(frame.clone()));
            let kind = frame[start];
            let number =
                str::from_utf8(&frame[start + 1..]).ok().and_then(|text| text.trim_end().parse().ok());
            missing -= 1;
            match (kind, number) {
                (b'$' | b'=', Some(len @ 0_i64..)) => {
                    let len = usize::try_from(len).expect("it is short") + 2;
                    let start = frame.len();
                    frame.resize(start + len, 0);
                    self.0.read_exact(&mut frame[start..]).await.expect("it answers");
                }
                (b'*' | b'~', Some(items @ 0..)) => missing += items,
                (b'%', Some(pairs @ 0..)) => missing += 2 * pairs,
                _ => {}
            }
        }
    }
}

impl Frame {
    /// Returns the number that the reply is.
    pub(crate) fn integer(&self) -> Option<i64> {
        str::from_utf8(self.0.strip_prefix(b":")?).ok()?.trim_end().parse().ok()
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = Vec<u8>> {
        self.0.split(|byte| *byte == b'\n').map(<[u8]>::to_vec)
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}
