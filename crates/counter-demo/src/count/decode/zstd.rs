use std::error::Error;
use std::io::{self, BufRead, ErrorKind, Read};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// Content of a zstd file: that of its frames, one after the other, each with its checksum and its size verified, if it
/// has them. Skippable frames may stand anywhere.
pub(super) struct Frames<R> {
    input: R,
    decoder: FrameDecoder,
    /// Bytes of the current frame's content so far; `None` between frames.
    content_len: Option<u64>,
}

impl<R: BufRead> Frames<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, decoder: FrameDecoder::new(), content_len: None }
    }

    /// Begins the next frame, or skips it. Returns false at the end of the input.
    fn begin(&mut self) -> io::Result<bool> {
        if self.input.fill_buf()?.is_empty() {
            return Ok(false);
        }
        match self.decoder.init(&mut self.input) {
            Ok(()) => self.content_len = Some(0),
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length, ..
            })) => {
                let skipped = io::copy(&mut self.input.by_ref().take(length.into()), &mut io::sink())?;
                if skipped < length.into() {
                    return Err(truncated());
                }
            }
            Err(error) => return Err(explain(&error)),
        }
        Ok(true)
    }

    fn verify(&self, content_len: u64) -> io::Result<()> {
        let stored = self.decoder.get_checksum_from_data();
        if stored.is_some() && stored != self.decoder.get_calculated_checksum() {
            return Err(invalid("zstd data with a wrong checksum"));
        }
        match self.decoder.content_size() {
            // It may be unknown.
            0 => Ok(()),
            size if size == content_len => Ok(()),
            _ => Err(invalid("zstd data with a wrong size")),
        }
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let Some(content_len) = &mut self.content_len else {
                if self.begin()? {
                    continue;
                }
                return Ok(0);
            };
            let read = self.decoder.read(buffer)?;
            if read > 0 {
                *content_len += read as u64;
                return Ok(read);
            }
            if self.decoder.is_finished() {
                let content_len = *content_len;
                self.verify(content_len)?;
                self.content_len = None;
            } else {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder.decode_blocks(&mut self.input, one).map_err(|error| explain(&error))?;
            }
        }
    }
}

/// Rewords an error for somebody who has a file, not a decoder.
fn explain(error: &FrameDecoderError) -> io::Error {
    match error {
        FrameDecoderError::WindowSizeTooBig { requested, max } => {
            return invalid(format!("zstd data with a window of {requested} bytes: the most is {max}"));
        }
        FrameDecoderError::DictNotProvided { .. } => return invalid("zstd data that needs a dictionary"),
        _ => {}
    }
    let causes = std::iter::successors(Some(error as &dyn Error), |&error| error.source());
    let reading = causes.filter_map(|cause| cause.downcast_ref::<io::Error>()).next();
    match reading {
        None => invalid("corrupt zstd data"),
        Some(error) if error.kind() == ErrorKind::UnexpectedEof => truncated(),
        Some(error) => io::Error::new(error.kind(), error.to_string()),
    }
}

fn truncated() -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, "truncated zstd data")
}

fn invalid(message: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, message.into())
}

#[cfg(test)]
mod tests {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::super::tests::{assert_damage_is_noticed, read};

    fn frame(content: &[u8]) -> Vec<u8> {
        compress_to_vec(content, CompressionLevel::Fastest)
    }

    fn skippable(content: &[u8]) -> Vec<u8> {
        let len = u32::try_from(content.len()).unwrap().to_le_bytes();
        [&[0x5a, 0x2a, 0x4d, 0x18], &len[..], content].concat()
    }

    #[test]
    fn damage_is_noticed_wherever_it_is() {
        let content = b"one two three one two three one two three\nfour\n";
        let (first, skipped) = (frame(content), skippable(b"skipped"));
        let ends = [first.len(), first.len() + skipped.len()];
        let compressed = [first, skipped, frame(b"last\n")].concat();
        assert_damage_is_noticed(&compressed, &[&content[..], b"last\n"].concat(), &ends);
    }

    #[test]
    fn skippable_frames_may_stand_anywhere() {
        let (a, b, skip) = (frame(b"a\n"), frame(b"b\n"), skippable(b"anything"));
        for parts in [[&skip, &a, &b], [&a, &skip, &b], [&a, &b, &skip]] {
            let file: Vec<_> =
                [parts[0], parts[1], parts[2], &skippable(b"")].into_iter().flatten().copied().collect();
            assert_eq!(read(&file).unwrap(), b"a\nb\n");
        }
        assert_eq!(read(&skip).unwrap(), b"");
    }

    #[test]
    fn a_wrong_checksum_and_a_wrong_size_are_errors() {
        // `printf 'a\n' | zstd --check` and, with a size and no checksum, `zstd --no-check FILE`.
        let mut checked = *b"\x28\xb5\x2f\xfd\x24\x02\x11\x00\x00a\n\0\0\0\0";
        let error = read(&checked).unwrap_err();
        assert_eq!(error.to_string(), "zstd data with a wrong checksum");
        checked[11..].copy_from_slice(&[0; 4]);
        let sized = b"\x28\xb5\x2f\xfd\x20\x03\x11\x00\x00a\n";
        assert_eq!(read(sized).unwrap_err().to_string(), "zstd data with a wrong size");
    }

    #[test]
    fn garbage_behind_a_frame_is_an_error() {
        let error = read(&[&frame(b"a\n")[..], b"garbage"].concat()).unwrap_err();
        assert_eq!(error.to_string(), "corrupt zstd data");
    }
}
