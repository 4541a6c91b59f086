//! The message assembler (RFC 6455 section 5.4): joins fragments, inflates, and checks texts and lengths.
//!
//! It takes the payload of decoded frames from the input, and does no I/O. A message of one uncompressed frame stays in the
//! input until it is complete, and then becomes a `Bytes` that shares its memory: it is not copied.

use super::{budget::Budget, decoder::Frame, deflate::Inflater, error::FrameError};
use crate::message::{Kind, Message};
use bytes::{Buf, BytesMut};
use tokio_tungstenite::tungstenite::{
    error::ProtocolError,
    protocol::frame::coding::{Data, OpCode},
};

/// The most fragments of a message, as in the ws library of Node.js. A longer limit for messages allows more.
const MAX_FRAGMENTS: usize = 16_384;
/// Fragments of this size on average, in bytes, are allowed in any number that the longest message has. The Autobahn test suite
/// sends 4 MiB in fragments of 64 bytes, which fit the default limit of 64 MiB.
const FRAGMENT: usize = 512;

/// Assembles the messages that the peer of one connection sends.
pub struct MessageAssembler {
    /// The longest message in bytes.
    max_length: usize,
    /// Present if permessage-deflate was negotiated.
    inflater: Option<Box<Inflater>>,
    /// The message whose frames are being received, if it is fragmented or compressed.
    partial: Option<Partial>,
    /// How much of the current frame's text has been checked, if the frame is a whole message.
    text: Utf8,
}

/// A message that is fragmented or compressed, as far as it has been received.
struct Partial {
    kind: Kind,
    is_compressed: bool,
    payload: Vec<u8>,
    text: Utf8,
    /// Fragments begun so far.
    fragments: usize,
    /// Bytes of payload that have come.
    received: usize,
}

/// How many bytes at the start of a text are known to be valid UTF-8.
#[derive(Default)]
struct Utf8(usize);

impl Utf8 {
    /// Checks what was appended. Unless the text is complete, its last character may be incomplete.
    #[inline]
    fn check(&mut self, text: &[u8], is_complete: bool) -> Result<(), FrameError> {
        match std::str::from_utf8(text.get(self.0..).unwrap_or_default()) {
            Ok(_) => self.0 = text.len(),
            Err(error) if error.error_len().is_none() && !is_complete => self.0 += error.valid_up_to(),
            Err(_) => return Err(FrameError::Utf8),
        }
        Ok(())
    }
}

impl MessageAssembler {
    /// An assembler of messages of up to `max_length` bytes, inflated where permessage-deflate was negotiated.
    pub fn new(max_length: usize, inflater: Option<Inflater>) -> Self {
        Self { max_length, inflater: inflater.map(Box::new), partial: None, text: Utf8::default() }
    }

    /// The longest message that may begin now, in bytes. `None`: another one is unfinished.
    #[inline]
    pub fn max_next(&self) -> Option<usize> {
        self.partial.is_none().then_some(self.max_length)
    }

    /// Begins a data frame, before any of its payload is taken.
    ///
    /// # Errors
    ///
    /// The frame does not belong here (RFC 6455 section 5.4), makes its message longer than the limit, or is one fragment too many.
    #[inline]
    pub fn begin(&mut self, opcode: Data, frame: &Frame) -> Result<(), FrameError> {
        let (before, is_compressed) = match &self.partial {
            Some(partial) => (partial.payload.len(), partial.is_compressed || frame.is_compressed),
            None => (0, frame.is_compressed),
        };
        // The limit for a compressed message holds for what is inflated.
        if !is_compressed && frame.remaining > self.max_length.saturating_sub(before) {
            return Err(FrameError::too_long(frame.remaining.saturating_add(before) as u64, self.max_length));
        }
        match (opcode, &mut self.partial) {
            (Data::Continue, Some(partial)) => {
                partial.fragments += 1;
                let most = MAX_FRAGMENTS.max(self.max_length / FRAGMENT);
                if partial.fragments > most {
                    return Err(FrameError::Fragments(most));
                }
            }
            (Data::Continue, None) => return Err(ProtocolError::UnexpectedContinueFrame.into()),
            (_, Some(_)) => return Err(ProtocolError::ExpectedFragment(opcode).into()),
            (_, None) if frame.is_final && !frame.is_compressed => self.text = Utf8::default(),
            (_, None) => {
                let kind = if opcode == Data::Text { Kind::Text } else { Kind::Binary };
                let (payload, text) = (Vec::new(), Utf8::default());
                self.partial = Some(Partial {
                    kind,
                    is_compressed: frame.is_compressed,
                    payload,
                    text,
                    fragments: 1,
                    received: 0,
                });
            }
        }
        Ok(())
    }

