//! What one member has not taken yet: whole frames, of which the first may have been written in part.
//!
//! Members that are behind share the memory of what they have not taken. A piece is a part of a batch that all members of the
//! room got, or of a block, into which the room joins short batches. A member that needs less than half of a batch gets a
//! copy of its part, so that memory is at most twice what is counted.

use crate::memory;
use bytes::{Buf, Bytes, BytesMut};
use std::{cell::OnceCell, collections::VecDeque};

/// Short pieces that only one member has are joined up to this size: the overhead per piece is small then.
const MAX_JOINED: usize = 4096;

/// Marks a piece that is in no stream of frames, and that is shared and counted.
const SHARED: u64 = 1 << 62;

/// Frames that a room sends to its members.
pub struct Frames {
    /// The frames, unmasked.
    pub bytes: Bytes,
    /// The number of messages; each is one frame.
    pub messages: u64,
    /// Where they begin in the stream of frames that the room has sent, if they are a part of it.
    pub at: Option<u64>,
    /// The end of each frame. Few batches need it.
    ends: OnceCell<Vec<usize>>,
    /// The frames as backlogs share them: counted.
    shared: OnceCell<Bytes>,
}

impl Frames {
    /// Frames at a place in the room's stream.
    pub fn new(bytes: Bytes, messages: u64, at: Option<u64>) -> Self {
        Self { bytes, messages, at, ends: OnceCell::new(), shared: OnceCell::new() }
    }

    fn shared(&self) -> &Bytes {
        self.shared.get_or_init(|| memory::counted(self.bytes.clone()))
    }

    fn ends(&self) -> &[usize] {
        self.ends.get_or_init(|| {
            let mut end = 0;
            let next = || {
                let length = frame_length(self.bytes.get(end..).filter(|rest| !rest.is_empty())?);
                end = self.bytes.len().min(end + length);
                Some(end)
            };
            std::iter::from_fn(next).collect()
        })
    }

    /// The number of frames that end at or before this byte.
    fn ended(&self, byte: usize) -> usize {
        self.ends().partition_point(|end| *end <= byte)
    }

    /// Where this frame begins, which may be behind the last.
    fn start(&self, frame: usize) -> usize {
        frame.checked_sub(1).and_then(|before| self.ends().get(before).copied()).unwrap_or(0)
    }
}

/// The length of the unmasked frame that begins here (RFC 6455 section 5.2).
pub fn frame_length(bytes: &[u8]) -> usize {
    let long = bytes.get(2..).and_then(|rest| rest.first_chunk().copied()).map(u64::from_be_bytes);
    match (bytes, long) {
        ([_, 127, ..], Some(length)) => usize::try_from(length).unwrap_or(usize::MAX).saturating_add(10),
        ([_, 126, high, low, ..], _) => usize::from(u16::from_be_bytes([*high, *low])) + 4,
        ([_, length, ..], _) => usize::from(*length) + 2,
        _ => bytes.len(),
    }
}

/// The frames in a batch, one after the other.
pub fn split(mut frames: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (frame, rest) = frames.split_at_checked(frame_length(frames)).filter(|(frame, _)| !frame.is_empty())?;
        frames = rest;
        Some(frame)
    })
}

/// The payload of an unmasked frame.
pub fn payload(frame: &[u8]) -> &[u8] {
    let header = match frame {
        [_, 127, ..] => 10,
        [_, 126, ..] => 4,
        _ => 2,
    };
    frame.get(header..).unwrap_or_default()
}

/// Batches of a room in one piece of memory, with which members replace the pieces that they have of them.
#[derive(Clone)]
pub struct Block {
    /// Where it begins in the room's stream.
    pub at: u64,
    /// The frames.
    pub bytes: Bytes,
}

/// A part of the backlog: whole frames.
struct Piece {
    bytes: Bytes,
    /// The number of messages in it; 0 for a control frame, which no policy drops.
    messages: u64,
    /// Where it begins in the room's stream, if it may become a part of a block.
    at: Option<u64>,
    /// Bytes of memory that it keeps, if no other member does.
    held: usize,
}

impl Piece {
    /// Copies what is less than half of the memory that it keeps.
    fn shrink(&mut self) {
        if self.bytes.len() < self.held / 2 {
            self.bytes = memory::counted(Bytes::copy_from_slice(&self.bytes));
            self.held = self.bytes.len();
        }
    }
}

