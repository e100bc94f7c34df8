//! Names and amounts in the lines of a chunk. Pure.

use std::fmt;
use std::mem;

use counter_cli::parse;
use counter_protocol::CounterName;

use super::chunk::Piece;
use super::newlines::Newlines;
use crate::cli::CountArguments;

/// Rule by which names and amounts are found in lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Split {
    pub(super) part: Part,
    pub(super) ignore_case: bool,
}

/// Part of a line that is a name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    /// Whole line.
    Line,
    /// Each word.
    Words,
    /// Field at an index, between delimiters.
    Field(usize, u8),
    /// Text before the last tab; after it comes the amount.
    BeforeAmount,
}

/// Maximum length of a line with an amount: the amount, which may begin with zeros, has as much room as the name.
const MAX_AMOUNT_LINE_BYTES: usize = 2 * CounterName::MAX_BYTES;

/// Reason why a line cannot be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadLine {
    NameTooLong,
    AmountTooLong,
    NoAmount,
    BadAmount,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameTooLong => write!(f, "expected a name of at most {} bytes", CounterName::MAX_BYTES),
            Self::AmountTooLong => {
                write!(f, "expected a name and an amount of at most {MAX_AMOUNT_LINE_BYTES} bytes")
            }
            Self::NoAmount => f.write_str("expected a name, a tab and an amount"),
            Self::BadAmount => {
                write!(f, "expected a whole number from {} to {} after the last tab", i64::MIN, i64::MAX)
            }
        }
    }
}

impl From<&CountArguments> for Split {
    fn from(arguments: &CountArguments) -> Self {
        let part = match arguments.field {
            Some(field) => Part::Field(field.get() - 1, arguments.delimiter),
            None if arguments.words => Part::Words,
            None if arguments.amounts => Part::BeforeAmount,
            None => Part::Line,
        };
        Self { part, ignore_case: arguments.ignore_case }
    }
}

impl Split {
    /// Calls `show` for each name, with bytes that begin with it, its length, and its amount. If case is to be ignored,
    /// upper case letters are replaced.
    ///
    /// # Errors
    /// The first line that cannot be counted, by its number from 0. `show` was called for those before it.
    pub(super) fn each<'a>(
        self,
        piece: &'a mut Piece,
        mut show: impl FnMut(&'a [u8], usize, i64),
    ) -> Result<(), (u64, BadLine)> {
        let Piece { bytes, fields_before } = piece;
        if self.ignore_case {
            self.lower(bytes);
        }
        let mut name = |bytes, len, amount| {
            if CounterName::check_len(len).is_err() {
                return Err(BadLine::NameTooLong);
            }
            show(bytes, len, amount);
            Ok(())
        };
        // A loop for each kind, which then need not ask in every line which it is.
        match self.part {
            Part::Line => lines(bytes, |bytes, len| name(bytes, len, 1)),
            Part::Words => lines(bytes, |bytes, len| {
                let mut begun = 0;
                for word in bytes[..len].split(u8::is_ascii_whitespace) {
                    if !word.is_empty() {
                        name(&bytes[begun..], word.len(), 1)?;
                    }
                    begun += word.len() + 1;
                }
                Ok(())
            }),
            Part::Field(n, delimiter) => {
                let mut left_out = mem::take(fields_before);
                lines(bytes, |bytes, len| {
                    let mut fields = bytes[..len].split(|&byte| byte == delimiter);
                    let before = n - mem::take(&mut left_out);
                    let begun: usize = fields.by_ref().take(before).map(|field| field.len() + 1).sum();
                    let field = fields.next().unwrap_or_default();
                    name(bytes.get(begun..).unwrap_or_default(), field.len(), 1)
                })
            }
            Part::BeforeAmount => lines(bytes, |bytes, len| {
                if len > MAX_AMOUNT_LINE_BYTES {
                    return Err(BadLine::AmountTooLong);
                }
                let (before, behind) = parse::name_and_amount(&bytes[..len]).ok_or(BadLine::NoAmount)?;
                name(bytes, before.len(), parse::amount(behind).ok_or(BadLine::BadAmount)?)
            }),
        }
    }

    /// Replaces upper case letters, but for the delimiter.
    fn lower(self, bytes: &mut [u8]) {
        match self.part {
            Part::Field(_, delimiter) if delimiter.is_ascii_uppercase() => {
                bytes
                    .iter_mut()
                    .filter(|byte| **byte != delimiter)
                    .for_each(|byte| byte.make_ascii_lowercase());
            }
            _ => bytes.make_ascii_lowercase(),
        }
    }
}

