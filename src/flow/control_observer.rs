//! Control frames (RFC 6455 section 5.5) for those who want to see them.

use crate::message::Close;
use bytes::Bytes;
use std::sync::Arc;

/// A control frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlFrame {
    /// A ping and its payload.
    Ping(Bytes),
    /// A pong and its payload.
    Pong(Bytes),
    /// A close frame.
    Close(Close),
}

/// Which way a frame went, seen from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// To the peer.
    Sent,
    /// From the peer.
    Received,
}

/// Called for each control frame, when it is queued for sending or when it has been read. It must not block, nor use
/// the stream that it observes.
pub type ControlObserver = Arc<dyn Fn(Transfer, &ControlFrame) + Send + Sync>;

/// The observers of a stream.
#[derive(Clone, Default)]
pub struct ControlObservers(Vec<ControlObserver>);

impl ControlObservers {
    /// Adds an observer.
    pub fn add(&mut self, observer: ControlObserver) {
        self.0.push(observer);
    }

    /// Adds all of these observers to a stream below.
    pub fn pass_to(&self, stream: &mut dyn super::MessageStream) {
        self.0.iter().for_each(|observer| stream.observe_control(observer.clone()));
    }

    /// Calls each observer. The frame is made only if there is one.
    pub fn notify(&self, transfer: Transfer, frame: impl FnOnce() -> ControlFrame) {
        if !self.0.is_empty() {
            let frame = frame();
            self.0.iter().for_each(|observer| observer(transfer, &frame));
        }
    }
}
