//! Random sequences of commands, sent to Redis and to this server: the replies are the same, byte for byte.
//!
//! `COUNTER_SERVER_SEED` repeats the sequence of a seed, and `COUNTER_SERVER_SEQUENCES` says how many there are. The
//! tests are skipped where there is no `redis-server`.

mod commands;
mod frames;
mod server;

use std::env;

use commands::{Chunk, Generator};
use frames::{Client, Frame};
use server::{Redis, own};

/// Sequences by default.
const SEQUENCES: u64 = 60;

/// Chunks of a sequence.
const CHUNKS: usize = 60;

/// Difference between two times that may pass between two servers, in milliseconds.
const TOLERANCE_MS: i64 = 5000;

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the seed is for whoever sees the test fail")]
async fn random_sequences_are_answered_as_by_redis() {
    let Some(redis) = Redis::start() else { return };
    let own = own().await;
    let number = |name| env::var(name).ok().map(|text| text.parse::<u64>().expect("a whole number"));
    let first = number("COUNTER_SERVER_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
    let sequences = number("COUNTER_SERVER_SEQUENCES").unwrap_or(SEQUENCES);
    println!("COUNTER_SERVER_SEED={first}");
    for seed in first..first + sequences {
        let mut theirs = Client::connect(redis.address).await;
        let mut ours = Client::connect(own.resp_addr().expect("RESP is on")).await;
        let mut generator = Generator::new(seed);
        for client in [&mut theirs, &mut ours] {
            client.ask(b"FLUSHALL\r\n").await;
        }
        for _ in 0..CHUNKS {
            let chunk = generator.chunk();
            let (theirs, ours) = tokio::join!(theirs.ask(chunk.bytes()), ours.ask(chunk.bytes()));
            compare(seed, &chunk, &theirs, &ours);
        }
    }
    own.shutdown().await.expect("it stops in order");
}

fn compare(seed: u64, chunk: &Chunk, theirs: &[Frame], ours: &[Frame]) {
    let is_same = match chunk {
        Chunk::Commands(_) => theirs == ours,
        Chunk::Time(_) => theirs.len() == ours.len() && theirs.iter().zip(ours).all(|(a, b)| is_close(a, b)),
        Chunk::Names(_) => names(theirs) == names(ours),
    };
    let text = String::from_utf8_lossy(chunk.bytes());
    assert!(is_same, "COUNTER_SERVER_SEED={seed}\n{text}\nRedis: {theirs:?}\nhere:  {ours:?}");
}

/// Returns true if both are the same, or times that are nearly so.
fn is_close(theirs: &Frame, ours: &Frame) -> bool {
    match (theirs.integer(), ours.integer()) {
        (Some(theirs @ 0..), Some(ours @ 0..)) => theirs.abs_diff(ours) <= TOLERANCE_MS.unsigned_abs(),
        _ => theirs == ours,
    }
}

/// Returns the reply of a complete scan in order.
fn names(frames: &[Frame]) -> Vec<Vec<u8>> {
    let mut lines: Vec<_> = frames.iter().flat_map(|frame| frame.lines()).collect();
    lines.sort_unstable();
    lines
}
