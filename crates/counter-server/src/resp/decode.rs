//! Decodes requests of the Redis protocol: arrays of bulk strings, and inline commands. Pure and incremental.

use std::ops::Range;

/// Maximum length of an inline command, of a length, and of the number of arguments, in bytes, as in Redis.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// Maximum number of arguments of a request, as in Redis.
const MAX_ARGUMENTS: usize = 1024 * 1024;

/// Decodes a stream of requests.
///
/// It keeps what it has understood of a request that is not complete, so that no argument is looked at twice.
#[derive(Debug)]
pub struct Decoder {
    max_request_bytes: usize,
    /// Arguments of the request so far, as ranges of its bytes.
    arguments: Vec<Range<usize>>,
    /// Number of arguments that are missing. `None` before the number is known.
    missing: Option<usize>,
    /// Number of bytes of the request that have been understood.
    position: usize,
    /// Arguments of an inline command, without their quotes.
    unquoted: Vec<u8>,
}

/// Complete request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    bytes: &'a [u8],
    arguments: &'a [Range<usize>],
    len_bytes: usize,
}

/// Input that is not the protocol, so that the beginning of the next request is unknown. The texts are those of Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The number of arguments is no number, or too large.
    #[error("Protocol error: invalid multibulk length")]
    InvalidCount,
    /// The line of the number of arguments does not end.
    #[error("Protocol error: too big mbulk count string")]
    CountTooLong,
    /// The length of an argument is no number, or too large.
    #[error("Protocol error: invalid bulk length")]
    InvalidLength,
    /// The line of the length of an argument does not end.
    #[error("Protocol error: too big bulk count string")]
    LengthTooLong,
    /// There is no length where one should be.
    #[error("Protocol error: expected '$', got '{}'", char::from(*.0))]
    NoLength(u8),
    /// An inline command does not end.
    #[error("Protocol error: too big inline request")]
    InlineTooLong,
    /// A quote of an inline command is not closed.
    #[error("Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
    /// The request as a whole is above the limit.
    #[error("Protocol error: request is longer than {0} bytes")]
    TooLong(usize),
}

impl<'a> Request<'a> {
    /// Returns the number of arguments, the name of the command included. It is 0 for an empty request.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.arguments.len()
    }

    /// Returns true if the request has no arguments, and so asks for nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.arguments.is_empty()
    }

    /// Returns the arguments, the name of the command first.
    pub fn arguments(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let bytes = self.bytes;
        self.arguments.iter().map(move |range| &bytes[range.clone()])
    }

    /// Returns an argument; that with index 0 is the name of the command.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        Some(&self.bytes[self.arguments.get(index)?.clone()])
    }

    /// Returns the number of bytes of input that the request takes.
    #[must_use]
    pub const fn len_bytes(&self) -> usize {
        self.len_bytes
    }
}

impl Decoder {
    /// Creates a decoder that refuses requests above a length.
    #[must_use]
    pub const fn new(max_request_bytes: usize) -> Self {
        Self { max_request_bytes, arguments: Vec::new(), missing: None, position: 0, unquoted: Vec::new() }
    }

    /// Decodes the first request of the input, if it is complete. The next call expects the input behind it; while it
    /// is incomplete, the same input with more behind it.
    ///
    /// # Errors
    /// [`ProtocolError`]; no further request can be decoded then.
    pub fn decode<'a>(&'a mut self, input: &'a [u8]) -> Result<Option<Request<'a>>, ProtocolError> {
        if self.position == 0 {
            self.arguments.clear();
        }
        match input.first() {
            None => Ok(None),
            Some(b'*') => self.array(input),
            Some(_) => self.inline(input),
        }
    }

    fn array<'a>(&'a mut self, input: &'a [u8]) -> Result<Option<Request<'a>>, ProtocolError> {
        let mut missing = match self.missing {
            Some(missing) => missing,
            None => {
                let Some((count, end)) = number(input, 1, ProtocolError::CountTooLong)? else {
                    return Ok(None);
                };
                let count = count.ok_or(ProtocolError::InvalidCount)?;
                // Redis ignores negative numbers.
                let count = usize::try_from(count).unwrap_or(0);
                if count > MAX_ARGUMENTS {
                    return Err(ProtocolError::InvalidCount);
                }
                self.position = end;
                count
            }
        };
        while missing > 0 {
            self.missing = Some(missing);
            if !self.bulk(input)? {
                return Ok(None);
            }
            missing -= 1;
        }
        self.missing = None;
        let len_bytes = std::mem::take(&mut self.position);
        Ok(Some(Request { bytes: input, arguments: &self.arguments, len_bytes }))
    }

