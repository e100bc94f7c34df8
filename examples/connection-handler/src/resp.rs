//! Requests and answers in the Redis protocol (RESP 2, and inline commands). Pure: bytes in, requests out.

/// Maximum length of a request, in bytes. No more than this is kept of an incomplete one.
pub(crate) const MAX_REQUEST_BYTES: usize = 4096;

/// A request. Names and texts are any bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request<'a> {
    /// `INCR`, `DECR`, `INCRBY`, `DECRBY`.
    Add(&'a [u8], i64),
    Get(&'a [u8]),
    Ping(Option<&'a [u8]>),
    Quit,
    /// A request to answer with this error; later requests are understood again.
    Refused(&'static str),
    /// Input that is not the protocol, so the beginning of the next request is unknown.
    Garbage(&'static str),
}

impl<'a> Request<'a> {
    /// Returns true if both add to one counter, so that they can be counted together.
    pub(crate) fn same_counter(&self, next: &Self) -> bool {
        matches!((self, next), (Request::Add(a, _), Request::Add(b, _)) if a == b)
    }

    pub(crate) const fn amount(&self) -> Option<i64> {
        if let Self::Add(_, amount) = self { Some(*amount) } else { None }
    }

    fn from_words(words: &[&'a [u8]]) -> Self {
        let Some((command, arguments)) = words.split_first() else { return Self::Refused("empty command") };
        match (command.to_ascii_uppercase().as_slice(), arguments) {
            (b"INCR", [name]) => Self::Add(name, 1),
            (b"DECR", [name]) => Self::Add(name, -1),
            (b"INCRBY", [name, amount]) => Self::add(name, number(amount)),
            (b"DECRBY", [name, amount]) => Self::add(name, number(amount).and_then(i64::checked_neg)),
            (b"GET", [name]) => Self::Get(name),
            (b"PING", []) => Self::Ping(None),
            (b"PING", [text]) => Self::Ping(Some(text)),
            (b"QUIT", []) => Self::Quit,
            _ => Self::Refused("unknown command, or not its arguments"),
        }
    }

    fn add(name: &'a [u8], amount: Option<i64>) -> Self {
        amount.map_or(Self::Refused("value is not an integer or out of range"), |amount| {
            Self::Add(name, amount)
        })
    }
}

/// Returns the answer that consists of these bytes, which may be any.
pub(crate) fn bulk(bytes: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

/// Returns all complete requests, and the number of bytes they take. Input after `QUIT` or garbage is ignored.
pub(crate) fn parse(input: &[u8]) -> (Vec<Request<'_>>, usize) {
    let (mut requests, mut rest) = (Vec::new(), input);
    while !matches!(requests.last(), Some(Request::Quit | Request::Garbage(_))) {
        let before = rest;
        let words = words(&mut rest);
        let used = if matches!(words, Ok(Some(_))) { before.len() - rest.len() } else { before.len() };
        requests.push(match words {
            _ if used > MAX_REQUEST_BYTES => Request::Garbage("request is too long"),
            Ok(Some(words)) => Request::from_words(&words),
            Ok(None) => return (requests, input.len() - before.len()),
            Err(what) => Request::Garbage(what),
        });
    }
    (requests, input.len())
}

/// Takes the words of the first request out, if they are complete.
fn words<'a>(rest: &mut &'a [u8]) -> Result<Option<Vec<&'a [u8]>>, &'static str> {
    *rest = &rest[rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count()..];
    let Some(first) = line(rest) else { return Ok(None) };
    let Some(count) = first.strip_prefix(b"*") else {
        return Ok(Some(first.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect()));
    };
    let mut words = Vec::new();
    for _ in 0..size(count)? {
        let Some(head) = line(rest) else { return Ok(None) };
        let len = size(head.strip_prefix(b"$").ok_or("expected '$'")?)?;
        let Some((word, behind)) = rest.split_at_checked(len) else { return Ok(None) };
        let Some((end, behind)) = behind.split_first_chunk() else { return Ok(None) };
        if end != b"\r\n" {
            return Err("expected the end of a bulk string");
        }
        words.push(word);
        *rest = behind;
    }
    Ok(Some(words))
}

/// Takes the first line out, if it is complete.
fn line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.iter().position(|&byte| byte == b'\n')?;
    let line = &rest[..end];
    *rest = &rest[end + 1..];
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

fn size(digits: &[u8]) -> Result<usize, &'static str> {
    number(digits).filter(|size| *size <= MAX_REQUEST_BYTES).ok_or("invalid length")
}

fn number<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIPELINE: &[u8] = b"*2\r\n$4\r\nINCR\r\n$3\r\na\r\n\r\nping\r\n*3\r\n$6\r\nDECRBY\r\n$1\r\nb\r\n$1\r\n7\r\nGET a\nFLUSH\r\n";

    #[test]
    fn requests_are_the_same_wherever_the_input_is_split() {
        let all = [
            Request::Add(b"a\r\n", 1),
            Request::Ping(None),
            Request::Add(b"b", -7),
            Request::Get(b"a"),
            Request::Refused("unknown command, or not its arguments"),
        ];
        for split in 0..=PIPELINE.len() {
            let (first, used) = parse(&PIPELINE[..split]);
            let (second, _) = parse(&PIPELINE[used..]);
            assert_eq!([first, second].concat(), all, "split at {split}");
        }
    }

    #[test]
    fn garbage_ends_the_requests_and_takes_the_rest() {
        for garbage in
            [&b"*x\r\n"[..], b"*1\r\n:4\r\n", b"*1\r\n$-1\r\n", b"*1\r\n$1\r\nabc", b"*1\r\n$4097\r\n"]
        {
            let input = [b"PING\r\n", garbage, b"\r\nPING\r\n"].concat();
            let (requests, used) = parse(&input);
            assert!(matches!(requests[..], [Request::Ping(None), Request::Garbage(_)]), "{requests:?}");
            assert_eq!(used, input.len());
        }
    }

    #[test]
    fn a_request_that_never_ends_is_garbage_at_the_bound() {
        for start in ["", "*2\r\n$4\r\nINCR\r\n$4090\r\n", "\r\n"] {
            let mut input = start.as_bytes().to_vec();
            input.resize(MAX_REQUEST_BYTES, if start == "\r\n" { b'\n' } else { b'a' });
            assert_eq!(parse(&input), (vec![], 0));
            input.push(b'\n');
            assert_eq!(parse(&input), (vec![Request::Garbage("request is too long")], input.len()));
        }
    }

    #[test]
    fn amounts_are_whole_numbers_in_range() {
        let (requests, _) =
            parse(b"INCRBY a -9223372036854775808\nDECRBY a -9223372036854775808\nINCRBY a 1.5\n");
        let refused = Request::Refused("value is not an integer or out of range");
        assert_eq!(requests, [Request::Add(b"a", i64::MIN), refused, refused]);
    }
}
