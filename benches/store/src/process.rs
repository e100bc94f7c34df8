use std::time::Duration;

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike;

fn usage() -> Usage {
    getrusage(UsageWho::RUSAGE_SELF).expect("every Unix has it")
}

/// Processor time of this process so far.
pub(crate) fn cpu() -> Duration {
    let usage = usage();
    let micros = (usage.user_time() + usage.system_time()).num_microseconds();
    Duration::from_micros(u64::try_from(micros).expect("time goes forward"))
}

/// Number of bytes that this process has written so far, to whatever it is.
pub(crate) fn written_bytes() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").expect("Linux has it");
    let written = io.lines().find_map(|line| line.strip_prefix("wchar: "));
    written.expect("it has this line").parse().expect("it is a number")
}

/// Largest memory of this process so far, in MB.
pub(crate) fn peak_mb() -> i64 {
    usage().max_rss() / 1024
}
