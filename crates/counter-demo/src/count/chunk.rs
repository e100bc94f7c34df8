//! Cuts input into pieces that can be counted each by itself, wherever a line is so long that it cannot be held.

use std::io::{self, ErrorKind, Read};
use std::mem;

use memchr::{memchr, memchr_iter, memrchr};

use super::split::Part;

/// Size of a read, and of a piece while all workers are busy. Longer than any name.
const CHUNK_BYTES: usize = 256 * 1024;

/// Lines, of which the first may have begun in the piece before, and the last may go on in the next: but each name is
/// in one piece.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) bytes: Vec<u8>,
    /// Number of fields of its first line that are left out; never more than there are before the one that is a name.
    pub(super) fields_before: usize,
}

/// Reader that cuts its input into pieces.
#[derive(Debug)]
pub(super) struct Chunker<R> {
    input: R,
    part: Part,
    chunk_bytes: usize,
    /// Bytes that have been read and are in no piece.
    pending: Piece,
    /// Set while something of the line in `pending` is left out.
    within_line: bool,
    /// Set while the rest of that line is not needed.
    skips_line: bool,
}

impl<R: Read> Chunker<R> {
    pub(super) fn new(input: R, part: Part) -> Self {
        Self::with_size(input, part, CHUNK_BYTES)
    }

    fn with_size(input: R, part: Part, chunk_bytes: usize) -> Self {
        Self { input, part, chunk_bytes, pending: Piece::default(), within_line: false, skips_line: false }
    }

    /// Returns the next piece, or `None` at the end of the input. A piece grows until a worker waits for it: so lines
    /// of a slow writer are not held back, and those of a fast one make large pieces.
    pub(super) fn next(&mut self, is_awaited: impl Fn() -> bool) -> io::Result<Option<Piece>> {
        loop {
            if self.read()? == 0 {
                return Ok(self.last());
            }
            let bytes = &self.pending.bytes;
            if bytes.len() < self.chunk_bytes && !is_awaited() {
                continue;
            }
            let whole = match memrchr(b'\n', bytes) {
                Some(newline) => newline + 1,
                None if bytes.len() <= self.chunk_bytes => continue,
                None => match self.part {
                    Part::Field(n, delimiter) => {
                        self.leave_fields_out(n, delimiter);
                        if self.pending.bytes.len() <= self.chunk_bytes {
                            continue;
                        }
                        self.pending.bytes.len()
                    }
                    // White space separates words wherever it stands.
                    Part::Words => {
                        bytes.iter().rposition(u8::is_ascii_whitespace).map_or(bytes.len(), |at| at + 1)
                    }
                    // The name is too long, which is reported when the line is split.
                    Part::Line | Part::BeforeAmount => bytes.len(),
                },
            };
            return Ok(Some(self.split_off(whole)));
        }
    }

