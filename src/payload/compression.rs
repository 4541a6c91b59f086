//! Compressed payloads. They are compressed and uncompressed in steps, so that a long one does not hold up other connections.

use bytes::{Buf, Bytes};
use flate2::bufread::{DeflateDecoder, DeflateEncoder, GzDecoder, GzEncoder, ZlibDecoder, ZlibEncoder};
use std::{
    fmt,
    io::{self, Read},
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
        let (input, level) = (payload.reader(), flate2::Compression::default());
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
        let input = payload.reader();
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
        let read =
            io::Read::take(&mut self.source, STEP as u64).read_to_end(&mut self.out).map_err(|_| Failed::Invalid)?;
        if self.out.len() > self.limit {
            return Err(Failed::TooLong);
        }
        Ok((read < STEP).then(|| std::mem::take(&mut self.out).into()))
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
