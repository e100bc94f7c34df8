//! Lines of a stream, of bounded length. Pure.

use memchr::{memchr, memrchr};

/// Maximum length of a line, in bytes. It is above that of any datagram.
pub(crate) const MAX_LINE_BYTES: usize = 64 * 1024;

/// Input of a stream, of which complete lines are taken.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    input: Vec<u8>,
    /// Number of bytes that were taken.
    taken: usize,
    /// True behind the beginning of a line that is too long.
    is_skipping: bool,
}

impl Lines {
    /// Makes room for more input and returns it, so that the input can be read into it.
    pub(crate) fn input(&mut self) -> &mut Vec<u8> {
        self.input.drain(..self.taken);
        self.taken = 0;
        &mut self.input
    }

    /// Returns the lines that are complete, with their newlines, and the number of lines that were too long.
    pub(crate) fn take(&mut self) -> (&[u8], u64) {
        let mut start = 0;
        if self.is_skipping {
            match memchr(b'\n', &self.input) {
                Some(newline) => (self.is_skipping, start) = (false, newline + 1),
                None => start = self.input.len(),
            }
        }
        let end = memrchr(b'\n', &self.input[start..]).map_or(start, |newline| start + newline + 1);
        self.taken = end;
        let mut too_long = 0;
        if self.input.len() - end > MAX_LINE_BYTES {
            (self.is_skipping, self.taken, too_long) = (true, self.input.len(), 1);
        }
        (&self.input[start..end], too_long)
    }

    /// Returns true if a line has begun and not ended.
    pub(crate) fn is_incomplete(&self) -> bool {
        !self.is_skipping && self.taken < self.input.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns the lines of input that arrives in pieces, and the number of those that were too long.
    fn lines(input: &[u8], piece: usize) -> (Vec<Vec<u8>>, u64) {
        let (mut lines, mut complete, mut all_too_long) = (Lines::default(), Vec::new(), 0);
        for piece in input.chunks(piece) {
            lines.input().extend_from_slice(piece);
            let (taken, too_long) = lines.take();
            complete.extend(taken.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec));
            all_too_long += too_long;
        }
        (complete, all_too_long)
    }

    #[test]
    fn a_line_that_is_too_long_is_left_out() {
        let long = [vec![b'x'; 3 * MAX_LINE_BYTES], b"\nshort\nopen".to_vec()].concat();
        assert_eq!(lines(&long, 1000), (vec![b"short\n".to_vec()], 1));
    }

    #[test]
    fn an_open_line_is_known() {
        let mut lines = Lines::default();
        lines.input().extend_from_slice(b"a\nb");
        assert_eq!(lines.take(), (&b"a\n"[..], 0));
        assert!(lines.is_incomplete());
        lines.input().extend_from_slice(b"c\n");
        assert_eq!(lines.take(), (&b"bc\n"[..], 0));
        assert!(!lines.is_incomplete());
    }

    proptest! {
        #[test]
        fn lines_are_the_same_wherever_the_input_is_split(input in "[ab\n]{0,60}", piece in 1..20_usize) {
            let complete: Vec<_> =
                input.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(|line| line.as_bytes().to_vec()).collect();
            prop_assert_eq!(lines(input.as_bytes(), piece), (complete, 0));
        }
    }
}
