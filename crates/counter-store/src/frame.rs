//! Frames: the units of a log and of a snapshot, each of which names its predecessor.
//!
//! | bytes | field |
//! |---|---|
//! | 3 | `CNT` |
//! | 1 | [flags](Flags) |
//! | 4 | length of the payload |
//! | 8 | sequence number, one more than its predecessor's |
//! | 8 | sequence number that was durable when the frame was written |
//! | 8 | checksum of its predecessor |
//! | n | payload |
//! | 8 | checksum of all of the above: XXH3-64, seeded with the identity of the store |

use twox_hash::XxHash3_64;

/// First bytes of each frame.
pub(crate) const MAGIC: [u8; 3] = *b"CNT";

/// Length of what comes before a payload, in bytes.
pub(crate) const HEAD_BYTES: usize = 32;

/// Length of all of a frame but the payload, in bytes.
pub(crate) const OVERHEAD_BYTES: usize = HEAD_BYTES + 8;

/// Maximum length of a payload, in bytes.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 4 << 20;

/// The role of a frame in its round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(u8);

impl Flags {
    /// No meaning of its own.
    pub(crate) const NONE: Self = Self(0);
    /// Begins a round. What came before without a [`COMMIT`](Self::COMMIT) is void.
    pub(crate) const FIRST: Self = Self(1);
    /// Makes the round count that it ends.
    pub(crate) const COMMIT: Self = Self(2);
    /// With a `COMMIT`: the round holds the whole state, and nothing before it matters.
    pub(crate) const COMPLETE: Self = Self(4);
    /// Begins a file.
    pub(crate) const HEADER: Self = Self(8);

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Place in a chain of frames: a sequence number and the checksum of that frame. The default comes before all frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tip {
    pub(crate) sequence: u64,
    pub(crate) checksum: u64,
}

/// Frame whose checksum is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) flags: Flags,
    pub(crate) sequence: u64,
    pub(crate) durable: u64,
    pub(crate) predecessor: u64,
    pub(crate) payload: &'a [u8],
    pub(crate) checksum: u64,
}

impl Frame<'_> {
    /// Returns the length of the frame in bytes.
    pub(crate) const fn len_bytes(&self) -> usize {
        OVERHEAD_BYTES + self.payload.len()
    }

    /// Returns the place of the frame.
    pub(crate) const fn tip(&self) -> Tip {
        Tip { sequence: self.sequence, checksum: self.checksum }
    }

    /// Returns the place in front of the frame.
    pub(crate) const fn before(&self) -> Tip {
        Tip { sequence: self.sequence.wrapping_sub(1), checksum: self.predecessor }
    }
}

/// Replaces the contents of a buffer with a frame, and returns the frame's place.
///
/// # Panics
/// If the payload is longer than [`MAX_PAYLOAD_BYTES`].
pub(crate) fn write(
    into: &mut Vec<u8>,
    seed: u64,
    flags: Flags,
    after: Tip,
    durable: u64,
    payload: &[u8],
) -> Tip {
    assert!(payload.len() <= MAX_PAYLOAD_BYTES, "a payload is bounded");
    let len = u32::try_from(payload.len()).expect("it is bounded");
    let sequence = after.sequence + 1;
    into.clear();
    into.reserve(OVERHEAD_BYTES + payload.len());
    into.extend_from_slice(&MAGIC);
    into.push(flags.0);
    into.extend_from_slice(&len.to_le_bytes());
    for number in [sequence, durable, after.checksum] {
        into.extend_from_slice(&number.to_le_bytes());
    }
    into.extend_from_slice(payload);
    let checksum = checksum(seed, into);
    into.extend_from_slice(&checksum.to_le_bytes());
    Tip { sequence, checksum }
}

/// Returns the length of the frame that begins with this head, if it is one.
pub(crate) fn len_bytes(head: &[u8; HEAD_BYTES]) -> Option<usize> {
    let payload = usize::try_from(u32::from_le_bytes([head[4], head[5], head[6], head[7]])).ok()?;
    (head.starts_with(&MAGIC) && payload <= MAX_PAYLOAD_BYTES).then_some(OVERHEAD_BYTES + payload)
}

/// Returns the frame that these bytes begin with, if there is one and its checksum is right.
pub(crate) fn read(bytes: &[u8], seed: u64) -> Option<Frame<'_>> {
    let (head, _) = bytes.split_first_chunk()?;
    let (frame, _) = bytes.split_at_checked(len_bytes(head)?)?;
    let (sealed, expected) = frame.split_last_chunk()?;
    let checksum = checksum(seed, sealed);
    if checksum != u64::from_le_bytes(*expected) {
        return None;
    }
    let number = |at: usize| {
        let bytes = head[at..at + 8].try_into().expect("8 bytes");
        u64::from_le_bytes(bytes)
    };
    Some(Frame {
        flags: Flags(head[3]),
        sequence: number(8),
        durable: number(16),
        predecessor: number(24),
        payload: &sealed[HEAD_BYTES..],
        checksum,
    })
}

/// Returns the checksum of these bytes.
pub(crate) fn checksum(seed: u64, bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(seed, bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AFTER: Tip = Tip { sequence: 6, checksum: 99 };

    fn frame(payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, 3, Flags::FIRST.and(Flags::COMMIT), AFTER, 5, payload);
        bytes
    }

    proptest! {
        #[test]
        fn a_frame_survives_whatever_comes_behind_it(payload: Vec<u8>, behind: Vec<u8>) {
            let mut bytes = frame(&payload);
            let len = bytes.len();
            bytes.extend(behind);
            let read = read(&bytes, 3).unwrap();
            prop_assert_eq!((read.len_bytes(), read.payload, read.durable), (len, &payload[..], 5));
            prop_assert_eq!((read.before(), read.tip().sequence), (AFTER, 7));
            prop_assert!(read.flags.has(Flags::COMMIT) && !read.flags.has(Flags::COMPLETE));
        }
    }

    #[test]
    fn a_frame_with_any_bit_flipped_or_cut_anywhere_is_none() {
        let whole = frame(b"payload");
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                assert_eq!(read(&bytes, 3), None, "byte {at}, bit {bit}");
            }
            assert_eq!(read(&whole[..at], 3), None, "cut at {at}");
        }
    }

    #[test]
    fn a_frame_of_another_store_is_none() {
        assert_eq!(read(&frame(b"payload"), 4), None);
    }
}
