//! The frame decoder (RFC 6455 section 5.2): headers, masking, and the rules for control frames.
//!
//! It decodes bytes that its caller has read, and does no I/O.

use super::{
    Event, Role,
    encoder::{apply_mask, apply_whole_mask},
    error::FrameError,
};
use crate::message::{Close, Kind, MAX_CONTROL_PAYLOAD, Message};
use bytes::{Buf, Bytes, BytesMut};
use tokio_tungstenite::tungstenite::{
    error::ProtocolError,
    protocol::frame::coding::{Control, Data, OpCode},
};

/// Decodes the frames that the peer of one connection sends.
pub struct FrameDecoder {
    role: Role,
    /// The longest payload of a data frame in bytes.
    max_length: usize,
    allows_compression: bool,
}

/// A frame whose header has been decoded, and how much of its payload has been taken.
#[derive(Debug)]
pub struct Frame {
    /// What the frame is.
    pub opcode: OpCode,
    /// Whether it is the last frame of its message.
    pub is_final: bool,
    /// Whether it begins a compressed message.
    pub is_compressed: bool,
    /// Bytes of payload that have not been taken yet. The first of them is the first byte of the input.
    pub remaining: usize,
    /// The masking key, rotated to the first byte that is still masked.
    mask: Option<[u8; 4]>,
    /// Bytes at the start of the input that are unmasked.
    unmasked: usize,
}

/// Bits of the first byte of a header.
const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const RSV2: u8 = 0x20;
const RSV3: u8 = 0x10;
const OPCODE: u8 = 0x0f;
/// The first byte of a message of one frame that is not compressed.
const TEXT: u8 = FIN | 1;
const BINARY: u8 = FIN | 2;
/// Bits of the second byte.
const MASK: u8 = 0x80;
const LENGTH: u8 = 0x7f;
/// The longest payload whose length stands in the second byte.
const MAX_SHORT: usize = 125;

/// A header as it was sent. tungstenite's parser, which reads from any `io::Read`, took twice the instructions.
struct Header {
    first: u8,
    length: u64,
    mask: Option<[u8; 4]>,
    /// Its own size in bytes.
    size: usize,
}

impl Header {
    /// The header at the start of `input`, if all of it has arrived.
    #[inline]
    fn parse(input: &[u8]) -> Option<Self> {
        let (&[first, second], rest) = input.split_first_chunk()?;
        let (length, rest) = match second & LENGTH {
            126 => {
                let (length, rest) = rest.split_first_chunk()?;
                (u16::from_be_bytes(*length).into(), rest)
            }
            127 => {
                let (length, rest) = rest.split_first_chunk()?;
                (u64::from_be_bytes(*length), rest)
            }
            length => (length.into(), rest),
        };
        let (mask, rest) = if second & MASK == 0 {
            (None, rest)
        } else {
            let (mask, rest) = rest.split_first_chunk()?;
            (Some(*mask), rest)
        };
        Some(Self { first, length, mask, size: input.len() - rest.len() })
    }
}

impl FrameDecoder {
    /// A decoder for frames that are sent to `role`. `allows_compression`: permessage-deflate was negotiated, so the first
    /// reserved bit may mark a compressed message (RFC 7692 section 6).
    pub fn new(role: Role, max_length: usize, allows_compression: bool) -> Self {
        Self { role, max_length, allows_compression }
    }

    /// Takes a message of up to `most` bytes from the start of the input, if it is a single frame with a header of the shortest form, not
    /// compressed, and all of it has arrived. `None`: it is something else, and the input is unchanged.
    #[inline]
    pub fn short_message(&self, input: &mut BytesMut, most: usize) -> Option<Message> {
        let (mask_bit, header) = match self.role {
            Role::Server => (MASK, 6),
            Role::Client => (0, 2),
        };
        let (start, rest) = input.split_first_chunk_mut()?;
        let [first, second] = *start;
        let kind = match first {
            TEXT => Kind::Text,
            BINARY => Kind::Binary,
            _ => return None,
        };
        // Without the right mask bit, or where 126 and 127 stand for a longer form, it is more than the limit.
        let length = usize::from(second ^ mask_bit);
        if length > most.min(self.max_length).min(MAX_SHORT) {
            return None;
        }
        let (mask, payload) = match self.role {
            Role::Server => rest.split_first_chunk_mut().map(|(mask, rest)| (*mask, rest))?,
            Role::Client => ([0; 4], rest),
        };
        let payload = payload.get_mut(..length)?;
        if self.role == Role::Server {
            apply_whole_mask(payload, mask);
        }
        if kind == Kind::Text && std::str::from_utf8(payload).is_err() {
            // The assembler refuses it.
            apply_whole_mask(payload, mask);
            return None;
        }
        let mut payload = input.split_to(header + length).freeze();
        payload.advance(header);
        Some(Message { kind, payload })
    }

