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

/// Largest memory of this process so far, in MB.
pub(crate) fn peak_mb() -> i64 {
    usage().max_rss() / 1024
}
