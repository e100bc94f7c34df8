//! Lines of standard input, read in bounded memory whatever their length.

use std::io::{self, BufRead, Read};

use tokio::sync::mpsc;

/// Maximum size of the lines that are read ahead; then the reading thread waits.
const BYTES_AHEAD: usize = 64 * 1024 * 1024;

/// One line, without its newline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Whole line.
    Whole(Vec<u8>),
    /// Line above the limit, of which nothing is kept.
    TooLong,
}

/// Reads the standard input on a thread of its own, which ends with the process while it waits for input.
pub(crate) fn read_lines(max_bytes: usize) -> mpsc::Receiver<io::Result<Line>> {
    let (sender, receiver) = mpsc::channel(BYTES_AHEAD / max_bytes);
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        while let Some(line) = read_line(&mut input, max_bytes).transpose() {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Reads the next line, and skips it if it has more than `max_bytes`. `None` at the end of the input.
fn read_line(input: &mut impl BufRead, max_bytes: usize) -> io::Result<Option<Line>> {
    let mut line = Vec::new();
    let read = input.by_ref().take(max_bytes as u64 + 1).read_until(b'\n', &mut line)?;
    if line.pop_if(|last| *last == b'\n').is_some() || (1..=max_bytes).contains(&read) {
        return Ok(Some(Line::Whole(line)));
    }
    if read == 0 {
        return Ok(None);
    }
    input.skip_until(b'\n')?;
    Ok(Some(Line::TooLong))
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use proptest::prelude::*;

    use super::*;

    fn all_lines(input: &[u8], max_bytes: usize) -> Vec<Line> {
        // A small buffer, so that lines span several.
        let mut input = BufReader::with_capacity(3, input);
        std::iter::from_fn(|| read_line(&mut input, max_bytes).unwrap()).collect()
    }

    #[test]
    fn a_line_of_the_greatest_length_is_read_whole_and_one_byte_more_is_skipped() {
        let whole = |line: &[u8]| Line::Whole(line.to_vec());
        assert_eq!(
            all_lines(b"abcd\nabcde\n\nab", 4),
            [whole(b"abcd"), Line::TooLong, whole(b""), whole(b"ab")]
        );
        assert_eq!(all_lines(b"abcd", 4), [whole(b"abcd")]);
        assert_eq!(all_lines(b"abcdefgh", 4), [Line::TooLong]);
        assert_eq!(all_lines(b"", 4), []);
    }

    proptest! {
        #[test]
        fn it_agrees_with_split(input in "[ab\n]{0,40}", max_bytes in 1..6_usize) {
            let mut expected: Vec<_> = input.split('\n').collect();
            expected.pop_if(|last| last.is_empty());
            let line = |line: &str| match line.len() {
                length if length <= max_bytes => Line::Whole(line.into()),
                _ => Line::TooLong,
            };
            let expected: Vec<_> = expected.into_iter().map(line).collect();
            prop_assert_eq!(all_lines(input.as_bytes(), max_bytes), expected);
        }
    }
}
