//! Message streams on top of others, such as overlays.

use super::{ControlFrame, ControlObserver, Incoming, MessageStream};
use crate::{
    error::Error,
    message::{Close, Message},
};
use std::task::{Context, Poll};

/// A message stream on top of another one. Every method calls the stream below unless it is overridden.
pub trait MessageLayer: Send {
    /// The stream below.
    fn inner(&self) -> &dyn MessageStream;

    /// The stream below.
    fn inner_mut(&mut self) -> &mut dyn MessageStream;

    /// See [`MessageStream::poll_next`].
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        self.inner_mut().poll_next(cx)
    }

    /// See [`MessageStream::poll_ready`].
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner_mut().poll_ready(cx)
    }

    /// See [`MessageStream::start_send`].
    fn start_send(&mut self, message: Message) -> Result<(), Error> {
        self.inner_mut().start_send(message)
    }

    /// See [`MessageStream::send_control`].
    fn send_control(&mut self, frame: ControlFrame) {
        self.inner_mut().send_control(frame);
    }

    /// See [`MessageStream::poll_flush`].
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner_mut().poll_flush(cx)
    }

    /// See [`MessageStream::poll_finish`].
    fn poll_finish(&mut self, cx: &mut Context<'_>, close: Option<&Close>) -> Poll<Result<(), Error>> {
        self.inner_mut().poll_finish(cx, close)
    }

    /// See [`MessageStream::poll_confirmed`].
    fn poll_confirmed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner_mut().poll_confirmed(cx)
    }

    /// See [`MessageStream::progress`].
    fn progress(&self) -> u64 {
        self.inner().progress()
    }

    /// See [`MessageStream::unsent`].
    fn unsent(&self) -> u64 {
        self.inner().unsent()
    }

    /// See [`MessageStream::left_out`].
    fn left_out(&self) -> u64 {
        self.inner().left_out()
    }

    /// See [`MessageStream::observe_control`].
    fn observe_control(&mut self, observer: ControlObserver) {
        self.inner_mut().observe_control(observer);
    }

    /// See [`MessageStream::poll_shutdown`].
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.inner_mut().poll_shutdown(cx)
    }
}

impl<T: MessageLayer> MessageStream for T {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        MessageLayer::poll_next(self, cx)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        MessageLayer::poll_ready(self, cx)
    }

    fn start_send(&mut self, message: Message) -> Result<(), Error> {
        MessageLayer::start_send(self, message)
    }

    fn send_control(&mut self, frame: ControlFrame) {
        MessageLayer::send_control(self, frame);
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        MessageLayer::poll_flush(self, cx)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>, close: Option<&Close>) -> Poll<Result<(), Error>> {
        MessageLayer::poll_finish(self, cx, close)
    }

    fn poll_confirmed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        MessageLayer::poll_confirmed(self, cx)
    }

    fn progress(&self) -> u64 {
        MessageLayer::progress(self)
    }

    fn unsent(&self) -> u64 {
        MessageLayer::unsent(self)
    }

    fn left_out(&self) -> u64 {
        MessageLayer::left_out(self)
    }

    fn observe_control(&mut self, observer: ControlObserver) {
        MessageLayer::observe_control(self, observer);
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        MessageLayer::poll_shutdown(self, cx)
    }
}
