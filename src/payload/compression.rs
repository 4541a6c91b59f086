//! Compressed payloads. They are compressed and uncompressed in steps, so that a long one does not hold up other connections.

use bytes::Bytes;
use flate2::bufread::{DeflateDecoder, DeflateEncoder, GzDecoder, GzEncoder, ZlibDecoder, ZlibEncoder};
use std::{
    fmt,
    io::{self, BufRead, Read},
};

/// A format of compressed data. Each message is one stream of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// RFC 1952.
    Gzip,
    /// RFC 1950.
    Zlib,
    /// RFC 1951, without a header.
    Deflate,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Zlib => "zlib",
            Self::Deflate => "deflate",
        })
    }
}

/// Bytes of output in one step.
const STEP: usize = 64 * 1024;

/// Bytes of input in one step: there may be many without output.
const INPUT_STEP: usize = 16 * 1024;

/// A payload that interrupts its reader with `WouldBlock` after each `INPUT_STEP` bytes.
struct Input {
    rest: Bytes,
    /// Bytes before the next interruption.
    left: usize,
}

impl Input {
    fn new(payload: Bytes) -> Self {
        Self { rest: payload, left: INPUT_STEP }
    }
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 && !self.rest.is_empty() {
            self.left = INPUT_STEP;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(self.rest.get(..self.left).unwrap_or(&self.rest))
    }

    fn consume(&mut self, length: usize) {
        let _ = self.rest.split_to(length.min(self.rest.len()));
        self.left = self.left.saturating_sub(length);
    }
}

impl Read for Input {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buf)?;
        self.consume(read);
        Ok(read)
    }
}

/// A payload that is being compressed or uncompressed.
pub struct Conversion {
    source: Box<dyn Read + Send>,
    out: Vec<u8>,
    limit: usize,
}

/// Why a conversion failed.
pub enum Failed {
    /// The data is not in the format, or not whole.
    Invalid,
    /// The output is longer than the limit.
    TooLong,
}

impl Conversion {
    /// Starts to compress a payload.
    pub fn compress(format: Compression, payload: Bytes) -> Self {
        let (input, level) = (Input::new(payload), flate2::Compression::default());
        let source: Box<dyn Read + Send> = match format {
            Compression::Gzip => Box::new(GzEncoder::new(input, level)),
            Compression::Zlib => Box::new(ZlibEncoder::new(input, level)),
            Compression::Deflate => Box::new(DeflateEncoder::new(input, level)),
        };
        // It grows by a few bytes at most.
        Self { source, out: Vec::new(), limit: usize::MAX }
    }

    /// Starts to uncompress a payload, which gives an error if it becomes longer than `limit` bytes.
    pub fn uncompress(format: Compression, payload: Bytes, limit: usize) -> Self {
        let input = Input::new(payload);
        let source: Box<dyn Read + Send> = match format {
            Compression::Gzip => Box::new(GzDecoder::new(input)),
            Compression::Zlib => Box::new(ZlibDecoder::new(input)),
            Compression::Deflate => Box::new(DeflateDecoder::new(input)),
        };
        Self { source, out: Vec::new(), limit }
    }

    /// Does one step. Gives the whole output when it was the last one.
    ///
    /// # Errors
    /// If the data is invalid or becomes too long.
    pub fn step(&mut self) -> Result<Option<Bytes>, Failed> {
        let is_last = match io::Read::take(&mut self.source, STEP as u64).read_to_end(&mut self.out) {
            Ok(read) => read < STEP,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(_) => return Err(Failed::Invalid),
        };
        if self.out.len() > self.limit {
            return Err(Failed::TooLong);
        }
        Ok(is_last.then(|| std::mem::take(&mut self.out).into()))
    }

    /// Bytes of output that are held.
    pub fn held(&self) -> usize {
        self.out.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Compression; 3] = [Compression::Gzip, Compression::Zlib, Compression::Deflate];

    fn all(mut conversion: Conversion) -> Option<Bytes> {
        loop {
            match conversion.step() {
                Ok(None) => {}
                Ok(Some(all)) => return Some(all),
                Err(_) => return None,
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_compressed_is_the_same_when_uncompressed(
            piece in prop::collection::vec(any::<u8>(), 0..40), times in 0usize..8000,
        ) {
            let payload = Bytes::from(piece.repeat(times));
            for format in ALL {
                let compressed = all(Conversion::compress(format, payload.clone())).expect("compressed");
                let limit = payload.len();
                prop_assert_eq!(all(Conversion::uncompress(format, compressed.clone(), limit)), Some(payload.clone()));
                if limit > 0 {
                    prop_assert_eq!(all(Conversion::uncompress(format, compressed, limit - 1)), None);
                }
            }
        }

        #[test]
        fn any_bytes_end_as_output_or_as_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for format in ALL {
                let _ = all(Conversion::uncompress(format, bytes.clone().into(), 1000));
            }
        }
    }

    #[test]
    fn input_without_output_is_taken_in_steps() {
        // Blocks of the fixed code that are empty.
        let blocks = [0x02, 0x08, 0x20, 0x80, 0x00].repeat(100_000);
        let mut conversion = Conversion::uncompress(Compression::Deflate, [&blocks[..], &[3, 0]].concat().into(), 10);
        let mut steps = 1;
        while let Ok(None) = conversion.step() {
            steps += 1;
        }
        assert!(steps > blocks.len() / INPUT_STEP, "{steps}");
    }

    #[test]
    fn a_header_that_is_longer_than_a_step_is_read() {
        let mut header = flate2::GzBuilder::new().filename(vec![b'x'; 40_000]).write(Vec::new(), Default::default());
        io::Write::write_all(&mut header, b"hello").expect("written");
        let payload = header.finish().expect("compressed");
        let uncompressed = all(Conversion::uncompress(Compression::Gzip, payload.into(), 10));
        assert_eq!(uncompressed.as_deref(), Some(&b"hello"[..]));
    }

    #[test]
    fn data_that_is_cut_off_is_an_error() {
        for format in ALL {
            let compressed = all(Conversion::compress(format, vec![b'x'; 1000].into())).expect("compressed");
            for length in 0..compressed.len() {
                assert_eq!(
                    all(Conversion::uncompress(format, compressed.slice(..length), 2000)),
                    None,
                    "{format} {length}"
                );
            }
        }
    }
}
