//! The watermark: how far the log was durable, so that a log that ends before is noticed.

use crate::bytes::{Malformed, Reader, put_fixed};
use crate::frame::{self, Tip};

/// Name of the file.
pub(crate) const NAME: &str = "watermark";

/// Distance between the two places, of which one is synced whatever happens to the other: a page, which no disk's
/// sector exceeds.
const PLACE_BYTES: usize = 4096;

/// Length of the file in bytes.
pub(crate) const FILE_BYTES: usize = 2 * PLACE_BYTES;

const SEED: u64 = 0x7761_7465_726d_6172;

/// Contents of the watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Watermark {
    /// Identity of the store.
    pub(crate) store: [u8; 16],
    /// Number of times that a watermark has been written.
    pub(crate) writes: u64,
    /// Last frame that was durable.
    pub(crate) durable: Tip,
}

impl Watermark {
    /// Returns the bytes to be written to one of the two places, and their offset in the file.
    pub(crate) fn write(&self, place: usize) -> (u64, Vec<u8>) {
        let mut bytes = self.store.to_vec();
        put_fixed(&mut bytes, self.writes);
        put_fixed(&mut bytes, self.durable.sequence);
        put_fixed(&mut bytes, self.durable.checksum);
        let checksum = frame::checksum(SEED, &bytes);
        put_fixed(&mut bytes, checksum);
        ((place * PLACE_BYTES) as u64, bytes)
    }

    /// Reads the newer of the two, and returns its place.
    pub(crate) fn read(file: &[u8]) -> Option<(Self, usize)> {
        let places = [0, 1].map(|place| {
            let watermark = Self::parse(file.get(place * PLACE_BYTES..)?).ok()?;
            Some((watermark, place))
        });
        places.into_iter().flatten().max_by_key(|(watermark, _)| watermark.writes)
    }

    fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(bytes);
        let store = reader.array()?;
        let [writes, sequence, checksum] = [reader.fixed()?, reader.fixed()?, reader.fixed()?];
        let sealed = bytes.len() - reader.0.len();
        if reader.fixed()? != frame::checksum(SEED, &bytes[..sealed]) {
            return Err(Malformed);
        }
        Ok(Self { store, writes, durable: Tip { sequence, checksum } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watermark(writes: u64) -> Watermark {
        Watermark { store: [1; 16], writes, durable: Tip { sequence: writes * 10, checksum: 4 } }
    }

    #[test]
    fn the_newer_of_two_counts_and_the_other_if_one_is_damaged() {
        let mut file = vec![0; FILE_BYTES];
        assert_eq!(Watermark::read(&file), None);
        for (writes, place) in [(1, 1), (2, 0), (3, 1)] {
            let (at, bytes) = watermark(writes).write(place);
            let at = usize::try_from(at).unwrap();
            file[at..at + bytes.len()].copy_from_slice(&bytes);
            assert_eq!(Watermark::read(&file), Some((watermark(writes), place)));
        }
        let (at, bytes) = watermark(3).write(1);
        for byte in 0..bytes.len() {
            let mut file = file.clone();
            file[usize::try_from(at).unwrap() + byte] ^= 1;
            assert_eq!(Watermark::read(&file), Some((watermark(2), 0)));
        }
    }
}