    /// Decodes the next argument. Returns false if it is incomplete.
    fn bulk(&mut self, input: &[u8]) -> Result<bool, ProtocolError> {
        match input.get(self.position) {
            None => return self.check_len(input.len()).map(|()| false),
            Some(b'$') => {}
            Some(other) => return Err(ProtocolError::NoLength(*other)),
        }
        let start = match number(input, self.position + 1, ProtocolError::LengthTooLong)? {
            None => return Ok(false),
            Some((len, end)) => {
                let len = len.and_then(|len| usize::try_from(len).ok());
                let len = len.ok_or(ProtocolError::InvalidLength)?;
                if len > self.max_request_bytes {
                    return Err(ProtocolError::InvalidLength);
                }
                end..end + len
            }
        };
        // Redis does not look at the two bytes behind an argument either.
        let end = start.end + 2;
        self.check_len(end)?;
        if input.len() < end {
            return Ok(false);
        }
        self.arguments.push(start);
        self.position = end;
        Ok(true)
    }

    const fn check_len(&self, len: usize) -> Result<(), ProtocolError> {
        if len > self.max_request_bytes {
            Err(ProtocolError::TooLong(self.max_request_bytes))
        } else {
            Ok(())
        }
    }

    fn inline<'a>(&'a mut self, input: &'a [u8]) -> Result<Option<Request<'a>>, ProtocolError> {
        let Some(end) = input.iter().take(MAX_LINE_BYTES).position(|byte| *byte == b'\n') else {
            return if input.len() < MAX_LINE_BYTES { Ok(None) } else { Err(ProtocolError::InlineTooLong) };
        };
        let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
        self.unquoted.clear();
        split(line, &mut self.unquoted, &mut self.arguments).ok_or(ProtocolError::UnbalancedQuotes)?;
        Ok(Some(Request { bytes: &self.unquoted, arguments: &self.arguments, len_bytes: end + 1 }))
    }
}

/// Returns the number in the line that starts at an index, if it is one, and the index behind the line's end, if the
/// line is complete.
#[inline]
fn number(
    input: &[u8],
    start: usize,
    too_long: ProtocolError,
) -> Result<Option<(Option<i64>, usize)>, ProtocolError> {
    match input[start..] {
        // Nearly all of them.
        [one @ b'0'..=b'9', b'\r', _, ..] => Ok(Some((Some((one - b'0').into()), start + 3))),
        [ten @ b'1'..=b'9', one @ b'0'..=b'9', b'\r', _, ..] => {
            Ok(Some((Some((10 * (ten - b'0') + (one - b'0')).into()), start + 4)))
        }
        _ => Ok(line(input, start, too_long)?.map(|(digits, end)| (integer(digits), end))),
    }
}

/// Returns the line that starts at an index, and the index behind its end, if it is complete.
fn line(
    input: &[u8],
    start: usize,
    too_long: ProtocolError,
) -> Result<Option<(&[u8], usize)>, ProtocolError> {
    let rest = &input[start..];
    match rest.iter().take(MAX_LINE_BYTES).position(|byte| *byte == b'\r') {
        // The byte behind is not looked at, but has to be there.
        Some(end) if rest.len() > end + 1 => Ok(Some((&rest[..end], start + end + 2))),
        None if rest.len() >= MAX_LINE_BYTES => Err(too_long),
        Some(_) | None => Ok(None),
    }
}

/// Parses an integer as Redis does: without a plus sign, leading zeros or white space.
#[must_use]
pub fn integer(digits: &[u8]) -> Option<i64> {
    let (is_negative, magnitude) = match digits.strip_prefix(b"-") {
        Some(magnitude) => (true, magnitude),
        None => (false, digits),
    };
    match magnitude {
        b"0" => return (!is_negative).then_some(0),
        [b'1'..=b'9', ..] if magnitude.len() <= 19 => {}
        _ => return None,
    }
    let mut value = 0_i64;
    for byte in magnitude {
        let digit = i64::from(byte.wrapping_sub(b'0'));
        if digit > 9 {
            return None;
        }
        // Downwards, because there is one more negative number.
        value = value.checked_mul(10)?.checked_sub(digit)?;
    }
    if is_negative { Some(value) } else { value.checked_neg() }
}

/// Splits an inline command at white space, with quotes as in a shell. Returns `None` if a quote is not closed.
fn split(line: &[u8], unquoted: &mut Vec<u8>, arguments: &mut Vec<Range<usize>>) -> Option<()> {
    let mut rest = behind_space(line);
    while !rest.is_empty() {
        let start = unquoted.len();
        rest = word(rest, unquoted)?;
        arguments.push(start..unquoted.len());
        rest = behind_space(rest);
    }
    Some(())
}

/// Appends the first word of a line, and returns the rest.
fn word<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    while let Some((first, behind)) = rest.split_first() {
        rest = match first {
            byte if is_space(*byte) => return Some(rest),
            b'"' => return double_quoted(behind, out).filter(|rest| ends_word(rest)),
            b'\'' => return single_quoted(behind, out).filter(|rest| ends_word(rest)),
            byte => {
                out.push(*byte);
                behind
            }
        };
    }
    Some(rest)
}

