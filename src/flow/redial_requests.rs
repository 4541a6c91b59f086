//! What the user at a terminal asks of the connection at the other end of the session, also while it is not open and takes nothing.

use futures_util::task::AtomicWaker;
use std::{
    sync::atomic::{AtomicBool, AtomicU8, Ordering},
    task::{Context, Poll},
};

/// A request of the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RedialRequest {
    /// Close the connection and open it again, or open it at once.
    Reconnect = 1,
    /// Do not open it any more.
    Leave = 2,
}

/// The last request that nobody has taken yet.
#[derive(Default)]
pub struct RedialRequests {
    request: AtomicU8,
    has_reader: AtomicBool,
    waker: AtomicWaker,
}

impl RedialRequests {
    /// Makes a request. Returns whether there is a connection that can be opened again.
    pub fn ask(&self, request: RedialRequest) -> bool {
        self.request.store(request as u8, Ordering::Release);
        self.waker.wake();
        self.has_reader.load(Ordering::Acquire)
    }

    /// Takes the request.
    pub fn poll(&self, cx: &Context<'_>) -> Poll<RedialRequest> {
        self.has_reader.store(true, Ordering::Release);
        self.waker.register(cx.waker());
        match self.request.swap(0, Ordering::AcqRel) {
            1 => Poll::Ready(RedialRequest::Reconnect),
            2 => Poll::Ready(RedialRequest::Leave),
            _ => Poll::Pending,
        }
    }
}
