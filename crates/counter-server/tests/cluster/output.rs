//! A log without a reader.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep, timeout};

use super::setup::{Files, NEVER, shared, until_held};

/// Returns both ends of a stream with no room: the first byte that is written blocks. It is not a pipe, because std
/// cannot fill one without knowing its size, which is less than usual for a user who has many.
fn full_stream() -> (UnixStream, OwnedFd) {
    let (reader, mut writer) = UnixStream::pair().expect("there are files left");
    writer.set_nonblocking(true).expect("it is a socket");
    while writer.write(&[b'\n'; 4096]).is_ok() {}
    writer.set_nonblocking(false).expect("it is a socket");
    (reader, writer.into())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_log_nobody_reads_counts_on_and_ends_when_told() {
    let _machine = shared().await;
    let (files, (_unread, full)) = (Files::new(), full_stream());
    let b = files.start("b", &[]).await;
    // Its ports are in its log. The path of a socket is known without it.
    let (socket, launch) = (files.path("statsd"), files.launch("a", &[b.address()]));
    let mut command = launch.command().unwrap();
    let mut child = command.arg("--statsd-socket").arg(&socket).stderr(full).spawn().unwrap();
    let client = UnixDatagram::unbound().unwrap();
    let begun = Instant::now();
    while client.connect(&socket).is_err() {
        assert!(begun.elapsed() < NEVER, "it does not listen");
        sleep(Duration::from_millis(5)).await;
    }
    for n in 1..=10 {
        client.send(b"x:1|c").unwrap();
        until_held(&b, "x", n).await;
    }
    let pid = child.id().expect("it runs").cast_signed();
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    let status = timeout(NEVER, child.wait()).await.expect("it ends").unwrap();
    assert_eq!(status.code(), Some(0));
}
