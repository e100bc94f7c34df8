//! Statistics of a count, for `--stats`.

use std::fmt;
use std::ops::Add;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};

/// Input that has been counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Number of bytes, after decompression.
    pub(super) bytes: u64,
    pub(super) lines: u64,
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { bytes: self.bytes + other.bytes, lines: self.lines + other.lines }
    }
}

/// Figures that `--stats` prints, in one line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stats {
    pub(super) input: Tally,
    pub(super) names: u64,
    /// Time from the start of the command to the end of its output.
    pub(super) elapsed: Duration,
    pub(super) peak_memory_bytes: Option<u64>,
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { input: Tally { bytes, lines }, names, elapsed, peak_memory_bytes } = *self;
        let seconds = elapsed.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "it is rounded to a tenth of a megabyte")]
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        let rate = megabytes(bytes) / seconds.max(f64::EPSILON);
        write!(f, "{bytes} bytes, {lines} lines, {names} names, {seconds:.3} s, {rate:.1} MB/s")?;
        match peak_memory_bytes {
            Some(peak) => write!(f, ", peak memory {:.1} MB", megabytes(peak)),
            None => Ok(()),
        }
    }
}

/// Returns the largest amount of memory that this process has had resident so far, if the system tells.
pub(super) fn peak_memory_bytes() -> Option<u64> {
    let peak = u64::try_from(getrusage(UsageWho::RUSAGE_SELF).ok()?.max_rss()).ok()?;
    // Linux and the BSDs count in KiB, Apple's systems in bytes.
    Some(if cfg!(target_vendor = "apple") { peak } else { peak * 1024 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stats_are_one_line_with_units() {
        let input = Tally { bytes: 3_000_000, lines: 7 };
        let elapsed = Duration::from_millis(1500);
        let stats = Stats { input, names: 5, elapsed, peak_memory_bytes: Some(12_340_000) };
        let expected = "3000000 bytes, 7 lines, 5 names, 1.500 s, 2.0 MB/s, peak memory 12.3 MB";
        assert_eq!(stats.to_string(), expected);
        assert!(peak_memory_bytes().is_some_and(|peak| peak > 100_000));
    }
}
