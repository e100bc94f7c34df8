//! Finds the ends of lines, 64 bytes at a time. Pure.

/// How much is looked at together: a bit for each byte.
const BLOCK_BYTES: usize = u64::BITS as usize;

/// Where the newlines are in some bytes, in order.
///
/// Lines to be counted are short, so a search that begins anew behind each newline spends most of its time on beginning.
/// This one makes a mask of 64 bytes at once, and how long that takes does not depend on what is in them.
#[derive(Debug)]
pub(super) struct Ends<'a> {
    /// Newlines of the present block that have not been shown.
    mask: u64,
    /// Where the present block begins.
    begun: usize,
    /// What is behind it.
    rest: &'a [u8],
}

impl<'a> Ends<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        // As if an empty block came before the first.
        Self { mask: 0, begun: 0_usize.wrapping_sub(BLOCK_BYTES), rest: bytes }
    }
}

impl Iterator for Ends<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.mask == 0 {
            self.begun = self.begun.wrapping_add(BLOCK_BYTES);
            if let Some((block, rest)) = self.rest.split_first_chunk() {
                (self.mask, self.rest) = (newlines(block), rest);
            } else if self.rest.is_empty() {
                return None;
            } else {
                let mut block = [0; BLOCK_BYTES];
                block[..self.rest.len()].copy_from_slice(self.rest);
                (self.mask, self.rest) = (newlines(&block), &[]);
            }
        }
        let end = self.begun + self.mask.trailing_zeros() as usize;
        self.mask &= self.mask - 1;
        Some(end)
    }
}

/// A bit for each byte that is a newline.
#[inline]
fn newlines(block: &[u8; BLOCK_BYTES]) -> u64 {
    // First the bit that it has among its eight, which the compiler does for many bytes at once, then the sum of each eight.
    let mut bits = [0; BLOCK_BYTES];
    for (at, (bit, byte)) in bits.iter_mut().zip(block).enumerate() {
        *bit = if *byte == b'\n' { 1 << (at % 8) } else { 0 };
    }
    let (eights, _) = bits.as_chunks();
    let sum = |eight: &[u8; 8]| u64::from_le_bytes(*eight).wrapping_mul(u64::MAX / 0xff) >> 56;
    eights.iter().rev().fold(0, |mask, eight| mask << 8 | sum(eight))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_finds_every_newline_and_nothing_else(
            bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\n' | 0x80), 8..12_u8, any::<u8>()], 0..200),
        ) {
            let expected: Vec<_> = (0..bytes.len()).filter(|&at| bytes[at] == b'\n').collect();
            prop_assert_eq!(Ends::new(&bytes).collect::<Vec<_>>(), expected);
        }
    }
}