/// Frames that wait for a member.
#[derive(Default)]
pub struct Backlog {
    pieces: VecDeque<Piece>,
    /// Bytes in it that are not written.
    bytes: usize,
    /// Bytes of the first piece that are written.
    written: usize,
    /// Bytes at the start of the first piece that are the rest of a frame, whose start is not kept.
    cut: usize,
}

impl Backlog {
    /// Bytes that are not written.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether everything is written.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// What is to be written next.
    pub fn front(&self) -> Option<&[u8]> {
        self.pieces.front().and_then(|piece| piece.bytes.get(self.written..))
    }

    /// So many bytes of [`front`](Self::front) are written. Returns whether they were of messages.
    pub fn advance(&mut self, written: usize) -> bool {
        self.bytes -= written;
        self.written += written;
        let Some(front) = self.pieces.front() else { return false };
        let is_message = front.messages > 0;
        if self.written >= front.bytes.len() {
            self.pieces.pop_front();
            (self.written, self.cut) = (0, 0);
        }
        is_message
    }

    /// Where the first frame of the first piece begins of which nothing is written, and the number of messages before it.
    fn unwritten(&self) -> (usize, u64) {
        let Some(front) = self.pieces.front() else { return (0, 0) };
        let (mut at, mut before) = (self.cut, u64::from(self.cut > 0));
        while at < self.written
            && let Some(rest) = front.bytes.get(at..)
        {
            at += frame_length(rest);
            before += 1;
        }
        (at.min(front.bytes.len()), before.min(front.messages))
    }

    /// Gives back memory: that of a first piece that is mostly written, and that of a backlog that is written.
    pub fn trim(&mut self) {
        if self.pieces.is_empty() {
            self.pieces = VecDeque::new();
        }
        if self.pieces.front().is_some_and(|front| self.written > front.bytes.len() / 2) {
            let (unwritten, before) = self.unwritten();
            let Some(front) = self.pieces.front_mut() else { return };
            front.bytes = memory::counted(Bytes::copy_from_slice(front.bytes.get(self.written..).unwrap_or_default()));
            front.held = front.bytes.len();
            front.at = front.at.map(|at| at + self.written as u64);
            self.cut = unwritten - self.written;
            front.messages -= before.saturating_sub(u64::from(self.cut > 0));
            self.written = 0;
        }
    }

    /// Adds a control frame.
    pub fn push_control(&mut self, frame: Bytes) {
        let held = frame.len();
        self.bytes += held;
        self.pieces.push_back(Piece { bytes: frame, messages: 0, at: None, held });
    }

    /// Adds messages that were sent before, of which no more is kept than `held` bytes of memory.
    pub fn push_earlier(&mut self, frames: Bytes, messages: u64, held: usize) {
        self.bytes += frames.len();
        // Copies of short pieces are joined.
        let at = (frames.len() > MAX_JOINED / 2).then_some(SHARED);
        let mut piece = Piece { bytes: frames, messages, at, held };
        piece.shrink();
        self.push_piece(piece);
    }

    /// Adds some frames of a batch. `written` bytes of the first are written already, which only happens to an empty backlog.
    fn push(&mut self, frames: &Frames, first: usize, last: usize, written: usize) {
        let (start, end) = (frames.start(first), frames.start(last));
        self.push_bytes(frames, start, end, (last - first) as u64, written);
    }

    fn push_bytes(&mut self, frames: &Frames, start: usize, end: usize, messages: u64, written: usize) {
        if start == end {
            return;
        }
        if self.pieces.is_empty() {
            self.written = written;
        }
        self.bytes += end - start - written;
        let mut piece = Piece {
            bytes: frames.shared().slice(start..end),
            messages,
            at: frames.at.map(|at| at + start as u64),
            held: frames.bytes.len(),
        };
        piece.shrink();
        self.push_piece(piece);
        self.trim();
    }

    /// Adds what is not written of a batch.
    pub fn push_rest(&mut self, frames: &Frames, written: usize) {
        if written == 0 {
            self.push_bytes(frames, 0, frames.bytes.len(), frames.messages, 0);
        } else {
            let first = frames.ended(written);
            self.push(frames, first, frames.ends().len(), written - frames.start(first));
        }
    }

    /// Whether what is not written of a batch is one message, which an empty backlog takes however long it is.
    pub fn is_exempt(&self, frames: &Frames, written: usize) -> bool {
        self.is_empty() && (frames.messages == 1 || frames.ended(written) + 1 >= frames.ends().len())
    }

