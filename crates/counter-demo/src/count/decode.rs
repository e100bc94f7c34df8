//! Compressed input, recognised by its first bytes.

mod gzip;
mod zstd;

use std::io::{self, BufReader, Cursor, Read};

/// Format of some input, as far as its first bytes tell.
#[derive(Clone, Copy, Debug)]
enum Format {
    Gzip,
    Zstd,
    Plain,
    /// More bytes are needed, if there are any.
    Undecided,
}

impl Format {
    const fn of(first_bytes: &[u8]) -> Self {
        match first_bytes {
            [0x1f, 0x8b] => Self::Gzip,
            // A frame, or a frame to be skipped.
            [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Self::Zstd,
            [] | [0x1f | 0x28 | 0x50..=0x5f] => Self::Undecided,
            [0x28, 0xb5] | [0x28, 0xb5, 0x2f] => Self::Undecided,
            [0x50..=0x5f, 0x2a] | [0x50..=0x5f, 0x2a, 0x4d] => Self::Undecided,
            _ => Self::Plain,
        }
    }
}

/// Decompresses gzip and zstd input; passes on any other input as it is.
pub(super) fn decode(mut input: impl Read + 'static) -> io::Result<Box<dyn Read>> {
    let mut first_bytes = Vec::new();
    let format = loop {
        match Format::of(&first_bytes) {
            // A byte at a time, because the first line of a slow writer may be short.
            Format::Undecided if input.by_ref().take(1).read_to_end(&mut first_bytes)? > 0 => {}
            format => break format,
        }
    };
    let whole = Cursor::new(first_bytes).chain(input);
    Ok(match format {
        Format::Gzip => Box::new(gzip::Members::new(BufReader::new(whole))),
        Format::Zstd => Box::new(zstd::Frames::new(BufReader::new(whole))),
        Format::Plain | Format::Undecided => Box::new(whole),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        decode(Cursor::new(bytes.to_vec()))?.read_to_end(&mut content)?;
        Ok(content)
    }

    /// Flips every bit behind the first four bytes, and cuts off at every byte behind them.
    pub(super) fn assert_damage_is_noticed(compressed: &[u8], content: &[u8], ends: &[usize]) {
        assert_eq!(read(compressed).unwrap(), content);
        for bit in 4 * 8..compressed.len() * 8 {
            let mut flipped = compressed.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // Some bits mean nothing, such as those of a time.
            if let Ok(read) = read(&flipped) {
                assert_eq!(read, content, "bit {bit}");
            }
        }
        for len in (4..compressed.len()).filter(|len| !ends.contains(len)) {
            let error = read(&compressed[..len]).unwrap_err().to_string();
            assert!(error.starts_with("truncated "), "{len} bytes: {error}");
        }
    }

    #[test]
    fn what_is_not_compressed_is_left_as_it_is() {
        for bytes in [&b""[..], b"a", b"\x1f", b"\x1fa", b"(\xb5/", b"(\xb5/a", b"P*M", b"P*Ma", b"P*N\x18"] {
            assert_eq!(read(bytes).unwrap(), bytes);
        }
    }
}
