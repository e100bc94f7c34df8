//! Datagrams of StatsD that a server receives a second without loss, at the default size of the socket's buffer.
//!
//! `cargo bench -p counter-server --bench statsd -- [DATAGRAMS_A_SECOND...]` sends one count a datagram for some
//! seconds at each rate, from one thread of the same process, and prints what arrived. Rate 0 is as fast as possible.

#![expect(clippy::print_stdout, reason = "it is what the program is for")]

use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

use counter_server::{ServeOptions, Server};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::sys::time::TimeValLike;
use tokio::runtime::Runtime;
use tokio::time::Instant;

/// Datagrams that are sent by one system call.
const BATCH: usize = 50;

/// Number of names, a multiple of the batch.
const NAMES: usize = 1000;

/// Time at each rate.
const TIME: Duration = Duration::from_secs(4);

/// Rates where none are given, in datagrams a second.
const RATES: [u32; 5] = [100_000, 250_000, 500_000, 750_000, 0];

fn main() {
    let arguments: Vec<u32> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let runtime = Runtime::new().expect("there are threads");
    println!(
        "{:>10} {:>10} {:>10} {:>10} {:>8} {:>8}",
        "rate", "sent/s", "received/s", "dropped", "loss", "CPU/µs"
    );
    for rate in if arguments.is_empty() { RATES.to_vec() } else { arguments } {
        measure(&runtime, rate);
    }
}

fn measure(runtime: &Runtime, rate: u32) {
    let server = runtime.block_on(Server::start(options())).expect("ports are free");
    let address = server.statsd_udp_addr().expect("it is on");
    let cpu = cpu_micros();
    let (sent, time, own_cpu) =
        thread::scope(|scope| scope.spawn(|| send(address, rate)).join().expect("the sender ends"));
    // The number of dropped datagrams comes with the next one that is not.
    let last = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("ports are free");
    let mut extra = 0;
    let (received, dropped) = loop {
        last.send_to(b"last:1|c", address).expect("the server receives");
        extra += 1;
        thread::yield_now();
        let (received, dropped) =
            (metric(&server, "statsd_datagrams"), metric(&server, "statsd_datagrams_dropped"));
        if received + dropped == sent + extra {
            break (received - extra, dropped);
        }
    };
    let cpu = cpu_micros() - cpu - own_cpu;
    runtime.block_on(async {
        let counters = server.service().counters().expect("it is ready");
        let total = counters.stats().await.expect("the counters answer").total_operations;
        assert_eq!(total, u128::from(received + extra), "what was received is counted");
        drop(counters);
        server.shutdown().await.expect("nothing is to be written");
    });
    let per_second = |count: u64| count * 1000 / u64::try_from(time.as_millis()).unwrap_or(1);
    println!(
        "{rate:>10} {:>10} {:>10} {dropped:>10} {:>7.3}% {:>8.2}",
        per_second(sent),
        per_second(received),
        100.0 * ratio(dropped, sent),
        ratio(cpu, received),
    );
}

fn options() -> ServeOptions {
    ServeOptions { resp: None, http: None, ..ServeOptions::default() }
}

/// Sends at a rate. Returns the number of datagrams, the time, and the CPU time of the thread in microseconds.
fn send(address: SocketAddr, rate: u32) -> (u64, Duration, u64) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("ports are free");
    socket.connect(address).expect("the server receives");
    let datagrams: Vec<_> = (0..NAMES).map(|name| format!("requests.of.host.{name:03}:1|c")).collect();
    let len_bytes = u16::try_from(datagrams[0].len()).expect("a name is short");
    let batches: Vec<String> = datagrams.chunks(BATCH).map(<[_]>::concat).collect();
    let (start, mut sent) = (Instant::now(), 0_u64);
    for batch in batches.iter().cycle() {
        while rate > 0 && u128::from(sent) > u128::from(rate) * start.elapsed().as_micros() / 1_000_000 {
            thread::yield_now();
        }
        if start.elapsed() >= TIME {
            break;
        }
        // One call, which the kernel cuts into datagrams of this length.
        let (slices, cut) = ([IoSlice::new(batch.as_bytes())], [ControlMessage::UdpGsoSegments(&len_bytes)]);
        let bytes = sendmsg(socket.as_raw_fd(), &slices, &cut, MsgFlags::empty(), None::<&()>);
        sent += bytes.expect("the socket is connected") as u64 / u64::from(len_bytes);
    }
    (sent, start.elapsed(), micros(UsageWho::RUSAGE_THREAD))
}

/// Returns the CPU time of the process in microseconds.
fn cpu_micros() -> u64 {
    micros(UsageWho::RUSAGE_SELF)
}

fn micros(of: UsageWho) -> u64 {
    let usage = getrusage(of).expect("Linux knows");
    let time = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    u64::try_from(time).unwrap_or(0)
}

fn metric(server: &Server, name: &str) -> u64 {
    let text = server.service().telemetry().encode().expect("metrics are text");
    let name = format!("{name}_total ");
    let value = text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok());
    value.unwrap_or(0)
}

#[expect(clippy::cast_precision_loss, reason = "it is printed with three digits")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}
