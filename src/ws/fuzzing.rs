//! What reads frames.

use super::tap::Tap;
use crate::fuzzing::told;

/// `-vv`: frames are shown alike, however the stream was cut. The first byte says how.
pub fn tap(data: &[u8]) {
    let Some((first, stream)) = data.split_first() else { return };
    let mut whole = Tap::new("peer");
    whole.see(stream);
    let shown = told();
    let mut cut = Tap::new("peer");
    for piece in stream.chunks(usize::from(*first) % 16 + 1) {
        cut.see(piece);
    }
    assert_eq!(shown, told());
}
