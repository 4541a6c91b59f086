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
    message_timer::MessageTimer,
    read_buffer::ReadBuffer,
};
use crate::{memory, message::Message};
use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
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
    /// It has not read further because of the limit on memory.
    has_paused: bool,
    message_timeout: Option<Duration>,
    /// Present while an unfinished message is waited for.
    timer: Option<Box<MessageTimer>>,
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
            has_paused: false,
            message_timeout: None,
            timer: None,
        }
    }

    /// The longest time that a message may take to arrive, not counting that in which nothing is read. Long messages have more.
    pub fn with_message_timeout(self, message_timeout: Option<Duration>) -> Self {
        Self { message_timeout, ..self }
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
        // Nothing is moved here: this is called for each message.
        let mut next = self.poll_event(io, cx);
        match &mut next {
            Poll::Ready(Ok(Event::Message(message))) => {
                if message.payload.len() > memory::LONG_MESSAGE {
                    message.payload = memory::counted(std::mem::take(&mut message.payload));
                }
                if self.timer.is_some() {
                    self.timer = None;
                }
            }
            Poll::Ready(Ok(Event::Ping(_) | Event::Pong(_))) => {}
            Poll::Ready(Ok(Event::Close(_)) | Err(_)) => self.clear(),
            Poll::Pending => {
                if let Some(limit) = self.message_timeout
                    && self.poll_timer(cx, limit).is_ready()
                {
                    self.clear();
                    return Poll::Ready(Err(FrameError::Slow(limit).into()));
                }
            }
        }
        next
    }

    /// Gives back the memory of a connection that is to be closed: it stays open until the peer has read the close frame, but what it
    /// has sent is not needed.
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.assembler.clear();
        (self.frame, self.timer) = (None, None);
    }

    /// Ready when a message has taken too long.
    fn poll_timer(&mut self, cx: &mut Context<'_>, limit: Duration) -> Poll<()> {
        let whole = self.frame.as_ref().filter(|frame| matches!(frame.opcode, OpCode::Data(_)));
        match self.assembler.received().or(whole.map(|_| self.buffer.bytes.len())) {
            Some(received) => self.timer.get_or_insert_with(|| Box::new(MessageTimer::new(limit))).poll(cx, received),
            None => {
                self.timer = None;
                Poll::Pending
            }
        }
    }

    fn poll_event(
        &mut self,
        io: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<Result<Event, ReadError>> {
        loop {
            if self.budget.is_spent() {
                if self.pauses() {
                    return Poll::Pending;
                }
                self.budget.renew();
                self.has_yielded = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let has_input = self.frame.is_some() || !self.buffer.bytes.is_empty();
            if has_input && let Some(event) = self.decode()? {
                return Poll::Ready(Ok(event));
            }
            if self.budget.is_spent() {
                continue;
            }
            if self.pauses() {
                return Poll::Pending;
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

    /// Whether nothing more is read or inflated for now, because of the limit on memory.
    fn pauses(&mut self) -> bool {
        let pauses = memory::pauses(self.held());
        if pauses {
            (self.has_yielded, self.has_paused) = (true, true);
        }
        pauses
    }

    /// Whether the last `Pending` of [`poll_next`](Self::poll_next) meant that it was another task's turn.
    pub fn has_yielded(&self) -> bool {
        self.has_yielded
    }

    /// Whether [`poll_next`](Self::poll_next) has read no further because of the limit on memory, since the last call of this. The
    /// caller wakes the task when that changes.
    pub fn take_paused(&mut self) -> bool {
        std::mem::take(&mut self.has_paused)
    }

    /// Bytes of an unfinished message that is fragmented or compressed, inflated.
    pub fn assembled(&self) -> usize {
        self.assembler.len()
    }

    /// Takes the next message if it is short and has been read already. This skips the timers and checks of
    /// [`poll_next`](Self::poll_next), which tells what comes next when this gives `None`.
    #[inline]
    pub fn short_message(&mut self) -> Option<Message> {
        if self.frame.is_some() {
            return None;
        }
        self.decoder.short_message(&mut self.buffer.bytes, self.assembler.max_next()?)
    }

    /// The next event in what was read, if it is complete and the budget lasts.
    fn decode(&mut self) -> Result<Option<Event>, FrameError> {
        if let Some(message) = self.short_message() {
            return Ok(Some(Event::Message(message)));
        }
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

    /// Bytes of memory that it holds.
    #[inline]
    pub fn held(&self) -> usize {
        self.buffer.bytes.capacity() + self.assembler.held()
    }

    /// Bytes of memory held by the input, and by a message that is being assembled.
    #[cfg(any(test, fuzzing))]
    pub fn held_parts(&self) -> (usize, usize) {
        (self.buffer.bytes.capacity(), self.assembler.capacity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ws::{
        SharedDeflater,
        encoder::{self, apply_mask},
        read_buffer::MAX_READ,
        testing::{self, Pieces},
    };
    use bytes::{BufMut, BytesMut};
    use proptest::prelude::*;
    use std::{
        future::poll_fn,
        io,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::Relaxed},
        },
        task::{Wake, Waker},
    };
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

    /// A waker, and how often it was woken.
    fn wake_counter() -> (Arc<AtomicUsize>, Waker) {
        struct Counter(Arc<AtomicUsize>);
        impl Wake for Counter {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Relaxed);
            }
        }
        let wakes = Arc::new(AtomicUsize::new(0));
        (wakes.clone(), Arc::new(Counter(wakes)).into())
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
        // Fragments of 512 bytes on average are always allowed.
        let limits = testing::limits(16_385 * 512, 80_000);
        let longer = testing::events(Role::Server, &limits, None, &message(16_385), &[]);
        assert_eq!((longer.0.len(), longer.1), (1, None));
    }

    /// Sends one piece a second after another to a reader with a time limit of 8 s. Returns the seconds that have passed, when
    /// the message is complete or refused, and the close code.
    fn seconds(role: Role, inflater: Option<Inflater>, mut piece: impl FnMut(u64) -> Vec<u8>) -> (u64, Option<u16>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let limits = WebSocketConfig::default();
            let limit = Some(Duration::from_secs(8));
            let mut reader = Reader::new(role, &limits, Vec::new(), inflater).with_message_timeout(limit);
            for second in 0.. {
                let mut io = Pieces { pieces: vec![piece(second)], next: 0, is_waiting: true };
                let read = poll_fn(|cx| {
                    // The first poll reads the piece, and another one finds no more.
                    for _ in 0..2 {
                        io.is_waiting = io.next == 0 && !io.pieces[0].is_empty();
                        match reader.poll_next(&mut io, cx) {
                            Poll::Ready(Ok(Event::Ping(_))) | Poll::Pending => {}
                            Poll::Ready(read) => return Poll::Ready(Some(read)),
                        }
                    }
                    Poll::Ready(None)
                });
                match read.await {
                    Some(Ok(Event::Message(_))) => return (second, None),
                    Some(Err(ReadError::Frame(error))) => return (second, Some(error.close().code)),
                    None => {}
                    other => panic!("{other:?}"),
                }
                tokio::time::advance(Duration::from_secs(1)).await;
            }
            unreachable!("it ends")
        })
    }

    #[test]
    fn a_message_that_is_not_complete_in_time_is_refused_with_1008() {
        let start_then =
            |start: Vec<u8>, rest: Vec<u8>| move |second| if second == 0 { start.clone() } else { rest.clone() };
        // One frame, fragments without a payload, and pings in between.
        let ping = frames(0x89, b"", 1);
        for (start, rest) in [
            (vec![0x82, 0xfe, 0x10, 0, 0, 0, 0, 0], vec![]),
            (frames(0x01, b"start", 1), frames(0x00, b"", 1)),
            (frames(0x01, b"start", 1), ping.clone()),
        ] {
            assert_eq!(seconds(Role::Server, None, start_then(start, rest)), (8, Some(1008)));
        }
        // What it grows to when it is inflated gives it no more time, nor do blocks without output.
        let options = testing::options(false, 15, 6);
        let bomb = SharedDeflater::new(&options).and_then(|deflater| deflater.deflate(vec![0; 1 << 20].into()));
        let bomb = [&bomb.expect("shorter")[..], &[0, 0, 0xff, 0xff]].concat();
        let mut start = vec![0x42, 126];
        start.extend(u16::try_from(bomb.len()).expect("short").to_be_bytes());
        start.extend(bomb);
        let inflater = Inflater::new(&testing::agreed(&options), Role::Client);
        let rest = start_then(start, [&[0x00, 100][..], &[0x03, 0x00].repeat(50)].concat());
        assert_eq!(seconds(Role::Client, Some(inflater), rest), (8, Some(1008)));
        // Between messages there is no limit.
        let idle = start_then(ping, vec![]);
        assert_eq!(
            seconds(Role::Server, None, move |second| if second < 100 { idle(second) } else { frames(0x82, b"", 1) }),
            (100, None)
        );
    }

    #[test]
    fn a_long_message_has_more_time_while_it_arrives() {
        // 16 KiB a second are enough, half of that is not.
        let header = |length: u64| [&[0x82, 127][..], &length.to_be_bytes()].concat();
        let slow = |a_second: usize| {
            seconds(Role::Client, None, move |second| {
                let payload = vec![7; a_second];
                if second == 0 { [header(100 * a_second as u64), payload].concat() } else { payload }
            })
        };
        assert_eq!(slow(16 << 10), (99, None));
        let (after, code) = slow(8 << 10);
        assert!((8..20).contains(&after) && code == Some(1008), "after {after} s with {code:?}");
    }

    #[test]
    fn time_in_which_the_connection_is_not_read_does_not_count() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let early = frames(0x01, b"start", 1);
            let limit = Some(Duration::from_secs(8));
            let mut reader = Reader::new(Role::Server, &limits(), early, None).with_message_timeout(limit);
            let mut cx = Context::from_waker(Waker::noop());
            let mut nothing = Pieces { pieces: Vec::new(), next: 0, is_waiting: false };
            for _ in 0..8 {
                nothing.is_waiting = false;
                assert!(reader.poll_next(&mut nothing, &mut cx).is_pending());
                tokio::time::advance(Duration::from_secs(1000)).await;
            }
            nothing.is_waiting = false;
            assert!(matches!(reader.poll_next(&mut nothing, &mut cx), Poll::Ready(Err(ReadError::Frame(_)))));
        });
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
        assert_eq!(reader.held_parts(), (0, 0));
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
        let (held, _) = reader.held_parts();
        assert!((1000..2000).contains(&held), "{held} bytes");
    }
}
