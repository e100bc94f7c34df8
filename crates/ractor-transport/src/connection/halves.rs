use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};

/// Maximum number of bytes that are read of a peer before it has proved the cookie.
///
/// The proof takes a few hundred bytes. A peer that knows it has been accepted may send more before this node knows,
/// which then waits in the sockets.
pub(super) const UNPROVED_BYTES: usize = 64 * 1024;

/// Held by both halves: the receiver resolves when both are dropped.
type Open = Arc<oneshot::Sender<Infallible>>;

/// Reads as long as the peer may send, and fails when it is silent for too long.
pub(super) struct ReadHalf<R> {
    inner: R,
    patience: Patience,
    /// Until the peer has proved the cookie: the number of bytes that it may still send, and the signal of the proof.
    unproved: Option<(usize, oneshot::Receiver<()>)>,
    cut: Option<oneshot::Receiver<Infallible>>,
    _open: Open,
}

/// Writes, and fails when the peer takes nothing for too long.
pub(super) struct WriteHalf<W> {
    inner: W,
    patience: Patience,
    _open: Open,
}

/// Maximum time of an operation without progress.
struct Patience {
    limit: Duration,
    sleep: Pin<Box<Sleep>>,
    waiting: bool,
}

impl<R> ReadHalf<R> {
    pub(super) fn new(
        inner: R,
        idle: Duration,
        proved: oneshot::Receiver<()>,
        cut: oneshot::Receiver<Infallible>,
        open: Open,
    ) -> Self {
        Self {
            inner,
            patience: Patience::new(idle),
            unproved: Some((UNPROVED_BYTES, proved)),
            cut: Some(cut),
            _open: open,
        }
    }

    /// Waits until the peer may send. Fails for good once the connection is cut.
    fn poll_permission(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let cut = self.cut.as_mut().is_none_or(|cut| Pin::new(cut).poll(cx).is_ready());
        if cut {
            self.cut = None;
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "closed by this node")));
        }
        if let Some((left, proved)) = &mut self.unproved {
            match Pin::new(proved).poll(cx) {
                // The sender goes without a word only together with that of `cut`.
                Poll::Ready(_) => self.unproved = None,
                Poll::Pending if *left == 0 => return Poll::Pending,
                Poll::Pending => {}
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for ReadHalf<R> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_permission(cx))?;
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.inner).poll_read(cx, buf);
        if let Some((left, _)) = &mut this.unproved {
            *left = left.saturating_sub(buf.filled().len() - before);
        }
        this.patience.watch(cx, polled, "the peer is silent")
    }
}

impl<W> WriteHalf<W> {
    pub(super) fn new(inner: W, idle: Duration, open: Open) -> Self {
        Self { inner, patience: Patience::new(idle), _open: open }
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for WriteHalf<W> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_write(cx, buf);
        this.patience.watch(cx, polled, "the peer takes nothing")
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_flush(cx);
        this.patience.watch(cx, polled, "the peer takes nothing")
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_shutdown(cx);
        this.patience.watch(cx, polled, "the peer takes nothing")
    }
}

impl Patience {
    fn new(limit: Duration) -> Self {
        Self { limit, sleep: Box::pin(tokio::time::sleep(limit)), waiting: false }
    }

    /// Returns an operation's outcome, or an error when it has been pending for too long.
    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
        complaint: &'static str,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.waiting = false;
            return polled;
        }
        if !self.waiting {
            self.waiting = true;
            self.sleep.as_mut().reset(Instant::now() + self.limit);
        }
        ready!(self.sleep.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, complaint)))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::timeout;

    use super::*;

    const IDLE: Duration = Duration::from_secs(10);

    /// The test's end of a reader.
    struct Peer {
        stream: DuplexStream,
        proved: oneshot::Sender<()>,
        cut: oneshot::Sender<Infallible>,
        over: oneshot::Receiver<Infallible>,
    }

    fn reader(capacity: usize) -> (ReadHalf<DuplexStream>, Peer) {
        let (ours, stream) = duplex(capacity);
        let (proved, when_proved) = oneshot::channel();
        let (cut, when_cut) = oneshot::channel();
        let (open, over) = oneshot::channel();
        let reader = ReadHalf::new(ours, IDLE, when_proved, when_cut, Arc::new(open));
        (reader, Peer { stream, proved, cut, over })
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_a_connection_and_a_byte_now_and_then_does_not() {
        let (mut reader, mut peer) = reader(64);
        let started = Instant::now();
        let talk = async {
            for _ in 0..3 {
                tokio::time::sleep(IDLE - Duration::from_secs(1)).await;
                peer.stream.write_u8(1).await.unwrap();
            }
        };
        let listen = async {
            let mut heard = Vec::new();
            let error = reader.read_to_end(&mut heard).await.unwrap_err();
            (heard.len(), error.kind(), started.elapsed().as_secs())
        };
        let (heard, ()) = timeout(10 * IDLE, async { tokio::join!(listen, talk) }).await.unwrap();
        assert_eq!(heard, (3, io::ErrorKind::TimedOut, 3 * 9 + 10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_not_waited_for() {
        let (ours, _theirs) = duplex(64);
        let (open, _over) = oneshot::channel();
        let mut writer = WriteHalf::new(ours, IDLE, Arc::new(open));
        let started = Instant::now();
        let error = timeout(2 * IDLE, writer.write_all(&[0; 1000])).await.unwrap().unwrap_err();
        assert_eq!((error.kind(), started.elapsed()), (io::ErrorKind::TimedOut, IDLE));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_proof_little_is_read_and_with_it_nothing_is_lost() {
        let (mut reader, mut peer) = reader(4 * UNPROVED_BYTES);
        let sent: Vec<u8> = (0..3 * UNPROVED_BYTES).map(|n| u8::try_from(n % 251).unwrap()).collect();
        peer.stream.write_all(&sent).await.unwrap();
        drop(peer.stream);

        let mut heard = Vec::new();
        let mut part = vec![0; 1000];
        // Longer than the peer may be silent: whoever waits for a proof has a deadline of its own for that.
        while let Ok(read) = timeout(2 * IDLE, reader.read(&mut part)).await {
            heard.extend_from_slice(&part[..read.unwrap()]);
        }
        assert!((UNPROVED_BYTES..UNPROVED_BYTES + part.len()).contains(&heard.len()), "{}", heard.len());

        peer.proved.send(()).unwrap();
        reader.read_to_end(&mut heard).await.unwrap();
        assert!(heard == sent);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cut_ends_a_waiting_reader_for_good_and_its_end_is_known() {
        let (mut reader, mut peer) = reader(64);
        assert!(timeout(IDLE / 2, reader.read_u8()).await.is_err());
        drop(peer.cut);
        for _ in 0..2 {
            assert_eq!(reader.read_u8().await.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
        }
        assert!(peer.over.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Empty));
        drop(reader);
        assert!(peer.over.await.is_err());
    }
}