    /// Takes a header from the start of the input. `None`: it is not complete yet, and the input is unchanged.
    ///
    /// # Errors
    ///
    /// The frame breaks the protocol, or its payload is longer than the limit. Both are found before the payload has come.
    #[inline]
    pub fn header(&self, input: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        let Some(Header { first, length, mask, size }) = Header::parse(input) else { return Ok(None) };
        input.advance(size);
        let opcode = OpCode::from(first & OPCODE);
        if let OpCode::Control(Control::Reserved(_)) | OpCode::Data(Data::Reserved(_)) = opcode {
            return Err(ProtocolError::InvalidOpcode(first & OPCODE).into());
        }
        let (is_final, is_compressed) = (first & FIN != 0, first & RSV1 != 0);
        let may_be_compressed = self.allows_compression && matches!(opcode, OpCode::Data(Data::Text | Data::Binary));
        if is_compressed && !may_be_compressed || first & (RSV2 | RSV3) != 0 {
            return Err(ProtocolError::NonZeroReservedBits.into());
        }
        match self.role {
            Role::Server if mask.is_none() => return Err(ProtocolError::UnmaskedFrameFromClient.into()),
            Role::Client if mask.is_some() => return Err(ProtocolError::MaskedFrameFromServer.into()),
            Role::Server | Role::Client => {}
        }
        let max_length = match opcode {
            OpCode::Control(_) if !is_final => return Err(ProtocolError::FragmentedControlFrame.into()),
            OpCode::Control(_) if length > MAX_CONTROL_PAYLOAD as u64 => {
                return Err(ProtocolError::ControlFrameTooBig.into());
            }
            OpCode::Control(_) => usize::MAX,
            OpCode::Data(_) => self.max_length,
        };
        match usize::try_from(length) {
            Ok(remaining) if remaining <= max_length => {
                Ok(Some(Frame { opcode, is_final, is_compressed, remaining, mask, unmasked: 0 }))
            }
            _ => Err(FrameError::too_long(length, max_length)),
        }
    }
}

impl Frame {
    /// Unmasks what has arrived of the payload. Returns how many bytes at the start of the input are payload of this frame.
    #[inline]
    pub fn unmask(&mut self, input: &mut [u8]) -> usize {
        let arrived = self.remaining.min(input.len());
        if let Some(mask) = &mut self.mask
            && let Some(masked) = input.get_mut(self.unmasked..arrived)
        {
            *mask = apply_mask(masked, *mask);
            self.unmasked = arrived;
        }
        arrived
    }

    /// The first `length` bytes of the payload, which are unmasked, have been taken from the input.
    #[inline]
    pub fn advance(&mut self, length: usize) {
        self.remaining -= length;
        self.unmasked = self.unmasked.saturating_sub(length);
    }
}

/// The event of a control frame with this payload.
///
/// # Errors
///
/// The opcode is reserved, or the payload is not that of a close frame (RFC 6455 section 5.5.1).
pub fn control_event(opcode: Control, payload: Bytes) -> Result<Event, FrameError> {
    match opcode {
        Control::Ping => Ok(Event::Ping(payload)),
        Control::Pong => Ok(Event::Pong(payload)),
        Control::Close => close_payload(&payload).map(Event::Close),
        Control::Reserved(opcode) => Err(ProtocolError::UnknownControlFrameType(opcode).into()),
    }
}

