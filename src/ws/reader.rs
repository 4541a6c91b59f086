//! Reading: frames into messages (RFC 6455 section 5).
//!
//! Bytes are read into one buffer, in which frames are unmasked where they lie; a message of one frame leaves as a part of
//! that buffer. A connection on which nothing is under way has no buffer at all.

use super::{Role, deflate::Inflater, fault::Fault, frame::apply_mask};
use crate::message::{Close, Kind, Message};
use bytes::{Buf, Bytes, BytesMut};
use std::{
    io::Cursor,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::AsyncRead;
use tokio_tungstenite::tungstenite::{
    self,
    error::ProtocolError,
    protocol::frame::{
        FrameHeader,
        coding::{Control, Data, OpCode},
    },
};
use tokio_util::io::poll_read_buf;

/// How much is read at once, in bytes: little while little comes, so that a message that waits somewhere does not hold a
/// large buffer, and up to what the kernel hands over in one go when it comes in masses.
pub(super) const LEAST_READ: usize = 8 * 1024;
pub(super) const MOST_READ: usize = 256 * 1024;
/// A buffer above this size is not kept for a fraction of it.
const LARGE: usize = 64 * 1024;

/// What a peer says.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// A message, whole.
    Message(Message),
    /// A ping, to be answered with the same bytes.
    Ping(Bytes),
    /// A pong.
    Pong(Bytes),
    /// A close frame, the last that is heard; [`Close::NO_STATUS`] without a code.
    Close(Close),
}

/// The longest that is taken, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A message, all its fragments together.
    pub message: usize,
    /// One frame's payload.
    pub frame: usize,
}

/// One direction of a connection, from bytes to what they say.
pub struct Reader {
    role: Role,
    limits: Limits,
    /// What was read and is not taken yet. It begins with a header, or with the payload of `frame`.
    input: BytesMut,
    frame: Option<Frame>,
    message: Option<Assembly>,
    /// Where permessage-deflate was agreed on.
    inflater: Option<Box<Inflater>>,
    reading: usize,
    /// How much has come since there was nothing to read.
    burst: usize,
}

/// A frame whose header has been read.
struct Frame {
    opcode: OpCode,
    is_final: bool,
    mask: [u8; 4],
    /// Bytes of payload that are to be taken yet.
    length: usize,
    /// How many of those that have come are unmasked.
    unmasked: usize,
    text: Utf8,
}

/// A message that is put together: it comes in fragments or compressed.
struct Assembly {
    kind: Kind,
    is_compressed: bool,
    payload: Vec<u8>,
    text: Utf8,
}

/// How much of a text is known to be valid UTF-8.
#[derive(Default)]
struct Utf8(usize);

impl Utf8 {
    /// Checks what was added. A character may be cut off at the end unless the text is complete.
    fn check(&mut self, text: &[u8], is_complete: bool) -> Result<(), Fault> {
        match std::str::from_utf8(&text[self.0..]) {
            Ok(_) => self.0 = text.len(),
            Err(error) if error.error_len().is_none() && !is_complete => self.0 += error.valid_up_to(),
            Err(_) => return Err(Fault::not_utf8()),
        }
        Ok(())
    }
}

impl Reader {
    /// Reads in this role. `early` is what was read already.
    pub fn new(role: Role, limits: Limits, early: Vec<u8>, inflater: Option<Inflater>) -> Self {
        let input = BytesMut::from_iter(early);
        let inflater = inflater.map(Box::new);
        Self { role, limits, input, frame: None, message: None, inflater, reading: LEAST_READ, burst: 0 }
    }

    /// The next thing that the peer says. Nothing may be read after an error or a close frame.
    pub fn poll_next(&mut self, io: &mut (impl AsyncRead + Unpin), cx: &mut Context<'_>) -> Poll<Result<Heard, Fault>> {
        let next = self.poll_take(io, cx);
        if let Poll::Ready(Err(_)) = next {
            // The connection stays until the peer has read why; what it sent need not.
            (self.input, self.message, self.inflater) = (BytesMut::new(), None, None);
        }
        next
    }

