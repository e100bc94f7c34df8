//! Random numbers that depend on the seed and on what they are for, not on how many were drawn before: a schedule with
//! one event less changes as little as possible.

use std::hash::Hasher;

use fastrand::Rng;
use siphasher::sip::SipHasher13;

/// Returns a generator for one purpose.
pub(crate) fn generator(seed: u64, purpose: &str, numbers: &[u64]) -> Rng {
    let mut hasher = SipHasher13::new_with_keys(seed, 0);
    hasher.write(purpose.as_bytes());
    numbers.iter().for_each(|number| hasher.write_u64(*number));
    Rng::with_seed(hasher.finish())
}

/// Returns a seed for one purpose.
pub(crate) fn mix(seed: u64, number: u64) -> u64 {
    generator(seed, "seed", &[number]).u64(..)
}

/// Returns true in this percentage of cases.
pub(crate) fn chance(rng: &mut Rng, percent: u8) -> bool {
    rng.u8(..100) < percent
}
