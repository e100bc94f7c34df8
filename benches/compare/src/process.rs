//! Memory and processor time of this process, from Linux.

use std::fs;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Interval between samples of memory.
const SAMPLE_EVERY: Duration = Duration::from_millis(20);

/// Samples memory in a thread of its own, so that busy workers do not delay it.
#[derive(Debug)]
pub(crate) struct MemoryWatch {
    start_bytes: u64,
    stop: Sender<()>,
    thread: JoinHandle<u64>,
}

/// Resident memory over a time span.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) start_bytes: u64,
    pub(crate) peak_bytes: u64,
}

impl MemoryWatch {
    pub(crate) fn start() -> Self {
        let (stop, stopped) = mpsc::channel();
        let start_bytes = resident_bytes();
        let thread = thread::spawn(move || {
            let mut peak_bytes = start_bytes;
            loop {
                peak_bytes = peak_bytes.max(resident_bytes());
                if stopped.recv_timeout(SAMPLE_EVERY) != Err(RecvTimeoutError::Timeout) {
                    return peak_bytes.max(resident_bytes());
                }
            }
        });
        Self { start_bytes, stop, thread }
    }

    pub(crate) fn finish(self) -> Memory {
        drop(self.stop);
        let peak_bytes = self.thread.join().expect("the watch does not panic");
        Memory { start_bytes: self.start_bytes, peak_bytes }
    }
}

/// Returns the user and system time of all threads so far, to the next tick: 10 ms.
pub(crate) fn cpu_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux has /proc/self/stat");
    // The second field is the program's name in parentheses, which may hold anything.
    let (_, fields) = stat.rsplit_once(')').expect("the name is in parentheses");
    // utime and stime are the 14th and 15th field of all, so the 12th and 13th of these.
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).map(number).sum();
    Duration::from_secs(ticks) / u32::try_from(rustix::param::clock_ticks_per_second()).expect("100")
}

fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").expect("Linux has /proc/self/statm");
    let pages = statm.split_whitespace().nth(1).map(number).expect("the second field is the resident set");
    pages * rustix::param::page_size() as u64
}

fn number(field: &str) -> u64 {
    field.parse().expect("the field is a number")
}
