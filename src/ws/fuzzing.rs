//! Fuzz targets for frames.

pub use super::deflate::fuzzing::{deflate, extensions};
use super::{
    FrameLog, Inflater, Role,
    testing::{agreed, compare, events, limits, options},
};
use std::{cell::RefCell, fmt};

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// The same frames are logged, however the stream is cut. The first byte sets the size of the pieces.
pub fn frame_log(data: &[u8]) {
    let Some((first, stream)) = data.split_first() else { return };
    let sink = |mark: char, _: &str, text: fmt::Arguments<'_>| {
        LINES.with_borrow_mut(|lines| lines.push(format!("{mark} {text}")));
    };
    let mut whole = FrameLog::new("peer".into(), sink);
    whole.received(stream);
    let logged = LINES.take();
    let mut cut = FrameLog::new("peer".into(), sink);
    for piece in stream.chunks(usize::from(*first) % 16 + 1) {
        cut.received(piece);
    }
    assert_eq!(logged, LINES.take());
}

/// The same events are read however the stream is cut, and tungstenite reads the same unless the stream is compressed. The first
/// byte configures the reader, the second is the number of cuts; then come the cuts and the stream.
pub fn reader(data: &[u8]) {
    let [flags, count, rest @ ..] = data else { return };
    let (cuts, stream) = rest.split_at(rest.len().min(2 * usize::from(count % 16)));
    let cuts: Vec<usize> =
        cuts.chunks(2).map(|cut| cut.iter().fold(0, |at, byte| at << 8 | usize::from(*byte))).collect();
    let role = if flags & 1 > 0 { Role::Server } else { Role::Client };
    let limits = limits(
        [1, 100, 5000, 100_000][usize::from(flags >> 1) % 4],
        [125, 1000, 20_000, 80_000][usize::from(flags >> 3) % 4],
    );
    let inflater = || (flags & 32 > 0).then(|| Inflater::new(&agreed(&options(flags & 64 > 0, 15, 6)), role));
    let whole = events(role, &limits, inflater(), stream, &[]);
    assert_eq!(events(role, &limits, inflater(), stream, &cuts), whole);
    if flags & 128 > 0 {
        let every: Vec<usize> = (0..stream.len()).collect();
        assert_eq!(events(role, &limits, inflater(), stream, &every), whole);
    }
    if inflater().is_none() {
        compare(role, &limits, stream);
    }
}
