//! What one line of input says. Pure.

use std::fmt;

/// The longest line, without its newline.
pub(super) const MAX_LINE_BYTES: usize = 64 * 1024;

/// A counter's name and the amount to add.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) name: &'a [u8],
    pub(super) amount: i64,
}

/// Why a line says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadLine {
    TooLong,
    NoAmount,
    BadAmount,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "expected a line of at most {MAX_LINE_BYTES} bytes"),
            Self::NoAmount => f.write_str("expected a name, a tab and an amount"),
            Self::BadAmount => {
                write!(f, "expected a whole number from {} to {} after the last tab", i64::MIN, i64::MAX)
            }
        }
    }
}

impl<'a> Record<'a> {
    /// Reads a line without its newline.
    pub(super) fn parse(line: &'a [u8], with_amount: bool) -> Result<Self, BadLine> {
        if line.len() > MAX_LINE_BYTES {
            return Err(BadLine::TooLong);
        }
        if !with_amount {
            return Ok(Self { name: line, amount: 1 });
        }
        let tab = line.iter().rposition(|&byte| byte == b'\t').ok_or(BadLine::NoAmount)?;
        let amount = str::from_utf8(&line[tab + 1..]).ok().and_then(|text| text.parse().ok());
        Ok(Self { name: &line[..tab], amount: amount.ok_or(BadLine::BadAmount)? })
    }
}

/// The lines of some bytes, without their newlines; the last one may lack its own.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\n").unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_name_as_it_stands() {
        for line in [&b""[..], b" padded ", b"a\tb", b"\xff\0\r"] {
            assert_eq!(Record::parse(line, false), Ok(Record { name: line, amount: 1 }));
        }
    }

    #[test]
    fn the_amount_is_what_follows_the_last_tab() {
        for (line, name, amount) in [
            (&b"a\t5"[..], &b"a"[..], 5),
            (b"a\tb\t-7", b"a\tb", -7),
            (b"\t+0", b"", 0),
            (b"a\t-9223372036854775808", b"a", i64::MIN),
        ] {
            assert_eq!(Record::parse(line, true), Ok(Record { name, amount }));
        }
    }

    #[test]
    fn what_is_not_an_amount_is_refused() {
        assert_eq!(Record::parse(b"a 5", true), Err(BadLine::NoAmount));
        for line in [&b"a\t"[..], b"a\t5 ", b"a\t1.5", b"a\t9223372036854775808", b"a\t\xff", b"a\t5\r"] {
            assert_eq!(Record::parse(line, true), Err(BadLine::BadAmount));
        }
    }

    #[test]
    fn a_line_may_be_as_long_as_the_limit_and_no_longer() {
        let line = vec![b'x'; MAX_LINE_BYTES + 1];
        assert!(Record::parse(&line[1..], false).is_ok());
        assert_eq!(Record::parse(&line, false), Err(BadLine::TooLong));
    }

    #[test]
    fn empty_lines_are_lines_and_the_end_is_not() {
        assert_eq!(lines(b"a\n\nb").collect::<Vec<_>>(), [&b"a"[..], b"", b"b"]);
        assert_eq!(lines(b"\n").collect::<Vec<_>>(), [b""]);
        assert_eq!(lines(b"").count(), 0);
    }
}
