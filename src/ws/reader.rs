//! The reader: events from a connection.
//!
//! It reads into a [`ReadBuffer`] and hands what was read to a [`FrameDecoder`] and a [`MessageAssembler`].

use super::{
    Event, Role,
    assembler::MessageAssembler,
    budget::{Budget, FRAME_COST},
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
    /// What may be done until [`poll_next`](Self::poll_next) next returns `Pending`.
    budget: Budget,
    has_yielded: bool,
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
            budget: Budget::new(),
            has_yielded: false,
        }
    }

    /// The next event. Nothing may be read after an error or a close frame.
    ///
    /// `Pending` may also mean that it is another task's turn, while there is more to read: the task is woken at once then.
    /// Only frames that complete no message count for that, since the caller can count messages.
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
            if self.budget.is_spent() {
                self.budget.renew();
                self.has_yielded = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Some(event) = self.decode()? {
                return Poll::Ready(Ok(event));
            }
            if self.budget.is_spent() {
                continue;
            }
            let expected = self.frame.as_ref().map_or(0, |frame| frame.remaining - self.buffer.bytes.len());
            self.buffer.reserve(expected);
            match poll_read_buf(Pin::new(&mut *io), cx, &mut self.buffer.bytes) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(ReadError::Ended)),
                Poll::Ready(Ok(length)) => {
                    self.buffer.received(length);
                    self.budget.spend(length);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => {
                    self.buffer.idle();
                    self.budget.renew();
                    self.has_yielded = false;
                    return Poll::Pending;
                }
            }
        }
    }

    /// Whether the last `Pending` of [`poll_next`](Self::poll_next) meant that it was another task's turn.
    pub fn has_yielded(&self) -> bool {
        self.has_yielded
    }

    /// Bytes of an unfinished message that is fragmented or compressed, inflated.
    pub fn assembled(&self) -> usize {
        self.assembler.len()
    }

    /// The next event in what was read, if it is complete and the budget lasts.
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
                    self.budget.spend(FRAME_COST);
                    return control_event(opcode, input.split_to(arrived).freeze()).map(Some);
                }
                OpCode::Control(_) => {}
                OpCode::Data(_) => {
                    if let Some(message) = self.assembler.take(&mut frame, input, arrived, &mut self.budget)? {
                        return Ok(Some(Event::Message(message)));
                    }
                    if frame.remaining == 0 {
                        self.budget.spend(FRAME_COST);
                        if self.budget.is_spent() {
                            return Ok(None);
                        }
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
        read_buffer::MAX_READ,
        testing::{self, Pieces, wake_counter},
    };
    use bytes::{BufMut, BytesMut};
    use proptest::prelude::*;
    use std::{io, sync::atomic::Ordering::Relaxed, task::Waker};
    use tokio::io::ReadBuf;
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

    /// A connection on which the same bytes arrive for ever, and how many have been read.
    struct Endless<'a>(&'a [u8], usize);

    impl AsyncRead for Endless<'_> {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            while buf.remaining() > 0 {
                let rest = &self.0[self.1 % self.0.len()..];
                let length = rest.len().min(buf.remaining());
                buf.put_slice(&rest[..length]);
                self.1 += length;
            }
            Poll::Ready(Ok(()))
        }
    }

    /// Frames of a client, masked with zeros.
    fn frames(first: u8, payload: &[u8], times: usize) -> Vec<u8> {
        let length = u8::try_from(payload.len()).expect("a short payload");
        [&[first, 0x80 | length, 0, 0, 0, 0], payload].concat().repeat(times)
    }

    /// Reads from an endless connection until it is another task's turn. Returns the number of bytes and of events.
    fn one_poll(reader: &mut Reader, endless: &[u8]) -> (usize, usize) {
        let (wakes, waker) = wake_counter();
        let mut io = Endless(endless, 0);
        let mut events = 0;
        while let Poll::Ready(event) = reader.poll_next(&mut io, &mut Context::from_waker(&waker)) {
            event.expect("valid frames");
            events += 1;
            assert!(events < 100_000, "it does not yield");
        }
        assert!(wakes.load(Relaxed) == 1 && reader.has_yielded());
        (io.1, events)
    }

    #[test]
    fn endless_fragments_and_pings_give_other_tasks_their_turn() {
        // A message of so many fragments that the limit is not reached.
        let empty = [frames(0x01, b"", 1), frames(0x00, b"", 16_000), frames(0x80, b"", 1)].concat();
        let of_a_byte = [frames(0x01, b"x", 1), frames(0x00, b"x", 16_000), frames(0x80, b"x", 1)].concat();
        for endless in [empty, of_a_byte, frames(0x89, b"", 1), frames(0x8a, b"pong", 1)] {
            let mut reader = Reader::new(Role::Server, &limits(), Vec::new(), None);
            let (bytes, events) = one_poll(&mut reader, &endless);
            assert!(bytes <= 512 * 1024 + MAX_READ && events <= 2048, "{bytes} bytes and {events} events");
            assert!(events > 0 || reader.assembled() > 0 || endless[1] == 0x80);
        }
    }

    #[test]
    fn a_long_frame_gives_other_tasks_their_turn() {
        let mut header = vec![0x82, 0xff];
        header.extend((1_u64 << 40).to_be_bytes());
        header.extend([0; 4]);
        let limits = WebSocketConfig::default().max_frame_size(None).max_message_size(None);
        let mut reader = Reader::new(Role::Server, &limits, header, None);
        let (bytes, events) = one_poll(&mut reader, &[7; 1000]);
        assert!(events == 0 && (512 * 1024..=2 << 20).contains(&bytes), "{bytes} bytes");
    }

    #[test]
    fn a_message_of_too_many_fragments_is_refused_with_1008() {
        let message =
            |fragments: usize| [frames(0x01, b"x", 1), frames(0x00, b"", fragments - 2), frames(0x80, b"", 1)].concat();
        let longest = events(Role::Server, &message(16_384), &[]);
        assert_eq!((longest.0.len(), longest.1), (1, None));
        assert_eq!(events(Role::Server, &message(16_385), &[]), (Vec::new(), Some(1008)));
        // Fragments of 4 KiB on average are always allowed.
        let limits = testing::limits(16_385 * 4096, 80_000);
        let longer = testing::events(Role::Server, &limits, None, &message(16_385), &[]);
        assert_eq!((longer.0.len(), longer.1), (1, None));
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