/// Calls `show` for each line, with bytes that begin with it and its length.
#[inline]
fn lines<'a>(
    bytes: &'a [u8],
    mut show: impl FnMut(&'a [u8], usize) -> Result<(), BadLine>,
) -> Result<(), (u64, BadLine)> {
    let (mut begun, mut number) = (0, 0);
    for end in Newlines::new(bytes) {
        show(&bytes[begun..], end - begun).map_err(|bad| (number, bad))?;
        (begun, number) = (end + 1, number + 1);
    }
    if begun < bytes.len() {
        show(&bytes[begun..], bytes.len() - begun).map_err(|bad| (number, bad))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(part: Part, bytes: &[u8]) -> Result<Vec<(String, i64)>, (u64, BadLine)> {
        let mut shown = Vec::new();
        let split = Split { part, ignore_case: false };
        split.each(&mut piece(bytes), |name, len, amount| {
            shown.push((name[..len].escape_ascii().to_string(), amount))
        })?;
        Ok(shown)
    }

    fn piece(bytes: &[u8]) -> Piece {
        Piece { bytes: bytes.to_vec(), fields_before: 0 }
    }

    fn names(part: Part, bytes: &[u8]) -> Vec<String> {
        split(part, bytes).unwrap().into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn a_line_is_a_name_as_it_stands() {
        assert_eq!(
            names(Part::Line, b" padded \n\na\tb\n\xff\0\r"),
            [" padded ", "", r"a\tb", r"\xff\x00\r"]
        );
        assert_eq!(names(Part::Line, b"\n"), [""]);
        assert!(names(Part::Line, b"").is_empty());
    }

    #[test]
    fn words_are_split_at_white_space_of_any_kind() {
        assert_eq!(names(Part::Words, b"  a b\t\tc\r\n\n d"), ["a", "b", "c", "d"]);
    }

    #[test]
    fn a_field_that_is_not_there_is_empty() {
        assert_eq!(names(Part::Field(1, b','), b"a,b,c\na\n,b\n"), ["b", "", "b"]);
    }

    #[test]
    fn the_amount_is_what_follows_the_last_tab() {
        let shown = split(Part::BeforeAmount, b"a\t5\na\tb\t-7\n\t+0\na\t-9223372036854775808");
        let expected = [("a", 5), (r"a\tb", -7), ("", 0), ("a", i64::MIN)];
        assert_eq!(shown.unwrap(), expected.map(|(name, amount)| (name.to_owned(), amount)));
    }

    #[test]
    fn a_line_that_cannot_be_counted_is_named_by_its_number() {
        assert_eq!(split(Part::BeforeAmount, b"a\t1\na 5\n"), Err((1, BadLine::NoAmount)));
        for amount in [&b""[..], b"5 ", b"1.5", b"9223372036854775808", b"\xff", b"5\r"] {
            let line = [b"a\t", amount].concat();
            assert_eq!(split(Part::BeforeAmount, &line), Err((0, BadLine::BadAmount)));
        }
        let zeros = [b"a\t", &[b'0'; MAX_AMOUNT_LINE_BYTES][..]].concat();
        assert_eq!(split(Part::BeforeAmount, &zeros), Err((0, BadLine::AmountTooLong)));
    }

    #[test]
    fn names_are_limited_and_lines_are_not() {
        let long = vec![b'x'; CounterName::MAX_BYTES + 1];
        let short = &long[1..];
        assert_eq!(split(Part::Line, &[b"a\nb\n", &long[..]].concat()), Err((2, BadLine::NameTooLong)));
        assert_eq!(split(Part::Words, &[b"a\nb ", &long[..]].concat()), Err((1, BadLine::NameTooLong)));
        assert_eq!(split(Part::Field(1, b','), &[b"a,", &long[..]].concat()), Err((0, BadLine::NameTooLong)));
        assert_eq!(split(Part::BeforeAmount, &[&long[..], b"\t1"].concat()), Err((0, BadLine::NameTooLong)));
        assert!(split(Part::Line, short).is_ok());
        assert!(split(Part::BeforeAmount, &[short, b"\t1"].concat()).is_ok());
        assert_eq!(names(Part::Words, &[short, b" ", short].concat()).len(), 2);
        assert_eq!(names(Part::Field(1, b','), &[&long[..], b",a,", &long].concat()), ["a"]);
    }

    #[test]
    fn case_is_ignored_in_ascii_only() {
        let lower = |part, bytes: &[u8]| {
            let (mut shown, mut piece) = (Vec::new(), piece(bytes));
            let split = Split { part, ignore_case: true };
            split.each(&mut piece, |name, len, _| shown.push(name[..len].to_vec())).unwrap();
            shown
        };
        assert_eq!(lower(Part::Line, "aB\nÄb".as_bytes()), ["ab".as_bytes(), "Äb".as_bytes()]);
        assert_eq!(lower(Part::Field(1, b'X'), b"axbXCxD"), [b"cxd"], "a delimiter is what it is");
    }
}
