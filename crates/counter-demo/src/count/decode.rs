//! Compressed input, known by its first bytes.

use std::io::{self, BufRead, Cursor, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// What is inside, if the input is gzip or zstd; else the input as it is.
pub(super) fn decode(mut input: impl Read + 'static) -> io::Result<Box<dyn Read>> {
    let mut magic = Vec::new();
    // No more bytes than it takes to tell, for a slow writer's first line may be short.
    while [GZIP, ZSTD].iter().any(|kind| magic.len() < kind.len() && kind.starts_with(&magic)) {
        if input.by_ref().take(1).read_to_end(&mut magic)? == 0 {
            break;
        }
    }
    let (gzip, zstd) = (magic == GZIP, magic == ZSTD);
    let whole = Cursor::new(magic).chain(input);
    Ok(if gzip {
        Box::new(MultiGzDecoder::new(io::BufReader::new(whole)))
    } else if zstd {
        Box::new(Frames { input: Some(io::BufReader::new(whole)), frame: None })
    } else {
        Box::new(whole)
    })
}

/// The frames of a zstd file, one after the other, as `cat a.zst b.zst` makes them.
struct Frames<R: BufRead> {
    /// Not while a frame has it.
    input: Option<R>,
    frame: Option<StreamingDecoder<R, ruzstd::decoding::FrameDecoder>>,
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(frame) = &mut self.frame {
                match frame.read(buffer)? {
                    0 if !buffer.is_empty() => {
                        self.input = self.frame.take().map(StreamingDecoder::into_inner)
                    }
                    read => return Ok(read),
                }
            }
            let Some(mut input) = self.input.take() else { return Ok(0) };
            if input.fill_buf()?.is_empty() {
                return Ok(0);
            }
            self.frame = Some(StreamingDecoder::new(input).map_err(io::Error::other)?);
        }
    }
}
