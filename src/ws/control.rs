//! What pings, pongs, close frames and read errors mean for a connection (RFC 6455 sections 5.5 and 7), without I/O.
//!
//! Sessions and rooms both use it. They differ in when a frame may be written and in what counts as a sign of life, which
//! they pass in.

use super::{
    error::{FrameError, ReadError},
    heartbeat::{Beat, Heartbeat},
};
use crate::{error::Error, message::Close};
use bytes::Bytes;
use std::{
    io,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio_tungstenite::tungstenite::{error::CapacityError, protocol::frame::coding::CloseCode};

/// How long a peer that is not waited for may take to read our close frame before the connection is cut. Without the wait
/// its unread data would reset the connection, and the close frame could be lost.
pub const CLOSE_READ_TIMEOUT: Duration = Duration::from_secs(1);

/// The control frames of one connection: those received, those owed and those sent.
#[derive(Default)]
pub struct ControlState {
    /// The payload of the last ping that is not answered yet. What few connections have is on the heap.
    owed_pong: Option<Box<Bytes>>,
    received_close: Option<Box<Close>>,
    close_sent: bool,
    heartbeat: Option<Box<Heartbeat>>,
}

/// Why nothing more is read.
#[derive(Debug)]
pub enum ReadEnd {
    /// The peer ended the connection after our close frame. Many servers do so without one of their own.
    Closed,
    /// The connection ended without a close frame.
    Lost(Error),
    /// Reading failed.
    Failed(io::Error),
    /// The peer sent something that is refused.
    Refused {
        /// For the close frame that ends the connection.
        close: Close,
        /// For the user.
        error: Error,
    },
}

/// The close frame of a connection that must close to free memory.
pub fn out_of_memory() -> Close {
    Close::new(CloseCode::Again.into(), "the server is short of memory")
}

impl ControlState {
    /// Starts to ping the peer, unless the connection is being closed.
    pub fn start_heartbeat(&mut self, heartbeat: Option<Heartbeat>) {
        self.heartbeat = heartbeat.filter(|_| !self.close_sent).map(Box::new);
    }

    /// Whether the peer is pinged.
    #[inline]
    pub fn has_heartbeat(&self) -> bool {
        self.heartbeat.is_some()
    }

    /// A ping was received. [`take_pong`](Self::take_pong) gives the answer.
    pub fn ping_received(&mut self, payload: Bytes) {
        self.owed_pong = (!self.close_sent).then(|| Box::new(payload));
    }

    /// The payload of a pong to be sent now. Without room in the output it stays owed, and is replaced by that of a later
    /// ping (section 5.5.3): a peer that pings and never reads gets one pong in the end.
    #[inline]
    pub fn take_pong(&mut self, has_room: bool) -> Option<Bytes> {
        self.owed_pong.take_if(|_| has_room).map(|payload| *payload)
    }

    /// Whether a pong waits for room in the output.
    pub fn owes_pong(&self) -> bool {
        self.owed_pong.is_some()
    }

    /// The peer's close frame was received.
    pub fn close_received(&mut self, close: Close) {
        self.received_close = Some(Box::new(close));
    }

    /// The peer's close frame, if it was received.
    #[inline]
    pub fn received_close(&self) -> Option<&Close> {
        self.received_close.as_deref()
    }

    /// Whether our close frame is to be sent now: it is sent once, and nothing follows it (section 5.5.1). From now on no
    /// ping and no pong is due.
    pub fn start_close(&mut self) -> bool {
        (self.owed_pong, self.heartbeat) = (None, None);
        !std::mem::replace(&mut self.close_sent, true)
    }

    /// Whether our close frame was sent, so that nothing may follow.
    #[inline]
    pub fn close_sent(&self) -> bool {
        self.close_sent
    }

    /// What an error of reading means. `peer`: what errors call the peer.
    pub fn read_failed(&self, error: ReadError, peer: &str) -> ReadEnd {
        match error {
            ReadError::Ended if self.close_sent => ReadEnd::Closed,
            ReadError::Ended => ReadEnd::Lost(lost(peer, "it ended without a close frame".into())),
            ReadError::Io(error) => ReadEnd::Failed(error),
            ReadError::Frame(error) => {
                let close = error.close();
                let with = peer.to_owned();
                let error = match error {
                    FrameError::Capacity(CapacityError::MessageTooLong { max_size, .. }) => {
                        Error::TooLong { with, limit: max_size }
                    }
                    error => Error::Protocol { with, reason: error.to_string() },
                };
                ReadEnd::Refused { close, error }
            }
        }
    }

    /// Ready when an empty ping is to be sent. `is_alive`: there was a sign of life since the last call. `has_room`: the output
    /// takes another ping, which is not to be stacked on one that waits there.
    ///
    /// # Errors
    ///
    /// The peer has answered no ping for too long.
    pub fn poll_heartbeat(
        &mut self,
        cx: &mut Context<'_>,
        peer: &str,
        is_alive: bool,
        has_room: bool,
    ) -> Poll<Result<(), Error>> {
        let Some(heartbeat) = &mut self.heartbeat else { return Poll::Pending };
        if is_alive {
            heartbeat.sign_of_life();
        }
        Poll::Ready(match ready!(heartbeat.poll(cx, has_room)) {
            Beat::Ping => {
                // The timer is to be polled again.
                cx.waker().wake_by_ref();
                Ok(())
            }
            Beat::Dead(timeout) => Err(lost(peer, format!("no answer to a ping for {} s", timeout.as_secs_f64()))),
        })
    }
}

fn lost(peer: &str, reason: String) -> Error {
    Error::Lost { with: peer.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::runtime::Builder;

    fn ping(control: &mut ControlState, payload: &'static [u8]) {
        control.ping_received(Bytes::from_static(payload));
    }

    #[test]
    fn every_ping_is_answered_while_there_is_room() {
        let mut control = ControlState::default();
        assert_eq!(control.take_pong(true), None);
        for payload in [&b"one"[..], b"", b"three"] {
            ping(&mut control, payload);
            assert_eq!(control.take_pong(true).as_deref(), Some(payload));
            assert_eq!(control.take_pong(true), None, "it is answered once");
        }
    }

    #[test]
    fn the_last_ping_is_answered_when_there_is_room_again() {
        let mut control = ControlState::default();
        for payload in [&b"one"[..], b"two", b"three"] {
            ping(&mut control, payload);
            assert_eq!(control.take_pong(false), None);
        }
        assert_eq!(control.take_pong(true).as_deref(), Some(&b"three"[..]));
        assert_eq!(control.take_pong(true), None);
    }

    #[test]
    fn one_close_frame_is_sent_and_nothing_after_it() {
        let mut control = ControlState::default();
        ping(&mut control, b"before");
        assert!(control.start_close() && control.close_sent());
        ping(&mut control, b"after");
        assert_eq!(control.take_pong(true), None);
        assert!(!control.start_close());
    }

    #[test]
    fn the_close_frame_of_the_peer_is_kept_for_the_answer() {
        let mut control = ControlState::default();
        assert_eq!(control.received_close(), None);
        let close = Close::new(4000, "bye");
        control.close_received(close.clone());
        assert_eq!(control.received_close(), Some(&close));
        assert!(control.start_close(), "it is answered");
    }

    #[test]
    fn an_end_without_a_close_frame_is_a_loss_unless_ours_was_sent() {
        let mut control = ControlState::default();
        let end = control.read_failed(ReadError::Ended, "peer");
        assert!(matches!(end, ReadEnd::Lost(Error::Lost { ref with, .. }) if with == "peer"), "{end:?}");
        control.start_close();
        let end = control.read_failed(ReadError::Ended, "peer");
        assert!(matches!(end, ReadEnd::Closed), "{end:?}");
    }

    #[test]
    fn what_is_refused_has_a_close_frame_and_an_error() {
        for (refused, code, text) in
            [(FrameError::Utf8, 1007, "UTF-8"), (FrameError::too_long(11, 10), 1009, "too long")]
        {
            match ControlState::default().read_failed(refused.into(), "peer") {
                ReadEnd::Refused { close, error } => {
                    assert_eq!((close.code, error.exit_code()), (code, 6));
                    assert!(close.reason.contains(text) && error.to_string().contains(text), "{error}");
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_silent_peer_is_pinged_and_given_up() {
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let mut control = ControlState::default();
            control.start_heartbeat(Some(Heartbeat::new(Duration::ZERO, Some(Duration::ZERO))));
            let ping = poll_fn(|cx| control.poll_heartbeat(cx, "peer", false, true)).await;
            assert!(ping.is_ok(), "{ping:?}");
            // A sign of life: another ping, and no answer to that.
            let ping = poll_fn(|cx| control.poll_heartbeat(cx, "peer", true, true)).await;
            assert!(ping.is_ok(), "{ping:?}");
            let error = poll_fn(|cx| control.poll_heartbeat(cx, "peer", false, true)).await;
            assert!(error.is_err_and(|error| error.exit_code() == 7));
            control.start_close();
            let after = poll_fn(|cx| Poll::Ready(control.poll_heartbeat(cx, "peer", false, true))).await;
            assert!(after.is_pending() && !control.has_heartbeat());
        });
    }
}