fn close_payload(payload: &[u8]) -> Result<Close, FrameError> {
    match payload {
        [] => Ok(Close::new(Close::NO_STATUS, "")),
        [_] => Err(ProtocolError::InvalidCloseSequence.into()),
        [high, low, reason @ ..] => {
            let reason = std::str::from_utf8(reason).map_err(|_| FrameError::Utf8)?;
            let close = Close::new(u16::from_be_bytes([*high, *low]), reason);
            if !close.may_be_sent() {
                return Err(FrameError::CloseCode(close.code));
            }
            Ok(close)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 70_000;
    const KEY: [u8; 4] = [1, 2, 4, 8];

    fn decode(role: Role, bytes: &[u8]) -> Result<Option<Frame>, FrameError> {
        FrameDecoder::new(role, LIMIT, false).header(&mut bytes.into())
    }

    #[track_caller]
    fn is_refused(role: Role, bytes: &[u8], expected: u16) {
        match decode(role, bytes) {
            Err(error) => assert_eq!(error.close().code, expected, "{bytes:02x?}"),
            other => panic!("{other:?} of {bytes:02x?}"),
        }
    }

    #[test]
    fn a_header_is_decoded_when_all_of_it_has_arrived() {
        let masked = |start: &[u8]| [start, &KEY].concat();
        for (role, header, length) in [
            (Role::Client, vec![0x82, 125], 125),
            (Role::Client, vec![0x82, 126, 1, 0], 256),
            (Role::Client, vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70], LIMIT),
            (Role::Server, masked(&[0x82, 0x80 | 5]), 5),
            (Role::Server, masked(&[0x82, 0x80 | 126, 1, 0]), 256),
        ] {
            for cut in 0..header.len() {
                let mut input = BytesMut::from(&header[..cut]);
                let decoded = FrameDecoder::new(role, LIMIT, false).header(&mut input);
                assert!(matches!(decoded, Ok(None)), "{decoded:?}");
                assert_eq!(input.len(), cut, "the input is unchanged");
            }
            let mut input = BytesMut::from(&header[..]);
            input.extend_from_slice(b"x");
            let frame = FrameDecoder::new(role, LIMIT, false).header(&mut input).expect("valid").expect("complete");
            assert_eq!((frame.opcode, frame.remaining), (OpCode::Data(Data::Binary), length));
            assert!(frame.is_final && !frame.is_compressed);
            assert_eq!(&input[..], b"x", "the payload stays");
        }
    }

    #[test]
    fn a_short_message_is_taken_when_all_of_it_has_arrived() {
        for (role, mask_bit, key) in [(Role::Server, MASK, &KEY[..]), (Role::Client, 0, &[])] {
            let decoder = FrameDecoder::new(role, LIMIT, false);
            let masked = |payload: &[u8]| {
                let mut payload = payload.to_vec();
                apply_mask(&mut payload, key.try_into().unwrap_or_default());
                payload
            };
            for (first, kind, text) in [(0x81, Kind::Text, "grün".repeat(25)), (0x82, Kind::Binary, String::new())] {
                let length = u8::try_from(text.len()).expect("a short payload");
                let frame = [&[first, mask_bit | length], key, &masked(text.as_bytes())].concat();
                for cut in 0..frame.len() {
                    let mut input = BytesMut::from(&frame[..cut]);
                    assert_eq!(decoder.short_message(&mut input, LIMIT), None);
                    assert_eq!(&input[..], &frame[..cut], "the input is unchanged");
                }
                let mut input = BytesMut::from(&[&frame[..], b"next"].concat()[..]);
                let message = decoder.short_message(&mut input, LIMIT).expect("complete");
                assert_eq!((message.kind, &message.payload[..]), (kind, text.as_bytes()));
                assert_eq!(&input[..], b"next");
            }
        }
    }

    #[test]
    fn what_is_no_short_message_stays_as_it_is() {
        let decoder = FrameDecoder::new(Role::Client, 5, true);
        for frame in [
            &b"\x01\x01a"[..],    // a fragment
            b"\x80\x01a",         // the last one
            b"\xc1\x01a",         // compressed
            b"\xa2\x01a",         // a reserved bit
            b"\x83\x01a",         // a reserved opcode
            b"\x89\x01a",         // a ping
            b"\x82\x7e\x00\x01a", // a longer form of the length
            b"\x82\x81\0\0\0\0a", // masked by a server
            b"\x81\x01\xff",      // not UTF-8
            b"\x82\x06abcdef",    // a frame that is too long
            b"\x82\x05abcde",     // a message that is too long
        ] {
            let mut input = BytesMut::from(&[frame, &[0; 200]].concat()[..]);
            let before = input.clone();
            assert_eq!(decoder.short_message(&mut input, 4), None, "{frame:02x?}");
            assert_eq!(input, before, "{frame:02x?}");
        }
        for frame in [&b"\x82\x01a\0\0\0\0"[..], b"\x81\x81\x01\x02\x04\x08\xfe"] {
            let mut input = BytesMut::from(frame);
            assert_eq!(FrameDecoder::new(Role::Server, LIMIT, false).short_message(&mut input, LIMIT), None);
            assert_eq!(&input[..], frame);
        }
    }

    #[test]
    fn headers_that_break_the_protocol_are_refused_before_their_payload_comes() {
        for reserved_bit in [0x40, 0x20, 0x10] {
            is_refused(Role::Client, &[0x82 | reserved_bit, 5], 1002);
        }
        for reserved_opcode in [0x83, 0x87, 0x8b, 0x8f] {
            is_refused(Role::Client, &[reserved_opcode, 5], 1002);
        }
        is_refused(Role::Server, &[0x82, 5], 1002);
        is_refused(Role::Client, &[0x82, 0x85, 0, 0, 0, 0], 1002);
        for fragmented in [0x08, 0x09, 0x0a] {
            is_refused(Role::Client, &[fragmented, 5], 1002);
        }
        is_refused(Role::Client, &[0x89, 126, 0, 126], 1002);
        is_refused(Role::Client, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x71], 1009);
        is_refused(Role::Client, &[0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 1009);
    }

    #[test]
    fn the_first_reserved_bit_may_mark_only_the_start_of_a_message() {
        let decoder = FrameDecoder::new(Role::Client, LIMIT, true);
        for start in [0xc1, 0xc2, 0x41, 0x42] {
            let frame = decoder.header(&mut [start, 5][..].into()).expect("valid").expect("complete");
            assert!(frame.is_compressed, "{start:02x}");
        }
        for other in [0xc0, 0xc8, 0xc9, 0xca, 0xe1, 0xd1] {
            assert!(decoder.header(&mut [other, 5][..].into()).is_err(), "{other:02x}");
        }
    }

    #[test]
    fn control_frames_have_a_limit_of_their_own() {
        let decoder = FrameDecoder::new(Role::Client, 1, false);
        let frame = decoder.header(&mut [0x89, 125][..].into()).expect("valid").expect("complete");
        assert_eq!(frame.remaining, 125);
    }

    #[test]
    fn a_payload_is_unmasked_once_however_it_arrives_and_is_taken() {
        let plain: Vec<u8> = (0..50).collect();
        let mut wire = vec![0x82, 0x80 | 50];
        wire.extend(KEY);
        wire.extend(plain.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
        wire.extend(b"next");
        for piece in 1..wire.len() {
            for takes_at_once in [false, true] {
                let decoder = FrameDecoder::new(Role::Server, LIMIT, false);
                let (mut input, mut frame, mut taken) = (BytesMut::new(), None, Vec::new());
                for bytes in wire.chunks(piece) {
                    input.extend_from_slice(bytes);
                    if frame.is_none() {
                        frame = decoder.header(&mut input).expect("valid");
                    }
                    if let Some(frame) = &mut frame {
                        let arrived = frame.unmask(&mut input);
                        if takes_at_once || arrived == frame.remaining {
                            taken.extend_from_slice(&input.split_to(arrived));
                            frame.advance(arrived);
                        }
                    }
                }
                assert_eq!(taken, plain, "in pieces of {piece}");
                assert_eq!(&input[..], b"next");
            }
        }
    }

    #[test]
    fn a_close_frame_has_no_payload_or_a_valid_code_and_reason() {
        let close = |payload: &'static [u8]| control_event(Control::Close, Bytes::from_static(payload));
        assert_eq!(close(b"").expect("valid"), Event::Close(Close::new(1005, "")));
        assert_eq!(close(b"\x03\xe8").expect("valid"), Event::Close(Close::new(1000, "")));
        assert_eq!(close(b"\x03\xf6bye").expect("valid"), Event::Close(Close::new(1014, "bye")));
        for (invalid, expected) in [(&b"\x03"[..], 1002), (b"\x03\xed", 1002), (b"\x03\xe8\xff", 1007)] {
            match close(invalid) {
                Err(error) => assert_eq!(error.close().code, expected),
                other => panic!("{other:?} of {invalid:02x?}"),
            }
        }
    }
}
