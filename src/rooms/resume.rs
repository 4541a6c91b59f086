//! Resuming after a reconnect: the subprotocol in which each message tells its place, and by which a client names the last one it has.

use super::{
    frame_queue::{payload, split},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};
use crate::{cluster::Position, message::Kind, ws::append_frame};
use bytes::{Bytes, BytesMut};
use hyper::header::HeaderValue;
use std::{
    cmp::Ordering,
    fmt::{self, Write},
};
use tokio_tungstenite::tungstenite::protocol::frame::coding::OpCode;

/// The subprotocol without a place. With a dot and a place behind it, it asks for everything after that.
pub const PROTOCOL: &str = "wsplice.resume.v1";

/// Longest text of a place and its line feed: three numbers of 64 bits, the first in hexadecimal digits.
const LONGEST: usize = 16 + 20 + 20 + 3;

/// The place of a message in the order of its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// That of its batch.
    pub batch: Position,
    /// Its number in the batch, from 0.
    pub index: u64,
}

impl Place {
    /// Behind all messages of a batch.
    pub fn after(batch: Position) -> Self {
        Self { batch, index: u64::MAX }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let epoch = u64::from_str_radix(parts.next()?, 16).ok()?;
        let (sequence, index) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        parts.next().is_none().then_some(Self { batch: Position { epoch, sequence }, index })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { batch: Position { epoch, sequence }, index } = self;
        write!(f, "{epoch:x}.{sequence}.{index}")
    }
}

impl PartialOrd for Place {
    /// Places of different epochs have no order.
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let place = |place: &Self| (place.batch.sequence, place.index);
        (self.batch.epoch == other.batch.epoch).then(|| place(self).cmp(&place(other)))
    }
}

/// Whether a subprotocol is one of these.
pub fn is_resume(protocol: &HeaderValue) -> bool {
    let rest = protocol.to_str().ok().and_then(|protocol| protocol.strip_prefix(PROTOCOL));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// What a member asks for that wants places.
#[derive(Debug)]
pub struct Resume {
    /// The last place that it has.
    pub after: Option<Place>,
    /// It receives everything after that.
    is_resumed: AtomicBool,
}

impl Resume {
    /// What the offered subprotocols ask for. The one without a place must be among them: it is selected if the place is not known.
    pub fn requested(offers: &[HeaderValue]) -> Option<Self> {
        let offered = |offer: &HeaderValue| {
            let place = offer.to_str().ok()?.strip_prefix(PROTOCOL)?.strip_prefix('.')?;
            Place::parse(place)
        };
        offers
            .iter()
            .any(|offer| offer == PROTOCOL)
            .then(|| Self { after: offers.iter().find_map(offered), is_resumed: AtomicBool::new(false) })
    }

    /// How many of the first messages of a batch it has already.
    pub fn skipped(&self, batch: Position) -> u64 {
        match self.after {
            Some(after) if Place::after(batch) <= after => u64::MAX,
            Some(after) if after.batch == batch => after.index.saturating_add(1),
            _ => 0,
        }
    }

    /// It receives everything after the place that it has named.
    pub fn succeed(&self) {
        self.is_resumed.store(true, Relaxed);
    }

    /// The subprotocol to select.
    pub fn selected(&self, offers: &[HeaderValue]) -> Option<HeaderValue> {
        let is_resumed = self.is_resumed.load(Relaxed);
        offers.iter().find(|offer| is_resume(offer) && (*offer != PROTOCOL) == is_resumed).cloned()
    }
}

/// Frames of one batch with the place of each in front of its payload, in a line of its own. `first`: the index of the first.
pub fn number(frames: &[u8], batch: Position, first: u64) -> Bytes {
    let mut numbered = BytesMut::with_capacity(frames.len());
    let mut line = String::with_capacity(LONGEST);
    let mut joined = Vec::new();
    for (index, frame) in (first..).zip(split(frames)) {
        line.clear();
        // Writing to a string does not fail.
        let _ = writeln!(line, "{}", Place { batch, index });
        joined.clear();
        joined.extend_from_slice(line.as_bytes());
        joined.extend_from_slice(payload(frame));
        // RFC 6455 section 5.2: opcode 1 is text.
        let kind = if frame.first().is_some_and(|first| first & 0x0f == 1) { Kind::Text } else { Kind::Binary };
        append_frame(&mut numbered, OpCode::Data(kind.into()), true, false, &joined);
    }
    numbered.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(epoch: u64, sequence: u64, index: u64) -> Place {
        Place { batch: Position { epoch, sequence }, index }
    }

    proptest! {
        #[test]
        fn a_place_is_read_as_it_was_written_and_is_part_of_a_token(epoch: u64, sequence: u64, index: u64) {
            let text = place(epoch, sequence, index).to_string();
            prop_assert!(text.len() < LONGEST);
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.'), "{}", text);
            prop_assert_eq!(Place::parse(&text), Some(place(epoch, sequence, index)));
        }

        #[test]
        fn any_text_is_a_place_or_not(text: String) {
            let _ = Place::parse(&text);
        }
    }

    #[test]
    fn what_is_no_place_is_not_taken_for_one() {
        for wrong in ["", ".", "..", "1.2", "1.2.", "1.2.3.4", "x.1.2", "1.-1.2", "1.2.99999999999999999999"] {
            assert_eq!(Place::parse(wrong), None, "{wrong}");
        }
        assert!(place(1, 2, 3) > place(1, 2, 2) && place(1, 2, 3) < place(1, 3, 0));
        assert_eq!(place(1, 2, 3).partial_cmp(&place(2, 2, 3)), None);
    }

    #[test]
    fn the_subprotocol_that_is_selected_tells_whether_the_place_is_known() {
        let offers =
            |offers: &[&'static str]| offers.iter().map(|offer| HeaderValue::from_static(offer)).collect::<Vec<_>>();
        let both = offers(&["wsplice.resume.v1.a.2.3", "chat", "wsplice.resume.v1"]);
        let resume = Resume::requested(&both).expect("it is asked for");
        assert_eq!(resume.after, Some(place(10, 2, 3)));
        assert_eq!(resume.selected(&both).expect("one"), PROTOCOL);
        resume.succeed();
        assert_eq!(resume.selected(&both).expect("one"), "wsplice.resume.v1.a.2.3");
        assert!(Resume::requested(&offers(&["wsplice.resume.v1.a.2.3"])).is_none());
        assert!(Resume::requested(&offers(&["wsplice.resume.v10", "chat"])).is_none());
        let fresh = Resume::requested(&offers(&["wsplice.resume.v1.nonsense", "wsplice.resume.v1"]));
        assert_eq!(fresh.expect("it is asked for").after, None);
    }

    #[test]
    fn what_a_member_has_is_skipped_until_the_place_that_it_has_named() {
        let resume = Resume { after: Some(place(7, 5, 2)), is_resumed: AtomicBool::new(true) };
        let skipped = |epoch, sequence| resume.skipped(Position { epoch, sequence });
        assert_eq!([skipped(7, 4), skipped(7, 5), skipped(7, 6), skipped(8, 4)], [u64::MAX, 3, 0, 0]);
        let resume = Resume { after: None, is_resumed: AtomicBool::new(false) };
        assert_eq!(resume.skipped(Position { epoch: 7, sequence: 4 }), 0);
    }

    #[test]
    fn each_message_begins_with_its_place() {
        let numbered = number(b"\x81\x05hello\x82\x00", Position { epoch: 255, sequence: 7 }, 3);
        assert_eq!(numbered, &b"\x81\x0cff.7.3\nhello\x82\x07ff.7.4\n"[..]);
    }
}
