//! Search for newlines, 64 bytes at a time. Pure.

use wide::u8x16;

/// Bytes that are examined together: a bit of the mask for each.
const BLOCK_BYTES: usize = u64::BITS as usize;

/// Iterator over the positions of the newlines in some bytes.
///
/// Lines to be counted are short, so a search that starts again behind each newline spends most of its time on
/// starting. This one makes a mask of 64 bytes at once, in a time that does not depend on what is in them.
#[derive(Debug)]
pub(super) struct Newlines<'a> {
    /// Newlines of the current block that have not been returned.
    mask: u64,
    /// Position of the current block.
    begun: usize,
    /// Bytes behind it.
    rest: &'a [u8],
}

impl<'a> Newlines<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        // As if an empty block came before the first.
        Self { mask: 0, begun: 0_usize.wrapping_sub(BLOCK_BYTES), rest: bytes }
    }
}

impl Iterator for Newlines<'_> {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        while self.mask == 0 {
            self.begun = self.begun.wrapping_add(BLOCK_BYTES);
            if let Some((block, rest)) = self.rest.split_first_chunk() {
                (self.mask, self.rest) = (newline_mask(block), rest);
            } else if self.rest.is_empty() {
                return None;
            } else {
                let mut block = [0; BLOCK_BYTES];
                block[..self.rest.len()].copy_from_slice(self.rest);
                (self.mask, self.rest) = (newline_mask(&block), &[]);
            }
        }
        let end = self.begun + self.mask.trailing_zeros() as usize;
        self.mask &= self.mask - 1;
        Some(end)
    }
}

/// Mask with a bit for each byte that is a newline.
#[inline]
fn newline_mask(block: &[u8; BLOCK_BYTES]) -> u64 {
    let (parts, _) = block.as_chunks::<16>();
    let newlines = |part: &[u8; 16]| u8x16::new(*part).simd_eq(u8x16::splat(b'\n')).to_bitmask();
    parts.iter().rev().fold(0, |mask, part| mask << 16 | u64::from(newlines(part)))
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
            prop_assert_eq!(Newlines::new(&bytes).collect::<Vec<_>>(), expected);
        }
    }
}