    /// Adds as many of the first frames of a batch as fit. A frame that has been started is completed, and an empty backlog
    /// takes one however long it is. Returns the number of messages and bytes that were left out.
    pub fn push_oldest(&mut self, frames: &Frames, written: usize, limit: usize) -> (u64, usize) {
        let first = if written == 0 { 0 } else { frames.ended(written) };
        let fitting = limit.saturating_sub(self.bytes);
        let last = if written == 0 && !self.is_empty() && frame_length(&frames.bytes) > fitting {
            first
        } else {
            frames.ended(written + fitting).max(first + usize::from(self.is_empty()))
        };
        self.push(frames, first, last, written - frames.start(first).min(written));
        (frames.messages - last as u64, frames.bytes.len() - frames.start(last))
    }

    /// Adds as many of the last frames of a batch as fit. A frame that has been started is completed, and an empty backlog
    /// takes one however long it is. Returns the number of messages and bytes that were left out.
    pub fn push_newest(&mut self, frames: &Frames, written: usize, limit: usize) -> (u64, usize) {
        let mut first = 0;
        if written > 0 {
            first = frames.ended(written);
            let started = usize::from(frames.start(first) < written);
            self.push(frames, first, first + started, written - frames.start(first));
            first += started;
        }
        let count = frames.ends().len();
        let (start, end) = (frames.start(first), frames.bytes.len());
        let fitting = limit.saturating_sub(self.bytes).min(end - start);
        let mut kept = frames.ends().partition_point(|frame_end| *frame_end < end - fitting) + 1;
        kept = if fitting == 0 { count } else { kept.clamp(first, count) };
        if fitting == end - start {
            kept = first;
        }
        if self.is_empty() {
            kept = kept.min(count.saturating_sub(1));
        }
        self.push(frames, kept, count, 0);
        ((kept - first) as u64, frames.start(kept) - start)
    }

    /// Makes a piece of its own of a frame that is written in part. Returns where the pieces begin of which nothing is written.
    fn split_started(&mut self) -> usize {
        let (unwritten, before) = self.unwritten();
        let Some(front) = self.pieces.front_mut().filter(|_| unwritten > 0) else { return 0 };
        let started = front.bytes.split_to(unwritten);
        let at = front.at;
        front.at = at.map(|at| at + unwritten as u64);
        front.messages -= before;
        if front.bytes.is_empty() {
            self.pieces.pop_front();
        }
        if self.written == unwritten {
            (self.written, self.cut) = (0, 0);
            return 0;
        }
        let held = started.len();
        self.pieces.push_front(Piece { bytes: started, messages: before, at, held });
        1
    }

    /// Drops the oldest messages until at most `limit` bytes wait. Returns how many were dropped. A frame that has been started
    /// stays, and so do control frames.
    pub fn drop_oldest(&mut self, limit: usize) -> u64 {
        let mut dropped = 0;
        let mut index = 0;
        if self.bytes > limit {
            index = self.split_started();
        }
        while self.bytes > limit
            && let Some(piece) = self.pieces.get_mut(index)
        {
            if piece.messages == 0 {
                index += 1;
                continue;
            }
            let length = frame_length(&piece.bytes).min(piece.bytes.len());
            self.bytes -= length;
            dropped += 1;
            piece.messages -= 1;
            piece.bytes.advance(length);
            piece.at = piece.at.map(|at| at + length as u64);
            if piece.bytes.is_empty() {
                self.pieces.remove(index);
            } else if self.bytes <= limit {
                piece.shrink();
            }
        }
        dropped
    }

    /// Replaces the pieces that are parts of a block. Those of a member that has most of it become one part of the block.
    pub fn compact(&mut self, block: &Block) {
        let end = block.at + block.bytes.len() as u64;
        let is_older = |piece: &Piece| piece.at.is_some_and(|at| at < block.at || at >= end);
        let first = self.pieces.iter().rposition(is_older).map_or(0, |last| last + 1);
        if self.pieces.len() - first < 2 {
            return;
        }
        let mut joined: Vec<Piece> = Vec::new();
        for piece in self.pieces.drain(first..) {
            match joined.last_mut() {
                Some(last) if last.at.is_some_and(|at| piece.at == Some(at + last.bytes.len() as u64)) => {
                    let start = last.at.map_or(0, |at| (at - block.at) as usize);
                    last.bytes = block.bytes.slice(start..start + last.bytes.len() + piece.bytes.len());
                    last.messages += piece.messages;
                    last.held = block.bytes.len();
                }
                _ => joined.push(piece),
            }
        }
        for mut piece in joined {
            piece.shrink();
            if piece.held < block.bytes.len() {
                piece.at = None;
            }
            self.push_piece(piece);
        }
    }