    /// Takes what it can of a data frame's payload. The first `arrived` bytes of the input are that payload, unmasked.
    /// Returns a message when this completes it. Of compressed payload it leaves in the input what the budget does not allow.
    ///
    /// # Errors
    ///
    /// The message is not valid UTF-8, cannot be inflated, or is longer than the limit when it is.
    #[inline]
    pub fn take(
        &mut self,
        frame: &mut Frame,
        input: &mut BytesMut,
        arrived: usize,
        budget: &mut Budget,
    ) -> Result<Option<Message>, FrameError> {
        let is_whole = arrived == frame.remaining;
        let piece = input.get(..arrived).unwrap_or(input);
        let Some(partial) = &mut self.partial else {
            let kind = if frame.opcode == OpCode::Data(Data::Text) { Kind::Text } else { Kind::Binary };
            if kind == Kind::Text {
                self.text.check(piece, is_whole)?;
            }
            if !is_whole {
                return Ok(None);
            }
            frame.advance(arrived);
            return Ok(Some(Message { kind, payload: input.split_to(arrived).freeze() }));
        };
        let mut is_complete = is_whole && frame.is_final;
        let mut taken = arrived;
        let appended = match self.inflater.as_mut().filter(|_| partial.is_compressed) {
            Some(inflater) => {
                let pushed = inflater.push(piece, &mut partial.payload, self.max_length, budget);
                pushed.and_then(|used| {
                    taken = used;
                    is_complete &= used == arrived;
                    if is_complete { inflater.end(&mut partial.payload, self.max_length) } else { Ok(()) }
                })
            }
            None => {
                partial.payload.extend_from_slice(piece);
                Ok(())
            }
        };
        partial.received += taken;
        input.advance(taken);
        frame.advance(taken);
        // Report the earliest error: what was inflated before the data turned out to be damaged may be invalid text.
        if partial.kind == Kind::Text {
            partial.text.check(&partial.payload, is_complete && appended.is_ok())?;
        }
        appended?;
        let complete = self.partial.take_if(|_| is_complete);
        Ok(complete.map(|Partial { kind, payload, .. }| Message { kind, payload: payload.into() }))
    }

    /// Gives back the memory of a connection from which nothing more is read.
    pub fn clear(&mut self) {
        (self.partial, self.inflater) = (None, None);
    }

    /// How many bytes of an unfinished message that is fragmented or compressed have come. What it is inflated to does not count
    /// beyond that, nor do bytes that give nothing.
    pub fn received(&self) -> Option<usize> {
        self.partial.as_ref().map(|partial| partial.payload.len().min(partial.received))
    }

