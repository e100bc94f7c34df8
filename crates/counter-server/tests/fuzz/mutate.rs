//! Mutations of input, by seed.

use fastrand::Rng;

/// Numbers and separators that parsers treat in a way of their own.
const WORDS: [&[u8]; 16] = [
    b"\r\n",
    b"*",
    b"$",
    b"-1",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"1e999",
    b"0.0000000000000001",
    b"|",
    b":",
    b"|c",
    b"|@",
    b"|#",
    b",",
    b"\0",
    b"\xff",
];

/// Maximum length of an input, in bytes.
const MAX_BYTES: usize = 2048;

/// Source of inputs that are nearly right.
#[derive(Debug)]
pub(crate) struct Mutator {
    random: Rng,
    corpus: Vec<Vec<u8>>,
}

impl Mutator {
    pub(crate) fn new(seed: u64, corpus: &[&[u8]]) -> Self {
        Self { random: Rng::with_seed(seed), corpus: corpus.iter().map(|input| input.to_vec()).collect() }
    }

    /// Returns another input.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        let mut input = self.random.choice(&self.corpus).cloned().unwrap_or_default();
        for _ in 0..self.random.usize(0..6) {
            self.mutate(&mut input);
        }
        input.truncate(MAX_BYTES);
        input
    }

    fn mutate(&mut self, input: &mut Vec<u8>) {
        let random = &mut self.random;
        let at = random.usize(0..=input.len());
        let end = random.usize(at..=input.len());
        match random.u8(0..7) {
            0 => drop(input.drain(at..end)),
            1 => input.insert(at, random.u8(..)),
            2 => drop(input.splice(at..end, WORDS[random.usize(0..WORDS.len())].iter().copied())),
            3 => drop(input.splice(at..at, WORDS[random.usize(0..WORDS.len())].iter().copied())),
            4 => input.extend_from_within(at..end),
            5 => {
                let other = &self.corpus[random.usize(0..self.corpus.len())];
                input.splice(at..at, other.iter().copied());
            }
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << random.u8(0..8);
                }
            }
        }
    }
}
