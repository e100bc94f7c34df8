use std::collections::VecDeque;
use std::fmt;
use std::hash::Hasher;
use std::time::Duration;

use siphasher::sip::SipHasher13;

/// Number of lines at the end of a trace that are kept, unless all are.
const KEPT: usize = 200;

/// Events of a simulation, a line each, and the hash of all lines.
#[derive(Debug)]
pub struct Trace {
    lines: VecDeque<String>,
    keeps_all: bool,
    length: u64,
    hasher: SipHasher13,
}

impl Trace {
    /// Makes an empty trace that keeps all of its lines, or the last ones.
    #[must_use]
    pub fn new(keeps_all: bool) -> Self {
        Self { lines: VecDeque::new(), keeps_all, length: 0, hasher: SipHasher13::new() }
    }

    /// Adds a line, at this simulated time.
    pub(crate) fn add(&mut self, at: Duration, event: fmt::Arguments<'_>) {
        let line = format!("{:>7}.{:03} {event}", at.as_secs(), at.subsec_millis());
        self.hasher.write(line.as_bytes());
        self.hasher.write_u8(b'\n');
        self.length += 1;
        if !self.keeps_all && self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// Returns the lines that were kept.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// Returns the number of lines, of which some may not have been kept.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.length
    }

    /// Returns true if nothing has happened.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Returns the hash of all lines.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hasher.finish()
    }
}