    /// Bytes of the message being assembled.
    pub fn len(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| partial.payload.len())
    }

    /// Bytes of memory that the message being assembled and the state of its decompressor occupy.
    #[inline]
    pub fn held(&self) -> usize {
        let Some(partial) = &self.partial else { return 0 };
        partial.payload.capacity() + self.inflater.as_ref().map_or(0, |inflater| inflater.held())
    }

    /// Bytes that the message being assembled occupies.
    #[cfg(any(test, fuzzing))]
    pub fn capacity(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| partial.payload.capacity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ws::{Role, decoder::FrameDecoder};

    const LIMIT: usize = 20;

    /// A frame of a server.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        [&[first, u8::try_from(payload.len()).expect("a short payload")], payload].concat()
    }

    /// The messages of data frames that arrive in pieces of so many bytes, and the close code of the error.
    fn assemble(frames: &[Vec<u8>], piece: usize) -> (Vec<Message>, Option<u16>) {
        let decoder = FrameDecoder::new(Role::Client, usize::MAX, false);
        let mut assembler = MessageAssembler::new(LIMIT, None);
        let (mut input, mut frame, mut messages) = (BytesMut::new(), None, Vec::new());
        let mut next = |input: &mut BytesMut| -> Result<bool, FrameError> {
            if frame.is_none() {
                frame = decoder.header(input)?;
                if let Some(frame) = &frame {
                    let OpCode::Data(opcode) = frame.opcode else { panic!("a control frame") };
                    assembler.begin(opcode, frame)?;
                }
            }
            let Some(current) = &mut frame else { return Ok(false) };
            let arrived = input.len().min(current.remaining);
            messages.extend(assembler.take(current, input, arrived, &mut Budget::new())?);
            Ok(frame.take_if(|frame| frame.remaining == 0).is_some())
        };
        for bytes in frames.concat().chunks(piece) {
            input.extend_from_slice(bytes);
            loop {
                match next(&mut input) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => return (messages, Some(error.close().code)),
                }
            }
        }
        (messages, None)
    }

    #[track_caller]
    fn gives(frames: &[Vec<u8>], expected: &[(Kind, &[u8])], code: Option<u16>) {
        let expected: Vec<_> =
            expected.iter().map(|(kind, payload)| Message { kind: *kind, payload: payload.to_vec().into() }).collect();
        for piece in 1..=frames.concat().len() {
            assert_eq!(assemble(frames, piece), (expected.clone(), code), "in pieces of {piece}");
        }
    }

    #[test]
    fn fragments_are_joined_and_whole_messages_pass() {
        let frames = [
            frame(0x81, b"one"),
            frame(0x02, b"t"),
            frame(0x00, b""),
            frame(0x80, b"wo"),
            frame(0x81, b""),
            frame(0x82, b"\xff"),
        ];
        let expected: [(Kind, &[u8]); 4] =
            [(Kind::Text, b"one"), (Kind::Binary, b"two"), (Kind::Text, b""), (Kind::Binary, b"\xff")];
        gives(&frames, &expected, None);
    }

    #[test]
    fn a_frame_that_does_not_belong_where_it_stands_is_refused() {
        gives(&[frame(0x80, b"x")], &[], Some(1002));
        gives(&[frame(0x01, b"x"), frame(0x81, b"y")], &[], Some(1002));
        gives(&[frame(0x01, b"x"), frame(0x80, b"y"), frame(0x80, b"z")], &[(Kind::Text, b"xy")], Some(1002));
    }

    #[test]
    fn a_message_may_be_as_long_as_the_limit() {
        gives(&[frame(0x82, &[7; LIMIT])], &[(Kind::Binary, &[7; LIMIT])], None);
        gives(&[frame(0x02, &[7; 10]), frame(0x80, &[7; 10])], &[(Kind::Binary, &[7; LIMIT])], None);
        gives(&[frame(0x82, &[7; LIMIT + 1])], &[], Some(1009));
        gives(&[frame(0x02, &[7; 10]), frame(0x80, &[7; 11])], &[], Some(1009));
    }

    #[test]
    fn a_message_that_is_too_long_is_refused_when_its_header_announces_it() {
        let mut input = BytesMut::from(&frame(0x82, &[7; LIMIT + 1])[..2]);
        let frame = FrameDecoder::new(Role::Client, usize::MAX, false).header(&mut input).expect("valid");
        let begun = MessageAssembler::new(LIMIT, None).begin(Data::Binary, &frame.expect("complete"));
        assert!(matches!(begun, Err(FrameError::Capacity(_))), "{begun:?}");
    }

    #[test]
    fn text_is_checked_as_it_arrives() {
        gives(&[frame(0x81, "ä€".as_bytes())], &[(Kind::Text, "ä€".as_bytes())], None);
        gives(&[frame(0x01, b"\xc3"), frame(0x80, b"\xa4")], &[(Kind::Text, "ä".as_bytes())], None);
        gives(&[frame(0x81, b"\xc3")], &[], Some(1007));
        gives(&[frame(0x01, b"\xc3"), frame(0x80, b"x")], &[], Some(1007));
        // Neither frame is complete.
        let mut cut = frame(0x81, b"a\xff0123456789");
        cut.truncate(4);
        assert_eq!(assemble(&[cut], 100), (Vec::new(), Some(1007)));
    }
}