    fn poll_take(&mut self, io: &mut (impl AsyncRead + Unpin), cx: &mut Context<'_>) -> Poll<Result<Heard, Fault>> {
        loop {
            if let Some(heard) = self.take()? {
                return Poll::Ready(Ok(heard));
            }
            self.make_room();
            match poll_read_buf(Pin::new(&mut *io), cx, &mut self.input) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(Fault::Ended)),
                Poll::Ready(Ok(length)) => {
                    self.burst += length;
                    if self.input.len() == self.input.capacity() {
                        self.reading = MOST_READ.min(self.reading * 4);
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => {
                    if std::mem::take(&mut self.burst) < self.reading / 4 {
                        self.reading = LEAST_READ.max(self.reading / 2);
                    }
                    // What waits for its rest, maybe for good, does not hold many times what it is; a long frame whose buffer
                    // has grown with it is not copied each time that it has to wait.
                    let capacity = self.input.capacity();
                    if self.input.is_empty() || capacity > LARGE && self.input.len() < capacity / 8 {
                        self.input = BytesMut::from(&self.input[..]);
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// How many bytes are held of the input, and of a message that is put together.
    #[cfg(any(test, fuzzing))]
    pub fn held(&self) -> (usize, usize) {
        (self.input.capacity(), self.message.as_ref().map_or(0, |message| message.payload.capacity()))
    }

    /// Makes room for a read.
    fn make_room(&mut self) {
        let room = self.input.capacity() - self.input.len();
        let missing = self.frame.as_ref().map_or(0, |frame| frame.length - self.input.len());
        let has_room_for_the_rest = (1..=room).contains(&missing);
        if room < self.reading / 2 && !has_room_for_the_rest {
            // A long frame's buffer grows with what has come, not with what its header promises; in steps this large little
            // is copied, and what is reserved is no memory yet.
            self.input.reserve(self.reading.max(missing.min(4 * self.input.len())));
        }
    }

    /// Takes what is complete.
    fn take(&mut self) -> Result<Option<Heard>, Fault> {
        loop {
            let mut frame = match self.frame.take() {
                Some(frame) => frame,
                None => match self.header()? {
                    Some(frame) => frame,
                    None => return Ok(None),
                },
            };
            let come = frame.length.min(self.input.len());
            if self.role == Role::Server && frame.unmasked < come {
                frame.mask = apply_mask(&mut self.input[frame.unmasked..come], frame.mask);
                frame.unmasked = come;
            }
            let is_whole = come == frame.length;
            let kind = match frame.opcode {
                OpCode::Control(_) if !is_whole => {
                    self.frame = Some(frame);
                    return Ok(None);
                }
                OpCode::Control(control) => {
                    let payload = self.input.split_to(come).freeze();
                    return control_frame(control, payload).map(Some);
                }
                OpCode::Data(Data::Text) => Kind::Text,
                OpCode::Data(_) => Kind::Binary,
            };
            let Some(message) = &mut self.message else {
                // The whole message is this frame.
                if kind == Kind::Text {
                    frame.text.check(&self.input[..come], is_whole)?;
                }
                if !is_whole {
                    self.frame = Some(frame);
                    return Ok(None);
                }
                let payload = self.input.split_to(come).freeze();
                return Ok(Some(Heard::Message(Message { kind, payload })));
            };
            let is_complete = is_whole && frame.is_final;
            let piece = &self.input[..come];
            let taken = match self.inflater.as_mut().filter(|_| message.is_compressed) {
                Some(inflater) => {
                    let limit = self.limits.message;
                    let pushed = inflater.push(piece, &mut message.payload, limit);
                    pushed.and_then(|()| if is_complete { inflater.end(&mut message.payload, limit) } else { Ok(()) })
                }
                None => {
                    message.payload.extend_from_slice(piece);
                    Ok(())
                }
            };
            self.input.advance(come);
            // What stands first is told first, also where both come at once.
            if message.kind == Kind::Text {
                message.text.check(&message.payload, is_complete && taken.is_ok())?;
            }
            taken?;
            if is_complete {
                let Some(Assembly { kind, payload, .. }) = self.message.take() else { return Ok(None) };
                return Ok(Some(Heard::Message(Message { kind, payload: payload.into() })));
            }
            if !is_whole {
                frame.length -= come;
                frame.unmasked = 0;
                self.frame = Some(frame);
                return Ok(None);
            }
        }
    }

    /// Takes a header once it has come, if the frame may stand here.
    fn header(&mut self) -> Result<Option<Frame>, Fault> {
        let mut cursor = Cursor::new(&self.input[..]);
        let (header, length) = match FrameHeader::parse(&mut cursor) {
            Ok(Some(parsed)) => parsed,
            Ok(None) => return Ok(None),
            Err(tungstenite::Error::Protocol(error)) => return Err(error.into()),
            Err(_) => unreachable!("memory can be read"),
        };
        let size = usize::try_from(cursor.position()).unwrap_or(usize::MAX);
        self.input.advance(size);
        let FrameHeader { is_final, rsv1, rsv2, rsv3, opcode, mask } = header;
        let may_be_compressed = self.inflater.is_some() && matches!(opcode, OpCode::Data(Data::Text | Data::Binary));
        if rsv1 && !may_be_compressed || rsv2 || rsv3 {
            return Err(ProtocolError::NonZeroReservedBits.into());
        }
        match self.role {
            Role::Server if mask.is_none() => return Err(ProtocolError::UnmaskedFrameFromClient.into()),
            Role::Client if mask.is_some() => return Err(ProtocolError::MaskedFrameFromServer.into()),
            Role::Server | Role::Client => {}
        }
        let length = self.check_length(opcode, is_final, rsv1, length)?;
        match (opcode, &self.message) {
            (OpCode::Control(_), _) | (OpCode::Data(Data::Continue), Some(_)) => {}
            (OpCode::Data(Data::Continue), None) => return Err(ProtocolError::UnexpectedContinueFrame.into()),
            (OpCode::Data(data), Some(_)) => return Err(ProtocolError::ExpectedFragment(data).into()),
            (OpCode::Data(data), None) if !is_final || rsv1 => {
                let kind = if data == Data::Text { Kind::Text } else { Kind::Binary };
                let (payload, text) = (Vec::new(), Utf8::default());
                self.message = Some(Assembly { kind, is_compressed: rsv1, payload, text });
            }
            (OpCode::Data(_), None) => {}
        }
        let mask = mask.unwrap_or_default();
        Ok(Some(Frame { opcode, is_final, mask, length, unmasked: 0, text: Utf8::default() }))
    }

    /// Refuses what is too long as soon as it is announced. A compressed message's limit is for what is inflated.
    fn check_length(&self, opcode: OpCode, is_final: bool, rsv1: bool, length: u64) -> Result<usize, Fault> {
        if let OpCode::Control(_) = opcode {
            if !is_final {
                return Err(ProtocolError::FragmentedControlFrame.into());
            }
            if length > 125 {
                return Err(ProtocolError::ControlFrameTooBig.into());
            }
        }
        let is_compressed = rsv1 || self.message.as_ref().is_some_and(|message| message.is_compressed);
        let before = self.message.as_ref().map_or(0, |message| message.payload.len());
        let left = if is_compressed { usize::MAX } else { self.limits.message.saturating_sub(before) };
        let most = self.limits.frame.min(left);
        match usize::try_from(length) {
            Ok(fits) if fits <= most || matches!(opcode, OpCode::Control(_)) => Ok(fits),
            _ if length > self.limits.frame as u64 => Err(Fault::too_long(length, self.limits.frame)),
            _ => Err(Fault::too_long(length.saturating_add(before as u64), self.limits.message)),
        }
    }
}

fn control_frame(control: Control, payload: Bytes) -> Result<Heard, Fault> {
    match control {
        Control::Ping => Ok(Heard::Ping(payload)),
        Control::Pong => Ok(Heard::Pong(payload)),
        Control::Close => close_frame(&payload).map(Heard::Close),
        Control::Reserved(opcode) => Err(ProtocolError::UnknownControlFrameType(opcode).into()),
    }
}

/// RFC 6455 section 5.5.1.
fn close_frame(payload: &[u8]) -> Result<Close, Fault> {
    match payload {
        [] => Ok(Close::new(Close::NO_STATUS, "")),
        [_] => Err(ProtocolError::InvalidCloseSequence.into()),
        [high, low, reason @ ..] => {
            let reason = std::str::from_utf8(reason).map_err(|_| Fault::not_utf8())?;
            let close = Close::new(u16::from_be_bytes([*high, *low]), reason);
            if !close.may_be_sent() {
                let reason = format!("the close code {} may not be sent", close.code);
                return Err(Fault::Violation { code: 1002, reason, hint: None });
            }
            Ok(close)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ws::{
        frame,
        testing::{self, Pieces},
    };
    use bytes::BufMut;
    use proptest::prelude::*;
    use std::task::Waker;

    const LIMITS: Limits = Limits { message: 100_000, frame: 80_000 };

    fn hear(role: Role, bytes: &[u8], cuts: &[usize]) -> (Vec<Heard>, Option<u16>) {
        testing::hear(role, LIMITS, None, bytes, cuts)
    }

    #[derive(Clone, Debug)]
    struct Planned {
        opcode: OpCode,
        is_final: bool,
        payload: Vec<u8>,
        /// Bits of the first byte that are turned round; mostly none.
        damage: u8,
    }

    fn payload() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            4 => ".{0,40}".prop_map(String::into_bytes),
            2 => prop::collection::vec(any::<u8>(), 0..200),
            1 => (0..120_000usize).prop_map(|length| vec![b'x'; length]),
        ]
    }

    fn planned() -> impl Strategy<Value = Planned> {
        let opcode = prop_oneof![
            3 => Just(OpCode::Data(Data::Text)),
            3 => Just(OpCode::Data(Data::Binary)),
            3 => Just(OpCode::Data(Data::Continue)),
            1 => Just(OpCode::Control(Control::Ping)),
            1 => Just(OpCode::Control(Control::Pong)),
            1 => Just(OpCode::Control(Control::Close)),
        ];
        let damage = prop_oneof![20 => Just(0), 1 => any::<u8>()];
        (opcode, prop::bool::weighted(0.7), payload(), damage).prop_map(|(opcode, is_final, payload, damage)| Planned {
            opcode,
            is_final,
            payload,
            damage,
        })
    }

    fn encode(role: Role, frames: &[Planned]) -> Vec<u8> {
        let mut out = BytesMut::new();
        for Planned { opcode, is_final, payload, damage } in frames {
            let start = out.len();
            // Not with what sends frames, for that allows no long control frames.
            let mask = (role == Role::Server).then(rand::random::<[u8; 4]>);
            let header = FrameHeader { is_final: *is_final, opcode: *opcode, mask, ..FrameHeader::default() };
            header.format(payload.len() as u64, &mut (&mut out).writer()).expect("memory takes everything");
            out[start] ^= damage;
            out.extend_from_slice(payload);
            let start = out.len() - payload.len();
            apply_mask(&mut out[start..], mask.unwrap_or_default());
        }
        out.to_vec()
    }

    fn role() -> impl Strategy<Value = Role> {
        prop_oneof![Just(Role::Client), Just(Role::Server)]
    }

    proptest! {
        #[test]
        fn what_is_heard_does_not_depend_on_how_it_is_cut(
            role in role(),
            frames in prop::collection::vec(planned(), 0..8),
            cuts in prop::collection::vec(any::<usize>(), 0..40),
        ) {
            let bytes = encode(role, &frames);
            prop_assert_eq!(hear(role, &bytes, &cuts), hear(role, &bytes, &[]));
        }

        #[test]
        fn short_frames_are_heard_the_same_byte_by_byte(
            role in role(),
            frames in prop::collection::vec(planned(), 0..8),
        ) {
            let mut bytes = encode(role, &frames);
            bytes.truncate(500);
            let every: Vec<usize> = (0..bytes.len()).collect();
            prop_assert_eq!(hear(role, &bytes, &every), hear(role, &bytes, &[]));
        }

        #[test]
        fn tungstenite_hears_the_same(role in role(), frames in prop::collection::vec(planned(), 0..8)) {
            testing::compare(role, LIMITS, &encode(role, &frames));
        }

        #[test]
        fn any_bytes_are_heard_or_refused(role in role(), bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            hear(role, &bytes, &[]);
        }
    }

    #[test]
    fn wrong_text_is_refused_before_its_frame_is_whole() {
        let mut reader = Reader::new(Role::Client, LIMITS, vec![0x81, 10, b'a', 0xff], None);
        let mut cx = Context::from_waker(Waker::noop());
        let mut nothing = Pieces { pieces: Vec::new(), next: 0, is_waiting: false };
        let heard = reader.poll_next(&mut nothing, &mut cx);
        assert!(matches!(heard, Poll::Ready(Err(Fault::Violation { code: 1007, .. }))), "{heard:?}");
    }

    #[test]
    fn a_connection_on_which_nothing_is_under_way_has_no_buffer() {
        let mut bytes = BytesMut::new();
        frame::append(&mut bytes, OpCode::Data(Data::Binary), true, true, &[7; 50_000]);
        let mut io = Pieces { pieces: vec![bytes.to_vec()], next: 0, is_waiting: true };
        let mut reader = Reader::new(Role::Server, LIMITS, Vec::new(), None);
        let mut cx = Context::from_waker(Waker::noop());
        let mut heard = Poll::Pending;
        while heard.is_pending() {
            heard = reader.poll_next(&mut io, &mut cx);
        }
        io.is_waiting = false;
        assert!(reader.poll_next(&mut io, &mut cx).is_pending());
        assert_eq!(reader.held(), (0, 0));
    }
    #[test]
    fn the_start_of_a_frame_behind_a_burst_holds_no_more_than_it_is() {
        let mut bytes = BytesMut::new();
        for _ in 0..20 {
            frame::append(&mut bytes, OpCode::Data(Data::Binary), true, true, &[7; 50_000]);
        }
        bytes.truncate(bytes.len() - 49_000);
        let mut io = Pieces { pieces: vec![bytes.to_vec()], next: 0, is_waiting: true };
        let mut reader = Reader::new(Role::Server, LIMITS, Vec::new(), None);
        let mut cx = Context::from_waker(Waker::noop());
        while io.next == 0 || reader.burst > 0 {
            io.is_waiting = io.next == 0;
            assert!(!matches!(reader.poll_next(&mut io, &mut cx), Poll::Ready(Err(_))));
        }
        let (held, _) = reader.held();
        assert!((1000..2000).contains(&held), "{held} bytes");
    }
}
