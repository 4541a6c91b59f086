//! Files, whose progress a terminal shows.

use crate::{
    endpoint::ConnectContext,
    flow::{ByteIo, ByteStream},
};

/// Whether the progress of files is shown. Those of a listener's sessions would mix.
pub fn is_shown(context: &ConnectContext) -> bool {
    cfg!(feature = "term") && context.is_single && crate::report::is_on_terminal()
}

/// A file that is read, and its length in bytes, whose progress is shown.
pub fn reading(io: impl ByteIo + 'static, length: Option<u64>) -> ByteStream {
    #[cfg(feature = "term")]
    return tracked(io, crate::term::Counts::Reads, length);
    #[cfg(not(feature = "term"))]
    return without(io, length);
}

/// A file that is written, whose progress is shown.
pub fn writing(io: impl ByteIo + 'static) -> ByteStream {
    #[cfg(feature = "term")]
    return tracked(io, crate::term::Counts::Writes, None);
    #[cfg(not(feature = "term"))]
    return without(io, None);
}

#[cfg(feature = "term")]
fn tracked(io: impl ByteIo + 'static, counts: crate::term::Counts, length: Option<u64>) -> ByteStream {
    crate::term::Tracked::new(io, counts, length).map_or_else(ByteStream::other, ByteStream::other)
}

#[cfg(not(feature = "term"))]
fn without(io: impl ByteIo + 'static, _: Option<u64>) -> ByteStream {
    ByteStream::other(io)
}
