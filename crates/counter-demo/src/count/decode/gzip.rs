use std::io::{self, BufRead, ErrorKind, Read};

use flate2::bufread::GzDecoder;

/// First byte of a member.
const MAGIC: u8 = 0x1f;

/// Content of a gzip file: that of its members, one after the other, each with its checksum verified.
///
/// Zeros behind a member are padding, as for `gzip` itself. Anything else there is an error.
pub(super) struct Members<R> {
    /// Absent while a member has it.
    input: Option<R>,
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Members<R> {
    pub(super) const fn new(input: R) -> Self {
        Self { input: Some(input), member: None }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(member) = &mut self.member {
                match member.read(buffer).map_err(explain)? {
                    0 if !buffer.is_empty() => self.input = self.member.take().map(GzDecoder::into_inner),
                    read => return Ok(read),
                }
            }
            let Some(input) = &mut self.input else { return Ok(0) };
            match first_behind_zeros(input)? {
                None => return Ok(0),
                Some(MAGIC) => self.member = self.input.take().map(GzDecoder::new),
                Some(_) => return Err(invalid("garbage behind gzip data")),
            }
        }
    }
}

/// Skips zeros. `None` at the end of the input.
fn first_behind_zeros(input: &mut impl BufRead) -> io::Result<Option<u8>> {
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            return Ok(None);
        }
        let zeros = buffer.iter().take_while(|&&byte| byte == 0).count();
        let first = buffer.get(zeros).copied();
        input.consume(zeros);
        if first.is_some() {
            return Ok(first);
        }
    }
}

fn explain(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::UnexpectedEof => io::Error::new(ErrorKind::UnexpectedEof, "truncated gzip data"),
        ErrorKind::InvalidInput | ErrorKind::InvalidData => invalid("corrupt gzip data"),
        _ => error,
    }
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::super::tests::{assert_damage_is_noticed, read};

    fn member(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn damage_is_noticed_wherever_it_is() {
        let (first, empty) = (member(b"one\ntwo\n"), member(b""));
        let ends = [first.len(), first.len() + empty.len()];
        let compressed = [first, empty, member(b"one two three one two three\n")].concat();
        assert_damage_is_noticed(&compressed, b"one\ntwo\none two three one two three\n", &ends);
    }

    #[test]
    fn zeros_behind_a_member_are_padding_and_other_bytes_an_error() {
        let member = member(b"a\n");
        assert_eq!(read(&[&member[..], &[0; 512]].concat()).unwrap(), b"a\n");
        assert_eq!(read(&[&member[..], &[0; 3], &member, &[0]].concat()).unwrap(), b"a\na\n");
        for garbage in [&b"garbage"[..], b"\0\0garbage"] {
            let error = read(&[&member[..], garbage].concat()).unwrap_err();
            assert_eq!(error.to_string(), "garbage behind gzip data");
        }
    }
}
