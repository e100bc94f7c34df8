//! Receives datagrams in batches: a system call for each would take most of the time.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::cmsg_space;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, MultiHeaders, recvmmsg, setsockopt, sockopt};
use tokio::io::Interest;
use tokio::net::{UdpSocket, UnixDatagram};

/// Maximum number of datagrams that are received at once.
const BATCH: usize = 64;

/// Maximum length of a datagram, in bytes: that of UDP.
const MAX_DATAGRAM_BYTES: usize = 64 * 1024;

/// Size that is asked for the kernel's buffer of a socket, in bytes. The system gives up to a limit of its own
/// (`net.core.rmem_max`), which is most often less, but twice the default.
const RECEIVE_BUFFER_BYTES: usize = 8 << 20;

/// Socket of datagrams.
#[derive(Debug)]
pub(crate) enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

/// Socket of datagrams, and the last batch that it received.
pub(crate) struct Receiver {
    socket: Socket,
    buffer: Vec<u8>,
    /// Length of each datagram of the batch, `None` if it was too long.
    lens: Vec<Option<usize>>,
    /// Number of datagrams that the kernel has dropped since the socket was opened, modulo 2³².
    overflow: u32,
}

impl Receiver {
    pub(crate) fn new(socket: Socket) -> Self {
        if let Socket::Udp(socket) = &socket {
            if let Err(error) = setsockopt(socket, sockopt::RcvBuf, &RECEIVE_BUFFER_BYTES) {
                tracing::warn!(%error, "the buffer of the socket stays as it is");
            }
            // Without it, dropped datagrams are not known, but all others are received.
            if let Err(error) = setsockopt(socket, sockopt::RxqOvfl, &1) {
                tracing::warn!(%error, "the system does not report dropped datagrams");
            }
        }
        let (buffer, lens) = (vec![0; BATCH * MAX_DATAGRAM_BYTES], Vec::with_capacity(BATCH));
        Self { socket, buffer, lens, overflow: 0 }
    }

    /// Waits for datagrams and receives what is there, up to a batch. Returns the number of datagrams that the kernel
    /// had dropped before these for lack of room, and that were not returned before.
    ///
    /// Cancelling it loses nothing.
    pub(crate) async fn receive(&mut self) -> io::Result<u64> {
        loop {
            self.socket.readable().await?;
            let Self { socket, buffer, lens, .. } = self;
            let received = match socket {
                Socket::Udp(udp) => udp.try_io(Interest::READABLE, || receive(udp.as_fd(), buffer, lens)),
                Socket::Unix(unix) => unix.try_io(Interest::READABLE, || receive(unix.as_fd(), buffer, lens)),
            };
            match received {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => return received.map(|overflow| self.dropped(overflow)),
            }
        }
    }

    /// Receives like [`receive`](Self::receive), but returns `WouldBlock` if nothing is there. It asks the kernel,
    /// which may know of datagrams that the runtime has not heard of.
    pub(crate) fn try_receive(&mut self) -> io::Result<u64> {
        let socket = match &self.socket {
            Socket::Udp(socket) => socket.as_fd(),
            Socket::Unix(socket) => socket.as_fd(),
        };
        let overflow = receive(socket, &mut self.buffer, &mut self.lens)?;
        Ok(self.dropped(overflow))
    }

    /// Returns the datagrams of the batch, `None` for each that was too long.
    pub(crate) fn datagrams(&self) -> impl ExactSizeIterator<Item = Option<&[u8]>> {
        let buffers = self.buffer.chunks_exact(MAX_DATAGRAM_BYTES);
        buffers.zip(&self.lens).map(|(buffer, len)| len.map(|len| &buffer[..len]))
    }

    fn dropped(&mut self, overflow: Option<u32>) -> u64 {
        let before = self.overflow;
        self.overflow = overflow.unwrap_or(before);
        self.overflow.wrapping_sub(before).into()
    }
}

impl Socket {
    async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.readable().await,
            Self::Unix(socket) => socket.readable().await,
        }
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("socket", &self.socket).finish_non_exhaustive()
    }
}

/// Receives a batch. Returns the number of dropped datagrams, if the kernel says it.
fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    lens: &mut Vec<Option<usize>>,
) -> io::Result<Option<u32>> {
    lens.clear();
    let mut headers = MultiHeaders::<()>::preallocate(BATCH, Some(cmsg_space!(u32)));
    let mut slices: Vec<_> =
        buffer.chunks_exact_mut(MAX_DATAGRAM_BYTES).map(|buffer| [IoSliceMut::new(buffer)]).collect();
    let mut overflow = None;
    for message in recvmmsg(socket.as_raw_fd(), &mut headers, &mut slices, MsgFlags::MSG_DONTWAIT, None)? {
        let is_whole = !message.flags.contains(MsgFlags::MSG_TRUNC);
        lens.push(is_whole.then_some(message.bytes));
        for control in message.cmsgs()? {
            if let ControlMessageOwned::RxqOvfl(dropped) = control {
                overflow = Some(dropped);
            }
        }
    }
    Ok(overflow)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn udp() -> (Receiver, UdpSocket) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        sender.connect(socket.local_addr().unwrap()).await.unwrap();
        (Receiver::new(Socket::Udp(socket)), sender)
    }

    fn received(receiver: &Receiver) -> Vec<Option<Vec<u8>>> {
        receiver.datagrams().map(|datagram| datagram.map(<[u8]>::to_vec)).collect()
    }

    #[tokio::test]
    async fn datagrams_arrive_in_batches_in_order() {
        let (mut receiver, sender) = udp().await;
        for number in 0..BATCH + 2 {
            sender.send(number.to_string().as_bytes()).await.unwrap();
        }
        assert_eq!(receiver.receive().await.unwrap(), 0);
        assert_eq!(received(&receiver).len(), BATCH);
        assert_eq!(receiver.receive().await.unwrap(), 0);
        let text = |number: usize| Some(number.to_string().into_bytes());
        assert_eq!(received(&receiver), [text(BATCH), text(BATCH + 1)]);
        assert_eq!(receiver.try_receive().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(received(&receiver), []);
    }

    #[tokio::test]
    async fn what_the_kernel_drops_is_known() {
        let (mut receiver, sender) = udp().await;
        let Socket::Udp(socket) = &receiver.socket else { panic!() };
        setsockopt(socket, sockopt::RcvBuf, &4096).unwrap();
        for _ in 0..1000 {
            sender.send(b"a:1|c").await.unwrap();
        }
        let (mut count, mut dropped) = (0, 0);
        while let Ok(more) = receiver.try_receive() {
            (count, dropped) = (count + receiver.datagrams().len(), dropped + more);
        }
        assert!(count < 1000, "the buffer was too large to overflow");
        // The number comes with the next datagram.
        sender.send(b"a:1|c").await.unwrap();
        dropped += receiver.receive().await.unwrap();
        assert_eq!((count as u64) + dropped, 1000);
    }

    #[tokio::test]
    async fn a_datagram_that_is_too_long_is_not_taken_for_its_beginning() {
        let (receiver, sender) = UnixDatagram::pair().unwrap();
        let mut receiver = Receiver::new(Socket::Unix(receiver));
        sender.send(&vec![b'x'; MAX_DATAGRAM_BYTES + 1]).await.unwrap();
        sender.send(b"a").await.unwrap();
        receiver.receive().await.unwrap();
        assert_eq!(received(&receiver), [None, Some(b"a".to_vec())]);
    }
}
