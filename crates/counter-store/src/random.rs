//! Random numbers of a store.

use std::io;

use fastrand::Rng;

/// Source of the random numbers that make a store, its hash and its replicas unlike others.
#[derive(Clone, Debug)]
pub(crate) enum Random {
    /// Numbers of the system, which nobody can predict.
    System,
    /// Numbers that a seed determines.
    Seeded(Rng),
}

impl Random {
    /// Creates a source that is determined by the seed if there is one.
    pub(crate) fn new(seed: Option<u64>) -> Self {
        seed.map_or(Self::System, |seed| Self::Seeded(Rng::with_seed(seed)))
    }

    /// Returns the next random bytes.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub(crate) fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        match self {
            Self::System => getrandom::fill(&mut bytes).map_err(io::Error::other)?,
            Self::Seeded(rng) => rng.fill(&mut bytes),
        }
        Ok(bytes)
    }

    /// Returns the next random number.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub(crate) fn number(&mut self) -> io::Result<u64> {
        self.bytes().map(u64::from_le_bytes)
    }
}
