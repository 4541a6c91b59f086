//! One message being inflated, into frames that tungstenite can read.

use super::{
    TAIL,
    pool::{give_back, take_decompressor},
    read::Uninflatable,
};
use bytes::{Buf, BytesMut};
use flate2::{Decompress, FlushDecompress, Status};
use std::{collections::VecDeque, ops::Range};
use tokio::io::ReadBuf;
use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Data, OpCode},
};

/// The longest header in front of a piece: a length of two bytes, and a mask.
const HEAD: usize = 8;
/// Messages are handed up in frames of this size, header included: what the smallest read buffer of ours takes, so that
/// none has to grow.
pub const PIECE: usize = 4096 - HEAD;
/// Behind the message: its tail, and an empty final block that only fits where a block could begin.
const END: [u8; 9] = [0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff];

/// The end of what was said, to which the next message may refer.
pub struct Window {
    bytes: VecDeque<u8>,
    size: usize,
}

impl Window {
    /// Of so many bytes at most.
    pub fn new(size: usize) -> Self {
        Self { bytes: VecDeque::new(), size }
    }

    fn push(&mut self, piece: &[u8]) {
        let piece = &piece[piece.len().saturating_sub(self.size)..];
        let excess = (self.bytes.len() + piece.len()).saturating_sub(self.size);
        self.bytes.drain(..excess);
        self.bytes.reserve_exact(piece.len());
        self.bytes.extend(piece);
    }
}

/// A message on its way up.
pub struct Inflater {
    /// `None` only while it is being dropped.
    decompress: Option<Decompress>,
    /// A header and a piece behind it.
    buffer: Box<[u8; HEAD + PIECE]>,
    /// How much of the piece is there.
    filled: usize,
    /// No piece is longer.
    limit: usize,
    /// A frame to be handed up.
    ready: Range<usize>,
    /// What the next frame is.
    opcode: Data,
    /// Unmasked and not inflated yet.
    input: BytesMut,
    /// Nothing was inflated since the start or the last final block.
    is_fresh: bool,
    /// How much of [`END`] was inflated.
    ended: usize,
    /// All that came before the second half of [`END`] is out.
    is_drained: bool,
    /// The last frame is there.
    is_over: bool,
}

impl Drop for Inflater {
    fn drop(&mut self) {
        self.decompress.take().into_iter().for_each(give_back);
    }
}

impl Inflater {
    /// Begins a text or binary message. No frame is longer than `limit`.
    pub fn new(opcode: Data, limit: usize, window: &mut Option<Window>) -> Result<Self, Uninflatable> {
        let mut inflater = Self {
            decompress: None,
            buffer: Box::new([0; HEAD + PIECE]),
            filled: 0,
            limit: limit.clamp(1, PIECE),
            ready: 0..0,
            opcode,
            input: BytesMut::new(),
            is_fresh: true,
            ended: 0,
            is_drained: false,
            is_over: false,
        };
        inflater.start(window)?;
        Ok(inflater)
    }

    fn start(&mut self, window: &mut Option<Window>) -> Result<(), Uninflatable> {
        self.is_fresh = true;
        self.decompress.take().into_iter().for_each(give_back);
        let decompress = self.decompress.insert(take_decompressor());
        match window {
            Some(window) if !window.bytes.is_empty() => {
                decompress.set_dictionary(window.bytes.make_contiguous()).map(drop).map_err(Uninflatable::from)
            }
            _ => Ok(()),
        }
    }

    /// Copies what is ready; tells whether there was anything.
    pub fn hand_up(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let length = self.ready.len().min(buf.remaining());
        buf.put_slice(&self.buffer[self.ready.start..][..length]);
        self.ready.start += length;
        length > 0
    }

    /// Whether the whole message was handed up.
    pub fn is_over(&self) -> bool {
        self.is_over && self.ready.is_empty()
    }

