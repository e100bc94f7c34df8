//! Parsers of arguments and input lines. Their errors say what was expected.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use memchr::memrchr;

/// Parses a duration such as `10ms` or `1h 30m`.
///
/// # Errors
/// A message for anything else.
pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| error.to_string())
}

/// Parses a duration above zero.
///
/// # Errors
/// A message for anything else.
pub fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("expected a duration above zero".into()),
        duration => Ok(duration),
    }
}

/// Returns a parser of whole numbers within a range, for clap's `value_parser`.
///
/// ```
/// let percentage = counter_cli::parse::whole_number(0..=100_u8);
/// assert_eq!(percentage("42"), Ok(42));
/// assert_eq!(percentage("101"), Err("expected a whole number from 0 to 100".into()));
/// ```
pub fn whole_number<T>(
    range: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: FromStr + PartialOrd + Display + Clone + Send + Sync + 'static,
{
    move |text| match text.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(format!("expected a whole number from {} to {}", range.start(), range.end())),
    }
}

/// Parses a signed amount of 64 bits in decimal. `None` for anything else, also for white space around it.
#[must_use]
pub fn amount(text: &[u8]) -> Option<i64> {
    str::from_utf8(text).ok()?.parse().ok()
}

/// Splits a line, which has no newline, at its last tab: into the name before it, and the text of an amount behind it.
/// `None` if there is no tab.
#[must_use]
#[inline]
pub fn name_and_amount(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let tab = memrchr(b'\t', line)?;
    Some((&line[..tab], &line[tab + 1..]))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU8;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_have_units_and_may_have_to_be_above_zero() {
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        assert_eq!(positive_duration("1m 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(positive_duration("0ms"), Err("expected a duration above zero".into()));
        assert!(positive_duration("10").is_err());
    }

    #[test]
    fn numbers_outside_of_their_range_are_refused_with_the_range() {
        let small = whole_number(2..=9_u8);
        assert_eq!((small("2"), small("9")), (Ok(2), Ok(9)));
        for text in ["1", "10", "-3", "three", "", "300"] {
            assert_eq!(small(text), Err("expected a whole number from 2 to 9".into()), "{text}");
        }
        let positive = whole_number(NonZeroU8::MIN..=NonZeroU8::MAX);
        assert_eq!(positive("0"), Err("expected a whole number from 1 to 255".into()));
    }

    #[test]
    fn an_amount_is_a_whole_number_of_64_bits_and_nothing_else() {
        assert_eq!(amount(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(amount(b"+0"), Some(0));
        for text in [&b""[..], b"5 ", b"1.5", b"9223372036854775808", b"\xff", b"5\r"] {
            assert_eq!(amount(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_amount_of_a_line_is_behind_its_last_tab() {
        assert_eq!(name_and_amount(b"a\tb\t5"), Some((&b"a\tb"[..], &b"5"[..])));
        assert_eq!(name_and_amount(b"\t"), Some((&b""[..], &b""[..])));
        assert_eq!(name_and_amount(b"a 5"), None);
    }

    proptest! {
        #[test]
        fn a_line_is_what_its_name_and_amount_are_joined_to(name: Vec<u8>, number: i64) {
            let line = [&name[..], b"\t", number.to_string().as_bytes()].concat();
            let (before, behind) = name_and_amount(&line).unwrap();
            prop_assert_eq!((before, amount(behind)), (&name[..], Some(number)));
        }
    }
}
