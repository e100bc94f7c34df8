//! The header of segments and snapshots: the format's version and the identity of the store.

use crate::bytes::{Malformed, Reader, put, put_fixed};
use crate::frame::{self, Flags, Frame, Tip};

/// Version of the format that this version of the crate writes, and the newest that it reads. Version 1 had no columns.
pub(crate) const FORMAT: u64 = 2;

/// Oldest version of the format that is read.
const OLDEST: u64 = 1;

/// Seed of the checksum of headers, which have to be read before the identity of their store is known.
const SEED: u64 = 0x636f_756e_7465_7273;

/// Length of a header's frame is bounded by this, in bytes.
pub(crate) const MAX_BYTES: usize = 512;

/// Identity of a store, and how it distributes names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Random number that no other store has.
    pub(crate) store: [u8; 16],
    /// Keys of the hash of names.
    pub(crate) hash_seeds: [u64; 4],
    /// Hash of a fixed name with these keys: it differs if the hash function does.
    pub(crate) hash_test: u64,
    /// Number of shards.
    pub(crate) shards: u32,
}

impl Identity {
    /// Returns the seed of the checksums of this store's frames.
    pub(crate) fn seed(&self) -> u64 {
        seed(&self.store)
    }
}

/// Returns the seed of the checksums of a store's frames.
pub(crate) fn seed(store: &[u8; 16]) -> u64 {
    frame::checksum(SEED, store)
}

/// Contents of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) identity: Identity,
    /// Number of times that the store has been opened.
    pub(crate) incarnation: u64,
    /// Last frame before the file.
    pub(crate) after: Tip,
}

/// The reason why a file has no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoHeader {
    /// Nothing that can be read.
    Damaged,
    /// The header of a newer format.
    Newer(u64),
}

impl Header {
    /// Replaces the contents of a buffer with the header's frame.
    pub(crate) fn write(&self, into: &mut Vec<u8>) {
        let Identity { store, hash_seeds, hash_test, shards } = self.identity;
        let mut payload = Vec::new();
        put(&mut payload, FORMAT);
        payload.extend_from_slice(&store);
        hash_seeds.iter().for_each(|&seed| put_fixed(&mut payload, seed));
        put_fixed(&mut payload, hash_test);
        put(&mut payload, shards.into());
        put(&mut payload, self.incarnation);
        put(&mut payload, self.after.sequence);
        // A header is no link of the chain: it stands before the frame that comes next.
        put_fixed(&mut payload, self.after.checksum);
        frame::write(into, SEED, Flags::HEADER, Tip::default(), 0, &payload);
    }

    /// Reads the header that these bytes begin with, and returns its length as well.
    pub(crate) fn read(bytes: &[u8]) -> Result<(Self, usize), NoHeader> {
        let frame = frame::read(bytes, SEED).filter(|frame| frame.flags.has(Flags::HEADER));
        let frame = frame.ok_or(NoHeader::Damaged)?;
        let mut payload = Reader(frame.payload);
        match payload.number() {
            Ok(OLDEST..=FORMAT) => {}
            Ok(newer) if newer > FORMAT => return Err(NoHeader::Newer(newer)),
            _ => return Err(NoHeader::Damaged),
        }
        let header = Self::parse(payload).map_err(|Malformed| NoHeader::Damaged)?;
        Ok((header, frame_len(&frame)))
    }

    fn parse(mut payload: Reader<'_>) -> Result<Self, Malformed> {
        let store = payload.array()?;
        let hash_seeds = [payload.fixed()?, payload.fixed()?, payload.fixed()?, payload.fixed()?];
        let identity = Identity { store, hash_seeds, hash_test: payload.fixed()?, shards: payload.small()? };
        let incarnation = payload.number()?;
        let after = Tip { sequence: payload.number()?, checksum: payload.fixed()? };
        payload.end()?;
        if identity.shards == 0 { Err(Malformed) } else { Ok(Self { identity, incarnation, after }) }
    }
}

const fn frame_len(frame: &Frame<'_>) -> usize {
    frame.len_bytes()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const IDENTITY: Identity =
        Identity { store: [7; 16], hash_seeds: [1, 2, 3, u64::MAX], hash_test: 5, shards: 2 };

    /// Writes a header that only a newer version understands.
    pub(crate) fn write_newer(into: &mut Vec<u8>) {
        frame::write(into, SEED, Flags::HEADER, Tip::default(), 0, &[3, 9, 9]);
    }

    #[test]
    fn a_header_survives() {
        let after = Tip { sequence: u64::MAX - 1, checksum: 7 };
        let header = Header { identity: IDENTITY, incarnation: 300, after };
        let mut bytes = Vec::new();
        header.write(&mut bytes);
        assert!(bytes.len() <= MAX_BYTES);
        assert_eq!(Header::read(&bytes), Ok((header, bytes.len())));
    }

    #[test]
    fn a_newer_format_is_told_from_damage() {
        let mut bytes = Vec::new();
        write_newer(&mut bytes);
        assert_eq!(Header::read(&bytes), Err(NoHeader::Newer(3)));
        bytes[40] ^= 1;
        assert_eq!(Header::read(&bytes), Err(NoHeader::Damaged));
    }
}
