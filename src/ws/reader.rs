//! The reader: events from a connection.
//!
//! It reads into a [`ReadBuffer`] and hands what was read to a [`FrameDecoder`] and a [`MessageAssembler`].

use super::{
    Event, Role,
    assembler::MessageAssembler,
    decoder::{Frame, FrameDecoder, control_event},
    deflate::Inflater,
    error::{FrameError, ReadError},
    read_buffer::ReadBuffer,
};
use std::{
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::AsyncRead;
use tokio_tungstenite::tungstenite::protocol::{WebSocketConfig, frame::coding::OpCode};
use tokio_util::io::poll_read_buf;

/// Reads what the peer of one connection sends.
pub struct Reader {
    buffer: ReadBuffer,
    decoder: FrameDecoder,
    assembler: MessageAssembler,
    /// The frame whose payload is being received.
    frame: Option<Frame>,
}

impl Reader {
    /// Reads in this role. `limits` has the longest message and frame; `early` is what was read already.
    pub fn new(role: Role, limits: &WebSocketConfig, early: Vec<u8>, inflater: Option<Inflater>) -> Self {
        let max_frame = limits.max_frame_size.unwrap_or(usize::MAX);
        let max_message = limits.max_message_size.unwrap_or(usize::MAX);
        Self {
            buffer: ReadBuffer::new(early),
            decoder: FrameDecoder::new(role, max_frame, inflater.is_some()),
            assembler: MessageAssembler::new(max_message, inflater),
            frame: None,
        }
    }

    /// The next event. Nothing may be read after an error or a close frame.
    ///
    /// # Errors
    ///
    /// The connection ended or failed, or the peer broke the protocol.
    pub fn poll_next(
        &mut self,
        io: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<Result<Event, ReadError>> {
        let next = self.poll_event(io, cx);
        if let Poll::Ready(Err(_)) = next {
            // The connection stays open until the peer has read the close frame; what it has sent is not needed.
            self.buffer.clear();
            self.assembler.clear();
        }
        next
    }

    fn poll_event(
        &mut self,
        io: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<Result<Event, ReadError>> {
        loop {
            if let Some(event) = self.decode()? {
                return Poll::Ready(Ok(event));
            }
            let expected = self.frame.as_ref().map_or(0, |frame| frame.remaining - self.buffer.bytes.len());
            self.buffer.reserve(expected);
            match poll_read_buf(Pin::new(&mut *io), cx, &mut self.buffer.bytes) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(ReadError::Ended)),
                Poll::Ready(Ok(length)) => self.buffer.received(length),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => {
                    self.buffer.idle();
                    return Poll::Pending;
                }
            }
        }
    }

    /// The next event in what was read, if it is complete.
    fn decode(&mut self) -> Result<Option<Event>, FrameError> {
        let input = &mut self.buffer.bytes;
        loop {
            let mut frame = match self.frame.take() {
                Some(frame) => frame,
                None => {
                    let Some(frame) = self.decoder.header(input)? else { return Ok(None) };
                    if let OpCode::Data(opcode) = frame.opcode {
                        self.assembler.begin(opcode, &frame)?;
                    }
                    frame
                }
            };
            let arrived = frame.unmask(input);
            match frame.opcode {
                OpCode::Control(opcode) if arrived == frame.remaining => {
                    return control_event(opcode, input.split_to(arrived).freeze()).map(Some);
                }
                OpCode::Control(_) => {}
                OpCode::Data(_) => {
                    if let Some(message) = self.assembler.take(&mut frame, input, arrived)? {
                        return Ok(Some(Event::Message(message)));
                    }
                    if frame.remaining == 0 {
                        continue;
                    }
                }
            }
            self.frame = Some(frame);
            return Ok(None);
        }
    }

    /// Bytes of memory held by the input, and by a message that is being assembled.
    #[cfg(any(test, fuzzing))]
    pub fn held(&self) -> (usize, usize) {
        (self.buffer.bytes.capacity(), self.assembler.capacity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ws::{
        encoder::{self, apply_mask},
        testing::{self, Pieces},
    };
    use bytes::{BufMut, BytesMut};
    use proptest::prelude::*;
    use std::task::Waker;
    use tokio_tungstenite::tungstenite::protocol::frame::{
        FrameHeader,
        coding::{Control, Data},
    };

    fn limits() -> WebSocketConfig {
        testing::limits(100_000, 80_000)
    }

    fn events(role: Role, bytes: &[u8], cuts: &[usize]) -> (Vec<Event>, Option<u16>) {
        testing::events(role, &limits(), None, bytes, cuts)
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
        fn events_do_not_depend_on_how_the_stream_is_cut(
            role in role(),
            frames in prop::collection::vec(planned(), 0..8),
            cuts in prop::collection::vec(any::<usize>(), 0..40),
        ) {
            let bytes = encode(role, &frames);
            prop_assert_eq!(events(role, &bytes, &cuts), events(role, &bytes, &[]));
        }

        #[test]
        fn short_frames_give_the_same_events_byte_by_byte(
            role in role(),
            frames in prop::collection::vec(planned(), 0..8),
        ) {
            let mut bytes = encode(role, &frames);
            bytes.truncate(500);
            let every: Vec<usize> = (0..bytes.len()).collect();
            prop_assert_eq!(events(role, &bytes, &every), events(role, &bytes, &[]));
        }

        #[test]
        fn tungstenite_reads_the_same(role in role(), frames in prop::collection::vec(planned(), 0..8)) {
            testing::compare(role, &limits(), &encode(role, &frames));
        }

        #[test]
        fn any_bytes_are_read_or_refused(role in role(), bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            events(role, &bytes, &[]);
        }
    }

    #[test]
    fn invalid_text_is_refused_before_its_frame_is_complete() {
        let mut reader = Reader::new(Role::Client, &limits(), vec![0x81, 10, b'a', 0xff], None);
        let mut cx = Context::from_waker(Waker::noop());
        let mut nothing = Pieces { pieces: Vec::new(), next: 0, is_waiting: false };
        let received = reader.poll_next(&mut nothing, &mut cx);
        assert!(matches!(received, Poll::Ready(Err(ReadError::Frame(FrameError::Utf8)))), "{received:?}");
    }

    #[test]
    fn an_idle_connection_has_no_buffer() {
        let mut bytes = BytesMut::new();
        encoder::append(&mut bytes, OpCode::Data(Data::Binary), true, true, &[7; 50_000]);
        let mut io = Pieces { pieces: vec![bytes.to_vec()], next: 0, is_waiting: true };
        let mut reader = Reader::new(Role::Server, &limits(), Vec::new(), None);
        let mut cx = Context::from_waker(Waker::noop());
        let mut received = Poll::Pending;
        while received.is_pending() {
            received = reader.poll_next(&mut io, &mut cx);
        }
        io.is_waiting = false;
        assert!(reader.poll_next(&mut io, &mut cx).is_pending());
        assert_eq!(reader.held(), (0, 0));
    }

    #[test]
    fn the_start_of_a_frame_after_a_burst_holds_little_more_than_its_size() {
        let mut bytes = BytesMut::new();
        for _ in 0..20 {
            encoder::append(&mut bytes, OpCode::Data(Data::Binary), true, true, &[7; 50_000]);
        }
        bytes.truncate(bytes.len() - 49_000);
        let mut io = Pieces { pieces: vec![bytes.to_vec()], next: 0, is_waiting: true };
        let mut reader = Reader::new(Role::Server, &limits(), Vec::new(), None);
        let mut cx = Context::from_waker(Waker::noop());
        while io.next == 0 || !reader.buffer.is_idle() {
            io.is_waiting = io.next == 0;
            assert!(!matches!(reader.poll_next(&mut io, &mut cx), Poll::Ready(Err(_))));
        }
        let (held, _) = reader.held();
        assert!((1000..2000).contains(&held), "{held} bytes");
    }
}
