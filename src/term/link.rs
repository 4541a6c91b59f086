//! What the session and the thread of the terminal have in common. The session never waits for it.

use super::{command::Request, view::Record, wake::Wake};
use crate::{
    flow::{ControlFrame, PingTimes, Transfer},
    recording::{Recorder, Seen},
    report::millis,
};
use std::{
    collections::VecDeque,
    io, mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

/// Events that wait for a terminal that is slow; then the oldest are not shown.
const MAX_EVENTS: usize = 20_000;
/// The same in bytes.
const MAX_BYTES: usize = 16 << 20;
/// Requests that wait for the session, which may be connecting again.
const MAX_REQUESTS: usize = 1000;
/// The same in bytes, unless it is one only.
const MAX_REQUEST_BYTES: usize = 64 << 20;
/// What an event takes besides its text, in bytes.
const OVERHEAD: usize = 100;

/// What is to be shown.
pub enum Event {
    /// A message that was received.
    Received(Record),
    /// A line of the log.
    Line(String),
    /// A remark of our own.
    Remark(String),
}

impl Event {
    fn size(&self) -> usize {
        OVERHEAD
            + match self {
                Self::Received(record) => record.message.payload.len(),
                Self::Line(text) | Self::Remark(text) => text.len(),
            }
    }
}

/// Round trips of pings.
#[derive(Clone, Copy, Default)]
pub struct RoundTrips {
    /// Their number.
    pub count: u32,
    /// Their sum.
    pub sum: Duration,
    /// The shortest.
    pub shortest: Duration,
    /// The longest.
    pub longest: Duration,
}

#[derive(Default)]
struct State {
    events: VecDeque<Event>,
    bytes: usize,
    skipped: usize,
    /// What was taken is not written yet.
    is_writing: bool,
    /// The session is over or waits until all is shown.
    is_hurried: bool,
    is_closing: bool,
    is_done: bool,
    is_stale: bool,
    is_continued: bool,
    waker: Option<Waker>,
    requests: VecDeque<Request>,
    request_bytes: usize,
    request_waker: Option<Waker>,
    pings: PingTimes,
    /// Pings that the user has asked for.
    asked: usize,
    round_trips: RoundTrips,
    received: (u64, u64),
    recorder: Option<Arc<Recorder>>,
}

/// The queue between the session and the terminal thread.
pub struct Link {
    state: Mutex<State>,
    done: Condvar,
    /// Readable when the thread has something to do.
    wake: Wake,
}

/// What there is to do for the thread.
pub struct Work {
    /// What is to be shown, in its order.
    pub events: VecDeque<Event>,
    /// How many were left out before it.
    pub skipped: usize,
}

impl Link {
    /// # Errors
    /// There are not enough descriptors.
    pub fn new() -> io::Result<Self> {
        Ok(Self { state: Mutex::default(), done: Condvar::new(), wake: Wake::new()? })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the thread.
    pub fn wake(&self) {
        self.wake.wake();
    }

    /// What to poll for something to do.
    pub fn wake_descriptor(&self) -> &Wake {
        &self.wake
    }

    /// Shows this; without waiting for it.
    pub fn show(&self, event: Event) {
        let mut state = self.lock();
        if state.is_done {
            return;
        }
        if let Event::Received(record) = &event {
            state.received.0 += 1;
            state.received.1 += record.message.payload.len() as u64;
        }
        let was_idle = state.events.is_empty();
        state.bytes += event.size();
        state.events.push_back(event);
        while state.events.len() > MAX_EVENTS || (state.bytes > MAX_BYTES && state.events.len() > 1) {
            let oldest = state.events.pop_front();
            state.bytes -= oldest.as_ref().map_or(0, Event::size);
            state.skipped += 1;
        }
        drop(state);
        if was_idle {
            self.wake();
        }
    }

    /// Whether something is to be shown.
    pub fn is_pending(&self) -> bool {
        !self.lock().events.is_empty()
    }

    /// Whether it is to be shown at once.
    pub fn is_hurried(&self) -> bool {
        self.lock().is_hurried
    }

    /// Takes up to `most` events, or `most_bytes` of them. [`written`](Self::written) follows.
    pub fn take(&self, most: usize, most_bytes: usize) -> Work {
        let mut state = self.lock();
        let (mut events, mut bytes) = (VecDeque::new(), 0);
        while events.len() < most && bytes < most_bytes {
            let Some(event) = state.events.pop_front() else { break };
            bytes += event.size();
            events.push_back(event);
        }
        state.bytes -= bytes;
        state.is_writing = true;
        Work { events, skipped: mem::take(&mut state.skipped) }
    }

    /// How many were left out so far.
    #[cfg(feature = "jq")]
    pub fn take_skipped(&self) -> usize {
        mem::take(&mut self.lock().skipped)
    }

    /// What was taken has been written.
    pub fn written(&self) {
        let mut state = self.lock();
        state.is_writing = false;
        if state.events.is_empty() {
            state.waker.take().into_iter().for_each(Waker::wake);
        }
    }

    /// Ready when all has been shown.
    pub fn poll_shown(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.is_done || (state.events.is_empty() && !state.is_writing) {
            return Poll::Ready(());
        }
        state.is_hurried = true;
        state.waker = Some(cx.waker().clone());
        drop(state);
        self.wake();
        Poll::Pending
    }

    /// Asks the thread to end when all has been shown.
    pub fn close(&self) {
        let mut state = self.lock();
        (state.is_closing, state.is_hurried) = (true, true);
        drop(state);
        self.wake();
    }

    /// Whether the session is over. What a program has not judged by then is not waited for.
    #[cfg(feature = "jq")]
    pub fn is_over(&self) -> bool {
        self.lock().is_closing
    }

    /// Whether the thread is to end.
    pub fn is_closing(&self) -> bool {
        let state = self.lock();
        state.is_closing && state.events.is_empty()
    }

    /// Ready when the thread has ended.
    pub fn poll_done(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.is_done {
            return Poll::Ready(());
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The thread has ended.
    pub fn done(&self) {
        let mut state = self.lock();
        state.is_done = true;
        state.events.clear();
        state.waker.take().into_iter().for_each(Waker::wake);
        state.request_waker.take().into_iter().for_each(Waker::wake);
        self.done.notify_all();
    }

    /// Waits for the end of the thread, for this long at most.
    pub fn wait_done(&self, most: Duration) {
        let _ = self.done.wait_timeout_while(self.lock(), most, |state| !state.is_done);
    }

    /// The terminal has another size.
    pub fn resized(&self) {
        self.lock().is_stale = true;
        self.wake();
    }

    /// The process goes on after it was stopped.
    pub fn continued(&self) {
        self.lock().is_continued = true;
        self.wake();
    }

    /// Whether the line has to be drawn again.
    pub fn take_stale(&self) -> bool {
        mem::take(&mut self.lock().is_stale)
    }

    /// Whether the process was stopped.
    pub fn take_continued(&self) -> bool {
        mem::take(&mut self.lock().is_continued)
    }

    /// Writes what passes to this file from now on, or to none.
    pub fn record_to(&self, recorder: Option<Recorder>) {
        let before = mem::replace(&mut self.lock().recorder, recorder.map(Arc::new));
        // It may write its last lines.
        drop(before);
    }

    /// Records a frame, if that is wanted.
    pub fn record(&self, transfer: Transfer, seen: Seen<'_>) {
        let recorder = self.lock().recorder.clone();
        recorder.into_iter().for_each(|recorder| recorder.record(None, transfer, seen));
    }

    /// Nothing more passes for now.
    pub fn flush_recording(&self) {
        let recorder = self.lock().recorder.clone();
        recorder.into_iter().for_each(|recorder| recorder.flush());
    }

    /// Whether the session takes another request.
    pub fn takes_requests(&self) -> bool {
        let state = self.lock();
        state.requests.len() < MAX_REQUESTS && state.request_bytes < MAX_REQUEST_BYTES
    }

    /// Asks the session for something.
    pub fn request(&self, request: Request) {
        let mut state = self.lock();
        state.request_bytes += request.size();
        state.requests.push_back(request);
        state.request_waker.take().into_iter().for_each(Waker::wake);
    }

    /// The next request; `None` when the thread has ended.
    pub fn poll_request(&self, cx: &Context<'_>) -> Poll<Option<Request>> {
        let mut state = self.lock();
        match state.requests.pop_front() {
            Some(request) => {
                state.request_bytes -= request.size();
                Poll::Ready(Some(request))
            }
            None if state.is_done => Poll::Ready(None),
            None => {
                state.request_waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Messages that the session has not taken.
    pub fn unsent(&self) -> usize {
        self.lock().requests.iter().filter(|request| matches!(request, Request::Message(_))).count()
    }

    /// The user has asked for a ping.
    pub fn ping_asked(&self) {
        self.lock().asked += 1;
    }

    /// Observes the control frames of the peer.
    pub fn observe(&self, transfer: Transfer, frame: &ControlFrame) {
        self.record(transfer, Seen::Control(frame));
        let mut state = self.lock();
        let Some(took) = state.pings.observe(transfer, frame) else { return };
        let trips = &mut state.round_trips;
        trips.shortest = if trips.count == 0 { took } else { trips.shortest.min(took) };
        trips.longest = trips.longest.max(took);
        trips.sum += took;
        trips.count += 1;
        if state.asked > 0 {
            state.asked -= 1;
            drop(state);
            self.show(Event::Remark(format!("pong after {}", millis(took))));
        }
    }

    /// Messages and bytes that were received, and the round trips of pings.
    pub fn totals(&self) -> ((u64, u64), RoundTrips) {
        let state = self.lock();
        (state.received, state.round_trips)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Kind, Message};
    use bytes::Bytes;
    use std::time::SystemTime;

    #[test]
    fn the_oldest_messages_are_left_out_when_the_terminal_is_too_slow() {
        let link = Link::new().expect("a link");
        for number in 0..MAX_EVENTS + 10 {
            link.show(Event::Remark(number.to_string()));
        }
        let Work { events, skipped } = link.take(1, usize::MAX);
        assert!(matches!(events.front(), Some(Event::Remark(text)) if text == "10") && skipped == 10);
        let message = Message { kind: Kind::Text, payload: vec![0; MAX_BYTES].into() };
        let long = || {
            Event::Received(Record { transfer: Transfer::Received, message: message.clone(), at: SystemTime::now() })
        };
        link.show(long());
        link.show(long());
        assert_eq!((link.take(usize::MAX, usize::MAX).events.len(), link.lock().bytes), (1, 0));
        assert_eq!(link.totals().0.0, 2, "they are counted anyway");
    }

    #[test]
    fn a_pong_is_told_only_to_who_asked_and_counts_anyway() {
        let link = Link::new().expect("a link");
        let payload = Bytes::from_static(b"x");
        for asked in [false, true] {
            if asked {
                link.ping_asked();
            }
            link.observe(Transfer::Sent, &ControlFrame::Ping(payload.clone()));
            link.observe(Transfer::Received, &ControlFrame::Pong(Bytes::new()));
            link.observe(Transfer::Received, &ControlFrame::Pong(payload.clone()));
            assert_eq!(link.is_pending(), asked);
        }
        assert_eq!(link.totals().1.count, 2);
    }
}
