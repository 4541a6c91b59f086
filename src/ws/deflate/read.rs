//! The reading layer: frames in, frames out, compressed messages inflated.

use super::{
    Agreed,
    inflate::{Inflater, Window},
};
use crate::ws::{Side, frame::apply_mask};
use bytes::{Buf, BytesMut};
use flate2::DecompressError;
use std::{
    io::{self, Cursor},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::coop,
};
use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Data, OpCode},
};

/// Why a compressed message cannot be read; travels inside an `io::Error`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Uninflatable {
    /// zlib's words, or ours.
    #[error("a compressed message is damaged: {0}")]
    Damaged(String),
    /// The message ends before its data does.
    #[error("a compressed message is cut off")]
    CutOff,
}

impl From<DecompressError> for Uninflatable {
    fn from(error: DecompressError) -> Self {
        Self::Damaged(error.message().unwrap_or("it is no deflate stream").to_owned())
    }
}

/// A byte stream whose compressed messages come out plain. All other frames pass as they are, also those that break the
/// protocol: it is for tungstenite to refuse them. Writing passes through.
///
/// Nothing is inflated before it is asked for, so tungstenite's limit of a message holds as it grows.
pub struct Inflating<S> {
    inner: S,
    layer: Option<Box<Layer>>,
}

impl<S> Inflating<S> {
    /// A connection on which nothing is compressed.
    pub fn plain(inner: S) -> Self {
        Self { inner, layer: None }
    }

    /// One on which messages may be. `early` is what was read already; longer frames than `max_frame` are not inflated,
    /// and none leave it.
    pub fn new(inner: S, agreed: &Agreed, side: Side, early: Vec<u8>, max_frame: usize) -> Self {
        let way = agreed.receiving(side);
        let layer = Layer {
            raw: BytesMut::from_iter(early),
            frame: Frame::Header,
            message: None,
            window: way.keeps_context.then(|| Window::new(1 << way.bits)),
            max_frame,
            failed: None,
        };
        Self { inner, layer: Some(Box::new(layer)) }
    }

    /// The stream below.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The stream below. What is read from it there is not seen here.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }
}

struct Layer {
    /// What was read and is not looked at yet.
    raw: BytesMut,
    frame: Frame,
    /// The compressed message under way.
    message: Option<Inflater>,
    /// Where the peer keeps its context.
    window: Option<Window>,
    max_frame: usize,
    /// Told after all that came before it.
    failed: Option<Uninflatable>,
}

/// The frame at the front of what was read.
#[derive(Clone, Copy)]
enum Frame {
    /// Its header is not there yet.
    Header,
    /// So many bytes pass as they are.
    Plain(u64),
    /// A part of a compressed message.
    Deflated { to_come: u64, mask: Option<[u8; 4]>, is_final: bool },
}

impl Layer {
    /// Fills the buffer as far as what was read goes.
    fn produce(&mut self, buf: &mut ReadBuf<'_>) -> Result<(), Uninflatable> {
        while buf.remaining() > 0 {
            if let Some(message) = &mut self.message {
                if message.hand_up(buf) {
                    continue;
                }
                if message.is_over() {
                    self.message = None;
                    self.frame = Frame::Header;
                }
            }
            match self.frame {
                Frame::Header => {
                    let Some(frame) = self.next_frame()? else { return Ok(()) };
                    self.frame = frame;
                }
                Frame::Plain(0) => self.frame = Frame::Header,
                Frame::Plain(to_come) => {
                    let length = self.at_hand(to_come).min(buf.remaining());
                    if length == 0 {
                        return Ok(());
                    }
                    buf.put_slice(&self.raw[..length]);
                    self.raw.advance(length);
                    self.frame = Frame::Plain(to_come - length as u64);
                }
                Frame::Deflated { to_come, mask, is_final } => {
                    let length = self.at_hand(to_come);
                    let (masked, window) = (mask.is_some(), &mut self.window);
                    let Some(message) = &mut self.message else { unreachable!("such a frame is part of a message") };
                    if message.has_input() {
                        message.inflate(masked, window)?;
                    } else if length > 0 {
                        let mut input = self.raw.split_to(length);
                        let mask = mask.map(|mut mask| {
                            apply_mask(&mut input, mask);
                            mask.rotate_left(length % 4);
                            mask
                        });
                        message.feed(input);
                        self.frame = Frame::Deflated { to_come: to_come - length as u64, mask, is_final };
                    } else if to_come > 0 {
                        return Ok(());
                    } else if is_final {
                        message.end(masked, window)?;
                    } else {
                        message.end_fragment(masked, window);
                        self.frame = Frame::Header;
                    }
                }
            }
        }
        Ok(())
    }

    /// How much of so many bytes is there.
    fn at_hand(&self, to_come: u64) -> usize {
        usize::try_from(to_come).unwrap_or(usize::MAX).min(self.raw.len())
    }

    /// Looks at the next header once it is whole.
    fn next_frame(&mut self) -> Result<Option<Frame>, Uninflatable> {
        let mut cursor = Cursor::new(&self.raw);
        let (header, length) = match FrameHeader::parse(&mut cursor) {
            Ok(Some(parsed)) => parsed,
            Ok(None) => return Ok(None),
            // It makes no sense, and neither does what follows.
            Err(_) => return Ok(Some(Frame::Plain(u64::MAX))),
        };
        let size = cursor.position();
        let is_read_here = !header.rsv2 && !header.rsv3 && length <= self.max_frame as u64;
        let is_part = match (header.opcode, header.rsv1, &self.message) {
            (OpCode::Data(kind @ (Data::Text | Data::Binary)), true, None) if is_read_here => {
                self.message = Some(Inflater::new(kind, self.max_frame, &mut self.window)?);
                true
            }
            (OpCode::Data(Data::Continue), false, Some(_)) => is_read_here,
            _ => false,
        };
        if !is_part {
            return Ok(Some(Frame::Plain(length.saturating_add(size))));
        }
        self.raw.advance(usize::try_from(size).unwrap_or(usize::MAX));
        Ok(Some(Frame::Deflated { to_come: length, mask: header.mask, is_final: header.is_final }))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Inflating<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(layer) = &mut this.layer else { return Pin::new(&mut this.inner).poll_read(cx, buf) };
        // A few bytes that were read may say so much that other tasks must have their turn in between.
        let turn = ready!(coop::poll_proceed(cx));
        let before = buf.filled().len();
        loop {
            if layer.failed.is_none() {
                layer.failed = layer.produce(buf).err();
            }
            if buf.filled().len() > before || buf.remaining() == 0 {
                break;
            }
            if let Some(error) = layer.failed.take() {
                return Poll::Ready(Err(io::Error::other(error)));
            }
            // Through the caller's buffer, so that none is held here while nothing comes.
            ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
            let read = &buf.filled()[before..];
            if read.is_empty() {
                break;
            }
            layer.raw.extend_from_slice(read);
            buf.set_filled(before);
        }
        if layer.raw.is_empty() {
            layer.raw = BytesMut::new();
        }
        turn.made_progress();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Inflating<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