    /// Reads once, and returns the number of bytes; 0 is the end of the input.
    fn read(&mut self) -> io::Result<usize> {
        let bytes = &mut self.pending.bytes;
        let begun = bytes.len();
        bytes.resize(begun + self.chunk_bytes, 0);
        let read = loop {
            match self.input.read(&mut bytes[begun..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        bytes.truncate(begun + read);
        if self.skips_line {
            match memchr(b'\n', &bytes[begun..]) {
                Some(newline) => {
                    bytes.drain(begun..begun + newline);
                    self.skips_line = false;
                }
                None => bytes.truncate(begun),
            }
        }
        Ok(read)
    }

    /// Returns the rest at the end of the input.
    fn last(&mut self) -> Option<Piece> {
        if self.pending.bytes.is_empty() && self.within_line {
            // Nothing is needed of the last line, but that there is one.
            self.pending.bytes.push(b'\n');
        }
        (self.within_line, self.skips_line) = (false, false);
        let last = mem::take(&mut self.pending);
        (!last.bytes.is_empty()).then_some(last)
    }

    fn split_off(&mut self, whole: usize) -> Piece {
        let rest = self.pending.bytes[whole..].to_vec();
        self.pending.bytes.truncate(whole);
        self.within_line = false;
        mem::replace(&mut self.pending, Piece { bytes: rest, fields_before: 0 })
    }

    /// Drops fields of the pending line, of which only the nth is needed.
    fn leave_fields_out(&mut self, n: usize, delimiter: u8) {
        let Piece { bytes, fields_before } = &mut self.pending;
        self.within_line = true;
        let missing = n - *fields_before;
        let mut ends = memchr_iter(delimiter, bytes);
        let (mut begun, mut left_out) = (0, 0);
        while left_out < missing
            && let Some(end) = ends.next()
        {
            (begun, left_out) = (end + 1, left_out + 1);
        }
        let end = ends.next();
        *fields_before += left_out;
        if left_out < missing {
            bytes.clear();
            return;
        }
        if let Some(end) = end {
            bytes.truncate(end);
            self.skips_line = true;
        }
        bytes.drain(..begun);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::split::Split;
    use super::*;

    /// Reader of at most the given number of bytes at a time.
    struct Trickle<'a>(&'a [u8], usize);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = buffer.len().min(self.1);
            self.0.read(&mut buffer[..most])
        }
    }

    fn pieces(input: impl Read, part: Part, chunk_bytes: usize, is_awaited: bool) -> Vec<Piece> {
        let mut chunker = Chunker::with_size(input, part, chunk_bytes);
        std::iter::from_fn(|| chunker.next(|| is_awaited).unwrap()).collect()
    }

    fn names(pieces: Vec<Piece>, part: Part) -> Vec<Vec<u8>> {
        let (mut names, split) = (Vec::new(), Split { part, ignore_case: false });
        for mut piece in pieces {
            split.each(&mut piece, |bytes, len, _amount| names.push(bytes[..len].to_vec())).unwrap();
        }
        names
    }

    fn whole(bytes: &[u8]) -> Vec<Piece> {
        vec![Piece { bytes: bytes.to_vec(), fields_before: 0 }]
    }

    proptest! {
        #[test]
        fn pieces_are_whole_lines_and_all_of_the_input(
            lines in prop::collection::vec("[a-c]{0,5}", 0..20),
            ended: bool,
            at_a_time in 1..20_usize,
            is_awaited: bool,
        ) {
            let mut bytes = lines.join("\n").into_bytes();
            if ended {
                bytes.push(b'\n');
            }
            let pieces = pieces(Trickle(&bytes, at_a_time), Part::Line, 16, is_awaited);
            prop_assert_eq!(pieces.iter().flat_map(|piece| &piece.bytes).copied().collect::<Vec<_>>(), bytes);
            for piece in pieces.iter().rev().skip(1) {
                prop_assert_eq!(piece.bytes.last(), Some(&b'\n'));
            }
        }

        #[test]
        fn names_do_not_depend_on_where_lines_are_cut(
            lines in prop::collection::vec(prop::collection::vec("[a-b]{0,6}[ ,]", 0..30), 0..6),
            last in "[a-b]{0,6}",
            at_a_time in 1..40_usize,
            chunk_bytes in 8..40_usize,
            field in 0..25_usize,
            is_awaited: bool,
        ) {
            let lines: Vec<_> = lines.into_iter().map(|fields| fields.concat()).collect();
            let bytes = [&lines.join("\n"), &*last].concat().into_bytes();
            for part in [Part::Words, Part::Field(field, b','), Part::Field(field, b' ')] {
                let expected = names(whole(&bytes), part);
                // A chunk is longer than any name that is not refused.
                let chunk_bytes = expected.iter().map(Vec::len).fold(chunk_bytes, usize::max);
                let pieces = pieces(Trickle(&bytes, at_a_time), part, chunk_bytes, is_awaited);
                prop_assert!(pieces.iter().all(|piece| piece.bytes.len() < 3 * chunk_bytes));
                prop_assert_eq!(names(pieces, part), expected);
            }
        }
    }

    #[test]
    fn lines_are_handed_on_as_soon_as_a_worker_waits_for_them() {
        let read = |is_awaited| {
            let pieces = pieces(Trickle(b"a\nbc\nd", 3), Part::Line, 16, is_awaited);
            pieces.into_iter().map(|piece| piece.bytes).collect::<Vec<_>>()
        };
        assert_eq!(read(true), [&b"a\n"[..], b"bc\n", b"d"]);
        assert_eq!(read(false), [b"a\nbc\nd"]);
    }

    #[test]
    fn an_endless_line_does_not_fill_the_memory() {
        for part in [Part::Line, Part::Words, Part::BeforeAmount, Part::Field(0, b','), Part::Field(7, b',')]
        {
            let pieces = pieces(io::repeat(b'x').take(5_000_000), part, CHUNK_BYTES, true);
            assert!(pieces.iter().all(|piece| piece.bytes.len() <= 2 * CHUNK_BYTES), "{part:?}");
        }
    }
}
