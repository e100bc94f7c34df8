//! Numbers of clients: digits and nothing else. Pure.

use std::str::FromStr;

/// Returns the number that the digits are. Unlike [`str::parse`], refuses a sign.
pub(crate) fn number<T: FromStr>(digits: &[u8]) -> Option<T> {
    let is_number = digits.iter().all(u8::is_ascii_digit);
    str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()
}