    /// Whether compressed bytes wait for [`inflate`](Self::inflate).
    pub fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// Takes compressed bytes, unmasked, when all others are inflated.
    pub fn feed(&mut self, input: BytesMut) {
        self.is_fresh &= input.is_empty();
        self.input = input;
    }

    /// Inflates what was fed, up to the end of a piece.
    pub fn inflate(&mut self, masked: bool, window: &mut Option<Window>) -> Result<(), Uninflatable> {
        let mut input = std::mem::take(&mut self.input);
        let (step, used) = self.step(&input)?;
        input.advance(used);
        self.input = input;
        match step {
            Step::Hungry => {}
            Step::Full => self.frame(false, masked, window),
            // RFC 7692 section 7.2.3.4: what follows is a stream of its own.
            Step::Final => {
                if self.filled > 0 {
                    self.frame(false, masked, window);
                }
                self.start(window)?;
                self.is_fresh = self.input.is_empty();
            }
        }
        Ok(())
    }

    /// What there is becomes a frame, so that whatever frame comes next stands in its place.
    pub fn end_fragment(&mut self, masked: bool, window: &mut Option<Window>) {
        self.frame(false, masked, window);
    }

    /// The message's last byte was fed: checks that it ends where a block does. To be called until it is over.
    pub fn end(&mut self, masked: bool, window: &mut Option<Window>) -> Result<(), Uninflatable> {
        // An empty message, or a final block at the very end: nothing was begun that could be ended.
        if self.is_fresh {
            self.frame(true, masked, window);
            return Ok(());
        }
        let to = if self.is_drained { END.len() } else { TAIL.len() };
        let before = self.filled;
        let (step, used) = self.step(&END[self.ended..to])?;
        self.ended += used;
        if self.is_drained && self.filled > before {
            // It was taken for data.
            return Err(Uninflatable::CutOff);
        }
        match step {
            Step::Full => self.frame(false, masked, window),
            Step::Final if self.ended == to => self.frame(true, masked, window),
            Step::Hungry if !self.is_drained => self.is_drained = true,
            Step::Final | Step::Hungry => return Err(Uninflatable::CutOff),
        }
        Ok(())
    }

    fn step(&mut self, input: &[u8]) -> Result<(Step, usize), Uninflatable> {
        let Some(decompress) = &mut self.decompress else { unreachable!("only dropping takes it") };
        let (total_in, total_out) = (decompress.total_in(), decompress.total_out());
        let room = &mut self.buffer[HEAD + self.filled..HEAD + self.limit];
        let status = decompress.decompress(input, room, FlushDecompress::None)?;
        // Both fit: they are parts of what was given.
        let used = usize::try_from(decompress.total_in() - total_in).unwrap_or(usize::MAX);
        self.filled += usize::try_from(decompress.total_out() - total_out).unwrap_or(usize::MAX);
        let step = match status {
            Status::StreamEnd => Step::Final,
            _ if self.filled == self.limit => Step::Full,
            _ => Step::Hungry,
        };
        Ok((step, used))
    }

    /// Makes a frame of what is there.
    fn frame(&mut self, is_final: bool, masked: bool, window: &mut Option<Window>) {
        let mask = masked.then_some([0; 4]);
        let header = FrameHeader { is_final, opcode: OpCode::Data(self.opcode), mask, ..FrameHeader::default() };
        let length = self.filled as u64;
        let start = HEAD - header.len(length);
        if header.format(length, &mut &mut self.buffer[start..HEAD]).is_err() {
            unreachable!("a piece's header fits");
        }
        if let Some(window) = window {
            window.push(&self.buffer[HEAD..HEAD + self.filled]);
        }
        self.ready = start..HEAD + self.filled;
        self.filled = 0;
        self.opcode = Data::Continue;
        self.is_over = is_final;
    }
}

/// Why inflating stopped.
enum Step {
    /// The input is used up, and all that it says is out.
    Hungry,
    /// The piece is full.
    Full,
    /// A final block has ended.
    Final,
}
