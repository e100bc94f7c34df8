//! Connections of the Redis protocol, for commands that are answered with an integer.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// Connections to a server, one for each caller at a time.
#[derive(Debug)]
pub(crate) struct Connections {
    address: SocketAddr,
    idle: Mutex<Vec<Connection>>,
}

#[derive(Debug)]
struct Connection {
    replies: BufReader<OwnedReadHalf>,
    commands: OwnedWriteHalf,
}

impl Connections {
    pub(crate) const fn new(address: SocketAddr) -> Self {
        Self { address, idle: Mutex::new(Vec::new()) }
    }

    /// Sends commands that add amounts to counters, in one pipeline, and waits for all replies.
    pub(crate) async fn add(
        &self,
        operations: impl IntoIterator<Item = (impl AsRef<[u8]>, i64)>,
    ) -> anyhow::Result<()> {
        let (mut pipeline, mut replies) = (Vec::new(), 0);
        for (name, amount) in operations {
            encode(&[b"INCRBY", name.as_ref(), amount.to_string().as_bytes()], &mut pipeline);
            replies += 1;
        }
        let idle = self.idle().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => Connection::open(self.address).await?,
        };
        connection.ask(&pipeline, replies).await?;
        self.idle().push(connection);
        Ok(())
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        // A list stays whole whatever panics.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.context("failed to connect to a server")?;
        stream.set_nodelay(true)?;
        let (replies, commands) = stream.into_split();
        Ok(Self { replies: BufReader::new(replies), commands })
    }

    /// Sends a pipeline, and reads this number of integers. Both at once, because a server stops reading commands while
    /// nobody reads its replies.
    async fn ask(&mut self, pipeline: &[u8], replies: usize) -> anyhow::Result<()> {
        let Self { replies: reader, commands } = self;
        let send = async { commands.write_all(pipeline).await.context("failed to send commands") };
        let receive = async {
            let mut line = String::new();
            for _ in 0..replies {
                line.clear();
                reader.read_line(&mut line).await.context("failed to read a reply")?;
                match line.as_bytes().first() {
                    Some(b':') => {}
                    Some(b'-') => bail!("refusal by a server: {}", line[1..].trim_end()),
                    _ => bail!("a connection that ended before the reply"),
                }
            }
            Ok(())
        };
        tokio::try_join!(send, receive).map(drop)
    }
}

/// Encodes a command.
fn encode(command: &[&[u8]], pipeline: &mut Vec<u8>) {
    pipeline.extend_from_slice(format!("*{}\r\n", command.len()).as_bytes());
    for part in command {
        pipeline.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
        pipeline.extend_from_slice(part);
        pipeline.extend_from_slice(b"\r\n");
    }
}