/// Returns true if a closing quote may come before this.
fn ends_word(rest: &[u8]) -> bool {
    rest.first().is_none_or(|byte| is_space(*byte))
}

fn behind_space(line: &[u8]) -> &[u8] {
    &line[line.iter().take_while(|byte| is_space(**byte)).count()..]
}

const fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b || byte == 0
}

fn double_quoted<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [] => return None,
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', b'x', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push(hex(*high) << 4 | hex(*low));
                rest
            }
            [b'\\', escaped, rest @ ..] => {
                out.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                rest
            }
            [byte, rest @ ..] => {
                out.push(*byte);
                rest
            }
        };
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [] => return None,
            [b'\'', rest @ ..] => return Some(rest),
            [b'\\', b'\'', rest @ ..] => {
                out.push(b'\'');
                rest
            }
            [byte, rest @ ..] => {
                out.push(*byte);
                rest
            }
        };
    }
}

const fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Decodes input that arrives in pieces of this size.
    fn decode(input: &[u8], piece: usize) -> Result<Vec<Vec<Vec<u8>>>, ProtocolError> {
        let (mut decoder, mut requests, mut buffer) = (Decoder::new(1000), Vec::new(), Vec::new());
        for piece in input.chunks(piece) {
            buffer.extend_from_slice(piece);
            while let Some(request) = decoder.decode(&buffer)? {
                requests.push(request.arguments().map(<[u8]>::to_vec).collect());
                let len = request.len_bytes();
                buffer.drain(..len);
            }
        }
        Ok(requests)
    }

    fn words(words: &[&str]) -> Vec<Vec<u8>> {
        words.iter().map(|word| word.as_bytes().to_vec()).collect()
    }

    #[test]
    fn inline_commands_have_quotes_as_in_redis() {
        let all = decode(b"\r\nPING\n set 'a\\'b' \"c\\x41\\n\"\t7\r\n\"\"\n", 100);
        assert_eq!(
            all,
            Ok(vec![vec![], words(&["PING"]), words(&["set", "a'b", "cA\n", "7"]), words(&[""])])
        );
        for unbalanced in [&b"a \"b\n"[..], b"a 'b\n", b"\"a\"b\n", b"\"a\\\"\n"] {
            assert_eq!(decode(unbalanced, 100), Err(ProtocolError::UnbalancedQuotes), "{unbalanced:?}");
        }
    }

    #[test]
    fn what_is_not_the_protocol_is_named_as_in_redis() {
        let error = |input: &[u8]| decode(input, 4096).unwrap_err().to_string();
        assert_eq!(error(b"*x\r\n"), "Protocol error: invalid multibulk length");
        assert_eq!(error(b"*1048577\r\n"), "Protocol error: invalid multibulk length");
        assert_eq!(error(b"*1\r\n:4\r\n"), "Protocol error: expected '$', got ':'");
        assert_eq!(error(b"*1\r\n$-1\r\n"), "Protocol error: invalid bulk length");
        assert_eq!(error(b"*1\r\n$1001\r\n"), "Protocol error: invalid bulk length");
        assert_eq!(error(&[b'*'; MAX_LINE_BYTES + 1]), "Protocol error: too big mbulk count string");
        assert_eq!(error(&[b'a'; MAX_LINE_BYTES]), "Protocol error: too big inline request");
        let long = format!("*2\r\n$600\r\n{}\r\n$600\r\n", "a".repeat(600));
        assert_eq!(error(long.as_bytes()), "Protocol error: request is longer than 1000 bytes");
    }

    #[test]
    fn empty_and_negative_arrays_ask_for_nothing() {
        assert_eq!(decode(b"*0\r\n*-5\r\n*1\r\n$0\r\n\r\n", 1), Ok(vec![vec![], vec![], words(&[""])]));
    }

    #[test]
    fn integers_are_canonical() {
        for text in ["007", "-0", "+5", "", "-", " 5", "5 ", "1.0", "9223372036854775808", "1e3", "--1"] {
            assert_eq!(integer(text.as_bytes()), None, "{text}");
        }
        for number in [0, 7, -7, i64::MAX, i64::MIN] {
            assert_eq!(integer(number.to_string().as_bytes()), Some(number));
        }
    }

    proptest! {
        #[test]
        fn requests_are_the_same_wherever_the_input_is_split(
            requests in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..5), 0..9),
            piece in 1..40_usize,
        ) {
            let mut input = Vec::new();
            for request in &requests {
                input.extend(format!("*{}\r\n", request.len()).bytes());
                for argument in request {
                    input.extend(format!("${}\r\n", argument.len()).bytes().chain(argument.iter().copied()).chain(*b"\r\n"));
                }
            }
            prop_assert_eq!(decode(&input, piece), Ok(requests));
        }

        #[test]
        fn garbage_is_decoded_or_refused_in_any_pieces(input: Vec<u8>, piece in 1..9_usize) {
            prop_assert_eq!(decode(&input, piece).ok(), decode(&input, input.len().max(1)).ok());
        }
    }
}