    /// Adds a piece, to the last one if both are short and no other member has them.
    fn push_piece(&mut self, piece: Piece) {
        match self.pieces.back_mut() {
            Some(last)
                if last.messages > 0
                    && piece.messages > 0
                    && last.bytes.len() + piece.bytes.len() <= MAX_JOINED
                    && last.at.is_none()
                    && piece.at.is_none() =>
            {
                let own = std::mem::take(&mut last.bytes).try_into_mut();
                let mut own = own.unwrap_or_else(|shared| BytesMut::from(&shared[..]));
                own.extend_from_slice(&piece.bytes);
                last.bytes = own.freeze();
                last.held = last.bytes.len();
                last.messages += piece.messages;
                last.at = None;
            }
            last => {
                if let Some(last) = last.filter(|last| last.at.is_none()) {
                    // It takes no more.
                    last.bytes = memory::counted(std::mem::take(&mut last.bytes));
                }
                self.pieces.push_back(piece);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ws::append_frame;
    use proptest::prelude::*;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

    /// Frames whose first byte of payload is their number.
    fn frames(numbers: std::ops::Range<u8>, length: usize, at: Option<u64>) -> Frames {
        let mut bytes = BytesMut::new();
        for number in numbers.clone() {
            let mut payload = vec![0; length];
            payload[0] = number;
            append_frame(&mut bytes, OpCode::Data(Data::Binary), true, false, &payload);
        }
        Frames::new(bytes.freeze(), numbers.len() as u64, at)
    }

    fn written(backlog: &mut Backlog) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(front) = backlog.front() {
            all.extend_from_slice(front);
            let length = front.len();
            backlog.advance(length);
        }
        assert_eq!(backlog.bytes(), 0);
        all
    }

    #[test]
    fn the_length_of_a_frame_is_in_its_header() {
        for length in [1, 125, 126, 65535, 65536, 100_000] {
            let frame = frames(0..1, length, None).bytes;
            assert_eq!(frame_length(&frame), frame.len());
        }
    }

    #[test]
    fn whole_frames_of_a_batch_are_kept_that_fit() {
        // Frames of 12 bytes.
        let batch = frames(0..10, 10, Some(0));
        for (already, oldest, newest) in [(0, 24, 24), (12, 24, 24), (13, 35, 35), (107, 13, 13), (119, 1, 1)] {
            let mut backlog = Backlog::default();
            let (dropped, bytes) = backlog.push_oldest(&batch, already, 35);
            assert_eq!((backlog.bytes(), bytes), (oldest, 120 - already - oldest), "after {already}");
            assert_eq!(dropped, bytes as u64 / 12);
            let rest = &batch.bytes[already..already + oldest];
            assert_eq!(written(&mut backlog), rest);
            let (dropped, bytes) = backlog.push_newest(&batch, already, 35);
            assert_eq!((backlog.bytes(), bytes), (newest, 120 - already - newest), "after {already}");
            assert_eq!(dropped, bytes as u64 / 12);
            let started = (12 - already % 12) % 12;
            let rest = [&batch.bytes[already..already + started], &batch.bytes[120 - (newest - started)..]].concat();
            assert_eq!(written(&mut backlog), rest, "after {already}");
        }
    }

    #[test]
    fn an_empty_backlog_takes_one_message_however_long_it_is_but_no_batch() {
        let batch = frames(0..3, 100, None);
        let mut backlog = Backlog::default();
        assert!(!backlog.is_exempt(&batch, 0) && !backlog.is_exempt(&batch, 150) && backlog.is_exempt(&batch, 205));
        assert_eq!((backlog.push_oldest(&batch, 0, 10), backlog.bytes()), ((2, 204), 102));
        let mut backlog = Backlog::default();
        assert_eq!((backlog.push_newest(&batch, 0, 10), backlog.bytes()), ((2, 204), 102));
        assert_eq!(backlog.push_oldest(&batch, 0, 10), (3, 306), "it is not empty now");
        assert_eq!(written(&mut backlog)[2], 2);
    }

    #[test]
    fn pieces_of_a_block_become_one_that_all_members_share() {
        let (first, second, third) =
            (frames(0..1, 10, Some(5)), frames(1..2, 10, Some(17)), frames(2..3, 10, Some(29)));
        let all: Vec<_> = [&first, &second, &third].iter().flat_map(|frames| frames.bytes.to_vec()).collect();
        let block = Block { at: 5, bytes: Bytes::from(all.clone()) };
        let mut backlog = Backlog::default();
        for frames in [&first, &second, &third] {
            backlog.push_rest(frames, 0);
        }
        backlog.advance(3);
        backlog.compact(&block);
        assert_eq!((backlog.pieces.len(), backlog.bytes()), (1, 33));
        assert_eq!(backlog.pieces[0].bytes.as_ptr(), block.bytes.as_ptr(), "it is shared");
        assert_eq!(written(&mut backlog), all[3..]);
        // A member with little of the block has a copy, and control frames keep their place.
        backlog.push_rest(&first, 0);
        backlog.push_control(Bytes::from_static(b"\x89\0"));
        backlog.push_rest(&third, 0);
        backlog.compact(&block);
        drop((first, third));
        assert!(block.bytes.is_unique());
        assert_eq!(written(&mut backlog), [&all[..12], b"\x89\0", &all[24..]].concat());
    }

    #[test]
    fn a_piece_that_is_mostly_written_keeps_no_memory_of_its_batch() {
        let batch = frames(0..10, 10, Some(0));
        let mut backlog = Backlog::default();
        backlog.push_rest(&batch, 25);
        backlog.advance(60);
        backlog.trim();
        let front = backlog.front().map(<[u8]>::as_ptr);
        assert!(front.is_some_and(|front| !batch.bytes.as_ptr_range().contains(&front)));
        assert_eq!(backlog.drop_oldest(24), 1, "and still knows where its frames begin");
        assert_eq!(written(&mut backlog), [&batch.bytes[85..96], &batch.bytes[108..]].concat());
    }

    /// What happens to a backlog.
    #[derive(Clone, Debug)]
    enum Step {
        Batch(Vec<usize>),
        Write(usize),
        Control,
        Block,
    }

    proptest! {
        #[test]
        fn frames_stay_whole_and_in_order(
            drops_oldest in any::<bool>(),
            steps in prop::collection::vec(
                prop_oneof![
                    4 => prop::collection::vec(1..300_usize, 1..6).prop_map(Step::Batch),
                    2 => (0..400_usize).prop_map(Step::Write),
                    1 => Just(Step::Control),
                    1 => Just(Step::Block),
                ],
                0..60,
            ),
        ) {
            const LIMIT: usize = 700;
            let (mut backlog, mut wire, mut number, mut kept, mut at) = (Backlog::default(), Vec::new(), 0_u64, 0, 0);
            let mut tail = Block { at: 0, bytes: Bytes::new() };
            for step in steps {
                match step {
                    Step::Batch(lengths) => {
                        let mut bytes = Vec::new();
                        for length in &lengths {
                            let mut payload = number.to_be_bytes().to_vec();
                            payload.resize(8 + length, 7);
                            number += 1;
                            let size = u16::try_from(payload.len()).expect("short");
                            bytes.extend([0x82, 126]);
                            bytes.extend(size.to_be_bytes());
                            bytes.extend(payload);
                        }
                        tail.bytes = [&tail.bytes[..], &bytes].concat().into();
                        let batch = Frames::new(bytes.into(), lengths.len() as u64, Some(at));
                        at += batch.bytes.len() as u64;
                        let dropped = if drops_oldest {
                            let dropped = backlog.drop_oldest(LIMIT.saturating_sub(batch.bytes.len()));
                            dropped + backlog.push_newest(&batch, 0, LIMIT).0
                        } else {
                            backlog.push_oldest(&batch, 0, LIMIT).0
                        };
                        kept += lengths.len() as u64;
                        kept -= dropped;
                    }
                    Step::Write(most) => {
                        if let Some(front) = backlog.front() {
                            prop_assert!(!front.is_empty());
                            let length = most.min(front.len());
                            wire.extend_from_slice(&front[..length]);
                            backlog.advance(length);
                            backlog.trim();
                        }
                    }
                    Step::Control => backlog.push_control(Bytes::from_static(b"\x89\0")),
                    Step::Block => {
                        backlog.compact(&tail);
                        tail = Block { at, bytes: Bytes::new() };
                    }
                }
            }
            wire.extend(written(&mut backlog));
            let (mut rest, mut last, mut count) = (&wire[..], None, 0);
            while !rest.is_empty() {
                let length = frame_length(rest);
                prop_assert!(length <= rest.len());
                if rest[0] == 0x82 {
                    let number = rest[4..].first_chunk().map(|number| u64::from_be_bytes(*number));
                    prop_assert!(number > last);
                    (last, count) = (number, count + 1);
                }
                rest = &rest[length..];
            }
            prop_assert_eq!(count, kept);
        }
    }
}
