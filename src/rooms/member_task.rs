//! A member's task: publishes its messages, writes its backlog, and notices when it is gone.

use super::{hub::Membership, member::Member, outbox::Dismissal, room::Room};
use crate::{
    config::SlowPolicy,
    error::Error,
    memory,
    message::{Close, Message},
    report,
    ws::{
        CLOSE_READ_TIMEOUT, Event, Heartbeat, Inflater, ReadEnd, ReadError, Reader, Role, SenderDeflater, Upgraded,
        out_of_memory,
    },
};
use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::atomic::Ordering::Relaxed,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, ReadBuf},
    task::unconstrained,
    time::{Instant, Sleep, sleep, sleep_until},
};

/// Messages of one member that are published before other tasks run.
const BATCH: usize = 64;
/// The same limit in bytes; then the member's own backlog is written first.
const BATCH_BYTES: usize = 256 * 1024;
/// Bytes that are compressed before other tasks run. It takes about a millisecond.
const DEFLATE_BYTES: usize = 64 * 1024;
/// A sender pauses for this long while a member has more than half of its backlog, with [`SlowPolicy::Disconnect`].
const PAUSE: Duration = Duration::from_millis(10);
/// For each of so many bytes that it has sent.
const PAUSE_EVERY: usize = 256 * 1024;
/// Bytes that may be read ahead while messages cannot be published. A close frame within them is noticed although a slow
/// member holds up the room.
const AHEAD: usize = 64 * 1024;

/// Serves one member from the end of its opening handshake to the end of its connection.
///
/// As a future it fails if the member sent something that is refused. A lost connection is not an error: members come and go.
pub struct MemberTask {
    reader: Reader,
    membership: Membership,
    /// The room's number of the last message that this member published.
    last_published: u64,
    /// What was read and could not be handled yet, in order. Messages wait while a slow member holds the room up. A ping, and so
    /// its pong, must not overtake the member's own messages: they come back to it first, also if another member's task is
    /// sending them, for clients use a ping to learn that their messages have been passed on. Nor may the end of the member.
    ahead: VecDeque<Received>,
    ahead_bytes: usize,
    /// The end of its lifetime, if that is limited.
    expires: Option<Pin<Box<Sleep>>>,
    /// Compresses the first message of those for all members. Present once there was something to compress.
    deflater: Option<Box<SenderDeflater>>,
    /// Bytes published since the last flush, while more is being compressed.
    unflushed: usize,
    /// Bytes published since the last pause for slow members.
    unpaused: usize,
    /// The end of the current pause.
    pause: Option<Pin<Box<Sleep>>>,
    /// Checks whether the member has taken something.
    slow_timer: Option<Pin<Box<Sleep>>>,
    closing: Option<Box<Closing>>,
}

/// What the reader returned. An error or a close frame is the last.
type Received = Result<Event, ReadError>;

/// Bytes of memory that it occupies.
fn size(received: &Received) -> usize {
    let payload = match received {
        Ok(Event::Message(Message { payload, .. }) | Event::Ping(payload)) => payload.len(),
        Ok(Event::Pong(_) | Event::Close(_)) | Err(_) => 0,
    };
    payload + size_of::<Received>()
}

/// Our close frame is in the outbox. The connection lasts until it is answered, or until the time is over.
struct Closing {
    until: Pin<Box<Sleep>>,
    close: Close,
    error: Option<Error>,
    is_shut_down: bool,
}

impl MemberTask {
    pub fn new(membership: Membership, upgraded: Upgraded) -> Self {
        let Upgraded { end, early, deflate } = upgraded;
        let Membership { hub, room, member, .. } = &membership;
        member.connect(end, Heartbeat::of(&hub.websocket));
        if let Some((deflater, agreed)) = hub.delivery.deflater.as_ref().zip(deflate.as_ref())
            && deflater.fits(agreed)
            && member.resume.is_none()
        {
            room.deflate_for(member);
        }
        let inflater = deflate.map(|agreed| Inflater::new(&agreed, Role::Server));
        let name = member.outbox().name().clone();
        report::join(&name, &room.target);
        Self {
            reader: Reader::new(Role::Server, &hub.websocket.limits, early, inflater)
                .with_message_timeout(hub.websocket.message_timeout),
            last_published: 0,
            ahead: VecDeque::new(),
            ahead_bytes: 0,
            expires: None,
            deflater: None,
            unflushed: 0,
            unpaused: 0,
            pause: None,
            slow_timer: None,
            closing: None,
            membership,
        }
    }

    /// The same for a member that is closed at this time, unless it has left before.
    pub fn with_end(self, expires: Option<Instant>) -> Self {
        Self { expires: expires.map(|expires| Box::pin(sleep_until(expires))), ..self }
    }

    /// Leaves the room, and then logs that.
    pub fn leave(&mut self, result: &Result<Close, Error>) {
        self.membership.leave();
        let name = self.membership.member.outbox().name().clone();
        let room = &self.membership.room.target;
        match result {
            Ok(close) => report::leave(&name, room, close),
            Err(error) => report::leave(&name, room, error),
        }
    }

    /// Leaves the room and sends a close frame. The connection ends with `error`, if there is one, after `limit` at most.
    fn close(&mut self, close: &Close, limit: Duration, error: Option<Error>) {
        if self.closing.is_none() {
            self.membership.leave();
            self.membership.member.outbox().close(close);
            let until = Box::pin(sleep(limit));
            self.closing = Some(Box::new(Closing { until, close: close.clone(), error, is_shut_down: false }));
        }
    }

    /// Ready when the connection is over.
    pub fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<Close, Error>> {
        if self.expires.as_mut().is_some_and(|expires| expires.as_mut().poll(cx).is_ready()) {
            self.expires = None;
            self.membership.member.dismiss(Dismissal::Expired);
        }
        let drained = self.drain(cx);
        if let Poll::Ready(Err(error)) = drained {
            return Poll::Ready(Err(error));
        }
        if self.closing.is_none() && self.membership.member.outbox().close_sent() {
            // The flusher found the member too slow, or the members of the room or of the server are dismissed.
            let dismissal = self.membership.member.outbox().dismissal();
            self.close(&dismissal.close(), dismissal.limit(self.membership.hub.grace), None);
        }
        if self.closing.is_none() && self.poll_slow(cx).is_ready() {
            let delivery = &self.membership.hub.delivery;
            delivery.metrics.slow.fetch_add(1, Relaxed);
            self.membership.member.give_up(&Dismissal::TooSlow.close(), delivery);
            self.close(&Dismissal::TooSlow.close(), CLOSE_READ_TIMEOUT, None);
        }
        if self.closing.is_some() {
            self.flush_rest(cx);
            return self.poll_closing(cx, drained.is_ready());
        }
        // What has arrived is handled before the member can be found dead.
        if let Poll::Ready(ended) = self.poll_messages(cx) {
            return Poll::Ready(ended);
        }
        let reads = self.reads() && !self.reader.has_yielded();
        let held = self.reader.held() + self.deflater.as_ref().map_or(0, |deflater| deflater.held());
        let pauses = self.reader.take_paused();
        let mut outbox = self.membership.member.outbox();
        if let Some(held) = outbox.poll_memory(cx, held, pauses)
            && self.closing.is_none()
        {
            drop(outbox);
            return self.out_of_memory(held, cx);
        }
        match outbox.poll_heartbeat(cx, reads) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            // The ping wakes this task, which then writes it.
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    }

    /// Frees what is held for the member, and closes it: at once if it has started to take a long message, of which the rest would be
    /// held until then.
    fn out_of_memory(&mut self, held: usize, cx: &Context<'_>) -> Poll<Result<Close, Error>> {
        let delivery = &self.membership.hub.delivery;
        delivery.metrics.out_of_memory.fetch_add(1, Relaxed);
        self.membership.member.give_up(&out_of_memory(), delivery);
        self.reader.clear();
        self.membership.member.outbox().set_read(0);
        (self.ahead, self.ahead_bytes, self.deflater) = (VecDeque::new(), 0, None);
        let with = self.membership.member.outbox().name().to_string();
        let error = Error::OutOfMemory { with, held };
        if self.membership.member.backlog() >= memory::LARGE {
            return Poll::Ready(Err(error));
        }
        self.close(&out_of_memory(), CLOSE_READ_TIMEOUT, Some(error));
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Ready when the member has taken nothing from its backlog for too long.
    fn poll_slow(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(timeout) = self.membership.hub.delivery.slow_timeout else { return Poll::Pending };
        let mut outbox = self.membership.member.outbox();
        while let Some(since) = outbox.waits_since() {
            let until = since + timeout;
            let timer = self.slow_timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
            ready!(timer.as_mut().poll(cx));
            if Instant::now() >= until && !outbox.write_now() {
                return Poll::Ready(());
            }
            self.slow_timer = None;
        }
        self.slow_timer = None;
        Poll::Pending
    }

    /// Reads events and handles them, until it is another task's turn.
    fn poll_messages(&mut self, cx: &mut Context<'_>) -> Poll<Result<Close, Error>> {
        let mut is_idle = false;
        let mut may_handle = true;
        let (mut bytes, mut deflated) = (0, 0);
        for _ in 0..BATCH {
            if bytes >= BATCH_BYTES || deflated >= DEFLATE_BYTES {
                break;
            }
            let waiting = if may_handle { self.ahead.pop_front() } else { None };
            let next = match waiting {
                Some(waiting) => {
                    self.ahead_bytes -= size(&waiting);
                    waiting
                }
                None => match if self.reads() { self.poll_read(cx) } else { Poll::Pending } {
                    Poll::Ready(read) => read,
                    Poll::Pending => {
                        is_idle = true;
                        break;
                    }
                },
            };
            if !may_handle {
                self.ahead_bytes += size(&next);
                self.ahead.push_back(next);
                continue;
            }
            let step = self.deflate(&next);
            deflated += step;
            may_handle = step > 0 || self.may_handle(&next, cx);
            if step > 0 || !may_handle {
                self.ahead_bytes += size(&next);
                self.ahead.push_front(next);
                continue;
            }
            match next {
                Ok(Event::Message(message)) => bytes += message.payload.len(),
                Ok(Event::Ping(payload)) => self.membership.member.outbox().pong(payload),
                // Only a sign of life.
                Ok(Event::Pong(_)) => {}
                Ok(Event::Close(close)) => return self.close_received(close, cx),
                Err(error) => return self.read_failed(error, cx),
            }
        }
        if self.has_ended() && self.membership.member.outbox().is_holding_up() && self.membership.member.leave() {
            // The room need not wait for a member that is about to go.
            self.membership.room.caught_up();
        }
        // Each batch costs a write for each member, so a short one waits while the next message is being compressed.
        if is_idle || deflated == 0 || self.unflushed >= BATCH_BYTES {
            self.flush(cx);
        }
        if !is_idle {
            cx.waker().wake_by_ref();
        } else if let Poll::Ready(Err(error)) = self.drain(cx) {
            // There may be pongs, and the member's own messages if its socket was busy.
            return Poll::Ready(Err(error));
        }
        Poll::Pending
    }

    /// Compresses a part of the next event if it is a message, once for all members and without holding up the room. Returns of
    /// how many bytes: 0 when there is nothing left to do.
    fn deflate(&mut self, next: &Received) -> usize {
        let Membership { room, hub, .. } = &self.membership;
        let (Ok(Event::Message(message)), Some(shared)) = (next, &hub.delivery.deflater) else { return 0 };
        if self.deflater.is_none() && !room.takes_deflated() {
            return 0;
        }
        self.deflater.get_or_insert_with(|| Box::new(shared.for_sender())).step(message)
    }

    /// Publishes the next event if it is a message. Otherwise returns whether it may be handled. If neither can be now, the
    /// task is woken when it can.
    fn may_handle(&mut self, next: &Received, cx: &mut Context<'_>) -> bool {
        let Membership { room, hub, .. } = &self.membership;
        match next {
            Ok(Event::Message(message)) => {
                let must_wait = match hub.delivery.slow {
                    SlowPolicy::Block => room.is_held_up(cx),
                    SlowPolicy::Disconnect => pauses(room, self.unpaused, &mut self.pause, cx),
                    SlowPolicy::DropOldest | SlowPolicy::DropNewest => false,
                };
                if must_wait {
                    return false;
                }
                if self.pause.take().is_some() {
                    self.unpaused = 0;
                }
                let deflated = self.deflater.as_ref().and_then(|deflater| deflater.deflated(message));
                match room.publish(self.membership.member.id, message, deflated, &hub.delivery, cx) {
                    Poll::Ready(number) => {
                        self.deflater.iter_mut().for_each(|deflater| deflater.next());
                        self.last_published = number;
                        self.unpaused = self.unpaused.saturating_add(message.payload.len());
                        self.unflushed += message.payload.len().max(1);
                    }
                    Poll::Pending => return false,
                }
                true
            }
            Ok(Event::Pong(_)) => true,
            Ok(Event::Ping(_) | Event::Close(_)) | Err(_) => {
                self.flush(cx);
                self.membership.room.poll_delivered(self.last_published, cx).is_ready()
            }
        }
    }

    /// Delivers what is pending in the room. tokio allows a task 128 reads and writes before it reports every socket as busy; in
    /// a room of more members the others would seem slow.
    fn flush(&mut self, cx: &mut Context<'_>) {
        self.unflushed = 0;
        let Membership { room, hub, .. } = &self.membership;
        let delivering = poll_fn(|_| {
            hub.flush(room);
            Poll::Ready(())
        });
        let _: Poll<()> = pin!(unconstrained(delivering)).poll(cx);
    }

    /// Delivers what has been published and waits for more, if there is any.
    fn flush_rest(&mut self, cx: &mut Context<'_>) {
        if self.unflushed > 0 {
            self.flush(cx);
        }
    }

    /// Whether more is read now.
    fn reads(&self) -> bool {
        self.ahead_bytes < AHEAD && !self.has_ended()
    }

    /// Whether the last event has been read.
    fn has_ended(&self) -> bool {
        self.ahead.back().is_some_and(|last| matches!(last, Ok(Event::Close(_)) | Err(_)))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Received> {
        self.reader.poll_next(&mut Socket(&self.membership.member), cx)
    }

    /// The member has closed, and its messages have been passed on. The answer has its code and reason.
    fn close_received(&mut self, close: Close, cx: &Context<'_>) -> Poll<Result<Close, Error>> {
        self.close(&close, CLOSE_READ_TIMEOUT, None);
        self.membership.member.outbox().close_received(close);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The connection has ended, or must end, and the member's messages have been passed on.
    fn read_failed(&mut self, error: ReadError, cx: &Context<'_>) -> Poll<Result<Close, Error>> {
        let end = self.membership.member.outbox().read_failed(error);
        match end {
            // The flusher has just found the member too slow; the next poll ends the connection for that.
            ReadEnd::Closed => {}
            ReadEnd::Lost(error) => return Poll::Ready(Err(error)),
            ReadEnd::Failed(error) => return Poll::Ready(Err(self.lost(&error))),
            ReadEnd::Refused { close, error } => self.close(&close, CLOSE_READ_TIMEOUT, Some(error)),
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes the backlog.
    fn drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let delivery = &self.membership.hub.delivery;
        let mut outbox = self.membership.member.outbox();
        let drained = outbox.poll_drain(cx);
        let has_caught_up = outbox.has_caught_up(delivery.backlog, delivery.slow);
        drop(outbox);
        if has_caught_up {
            self.membership.room.caught_up();
        }
        drained.map_err(|error| self.lost(&error))
    }

    /// Waits until the close frame is written and answered.
    fn poll_closing(&mut self, cx: &mut Context<'_>, is_drained: bool) -> Poll<Result<Close, Error>> {
        let has_ended = self.poll_rest(cx).is_ready();
        let Some(closing) = &mut self.closing else { return Poll::Pending };
        let mut outbox = self.membership.member.outbox();
        if is_drained && !closing.is_shut_down {
            closing.is_shut_down = outbox.poll_shutdown(cx).is_ready();
        }
        let is_late = closing.until.as_mut().poll(cx).is_ready();
        // RFC 6455 section 7.1.1: the server ends the connection when both close frames have been sent.
        if is_late || has_ended || (outbox.is_close_received() && closing.is_shut_down) {
            return Poll::Ready(match closing.error.take() {
                Some(error) => Err(error),
                None => Ok(closing.close.clone()),
            });
        }
        Poll::Pending
    }

    /// Reads and discards what the member still sends, up to its close frame and the end: a connection that is closed with bytes
    /// unread is reset, and then the member may never see our close frame. Ready at the end.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // After a frame that was refused, and after a close frame, no frames are read.
        let is_refused = self.closing.as_ref().is_some_and(|closing| closing.error.is_some());
        if !is_refused && !self.membership.member.outbox().is_close_received() {
            for _ in 0..BATCH {
                match ready!(self.reader.poll_next(&mut Socket(&self.membership.member), cx)) {
                    Ok(Event::Close(close)) => {
                        self.membership.member.outbox().close_received(close);
                        break;
                    }
                    Ok(_) => {}
                    Err(_) => return Poll::Ready(()),
                }
            }
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut discarded = [0; 4096];
        for _ in 0..BATCH {
            let mut buffer = ReadBuf::new(&mut discarded);
            let read = ready!(self.membership.member.outbox().poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(());
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn lost(&self, error: &io::Error) -> Error {
        Error::Lost {
            with: self.membership.member.outbox().name().to_string(),
            reason: crate::error::io_message(error),
        }
    }
}

/// Whether a sender waits for members that are behind, so that those that read can catch up before they are closed with those
/// that do not. It does for a moment after so many bytes: members that do not read cost others little.
fn pauses(room: &Room, unpaused: usize, pause: &mut Option<Pin<Box<Sleep>>>, cx: &mut Context<'_>) -> bool {
    if unpaused < PAUSE_EVERY || !room.is_held_up(cx) {
        return false;
    }
    let parts = u32::try_from(unpaused / PAUSE_EVERY).unwrap_or(u32::MAX);
    pause.get_or_insert_with(|| Box::pin(sleep(PAUSE.saturating_mul(parts)))).as_mut().poll(cx).is_pending()
}

impl Future for MemberTask {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(self.poll_end(cx));
        self.flush_rest(cx);
        self.leave(&result);
        Poll::Ready(match result {
            // The reason is in the log line of the leave.
            Ok(_) | Err(Error::Lost { .. }) => Ok(()),
            Err(error) => Err(error),
        })
    }
}

/// The read half of a member's connection.
struct Socket<'a>(&'a Member);

impl AsyncRead for Socket<'_> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.outbox().poll_read(cx, buf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::RoomOptions,
        flow::ByteEnd,
        message::Kind,
        rooms::{broker::Broker, hub::Hub},
        ws::{DeflateOptions, WebSocketOptions},
    };
    use bytes::Bytes;
    use std::sync::{Arc, atomic::AtomicBool};
    use tokio::io::AsyncWrite;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

    /// A connection whose writing is a bug.
    struct Panics;

    impl AsyncRead for Panics {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Panics {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            panic!("a bug of a layer below")
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_delivery_that_panics_does_not_silence_its_room() {
        let hub = Arc::new(Hub::new(RoomOptions::default(), WebSocketOptions::default(), Broker::Memory));
        let membership = hub.join("/", "broken", None).expect("a membership");
        membership.member.connect(ByteEnd::peer(Panics, "broken"), None);
        let hello = Message { kind: Kind::Text, payload: Bytes::from_static(b"hello") };
        let publish = || {
            let never = Context::from_waker(std::task::Waker::noop());
            let published = membership.room.publish(membership.member.id, &hello, None, &hub.delivery, &never);
            let Poll::Ready(number) = published else { panic!("it is full") };
            let flush = std::panic::AssertUnwindSafe(|| hub.flush(&membership.room));
            assert!(std::panic::catch_unwind(flush).is_err(), "it is delivered");
            number
        };
        publish();
        let last = publish();
        let never = Context::from_waker(std::task::Waker::noop());
        assert!(membership.room.poll_delivered(last, &never).is_ready());
    }

    #[test]
    fn a_full_batch_is_taken_before_more_is_added() {
        let options = RoomOptions { backlog: 1000, ..RoomOptions::default() };
        let hub = Arc::new(Hub::new(options, WebSocketOptions::default(), Broker::Memory));
        let membership = hub.join("/", "sender", None).expect("a membership");
        let cx = Context::from_waker(std::task::Waker::noop());
        let message = |length| Message { kind: Kind::Binary, payload: vec![0; length].into() };
        let publish = |length| membership.room.publish(0, &message(length), None, &hub.delivery, &cx);
        assert!(publish(600).is_ready(), "one message however long it is");
        assert!(publish(1).is_pending());
        hub.flush(&membership.room);
        assert!(publish(400).is_ready());
        assert!(publish(400).is_ready());
        assert!(publish(1).is_pending());
    }

    struct Woken(AtomicBool);

    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Relaxed);
        }
    }

    #[test]
    fn a_sender_that_waits_for_the_batch_is_woken_although_a_member_is_behind() {
        let options = RoomOptions { backlog: 1001, ..RoomOptions::default() };
        let hub = Arc::new(Hub::new(options, WebSocketOptions::default(), Broker::Memory));
        let stuck = hub.join("/", "stuck", None).expect("a membership");
        let woken = Arc::new(Woken(AtomicBool::new(false)));
        let waker = woken.clone().into();
        let cx = Context::from_waker(&waker);
        let publish = |length| {
            let message = Message { kind: Kind::Binary, payload: vec![0; length].into() };
            stuck.room.publish(0, &message, None, &hub.delivery, &cx)
        };
        // Frames of 501 and 500 bytes: both fit into the backlog, and each is half of it.
        assert!(publish(497).is_ready());
        hub.flush(&stuck.room);
        assert!(stuck.room.is_held_up(&Context::from_waker(std::task::Waker::noop())), "more than half waits");
        assert!(publish(496).is_ready());
        assert!(publish(1).is_pending());
        hub.flush(&stuck.room);
        assert!(woken.0.load(Relaxed));
    }

    /// A member that takes compressed messages and reads nothing, and the task of one that has sent these texts.
    fn deflating(texts: &[&str]) -> (Membership, MemberTask) {
        let deflate = DeflateOptions { accepts: true, level: 3, window_bits: 15, ..DeflateOptions::default() };
        let websocket = WebSocketOptions { deflate, ..WebSocketOptions::default() };
        let hub = Arc::new(Hub::new(RoomOptions::default(), websocket, Broker::Memory));
        let reader = hub.join("/", "reader", None).expect("a membership");
        reader.room.deflate_for(&reader.member);
        let mut frames = bytes::BytesMut::new();
        for text in texts {
            crate::ws::append_frame(&mut frames, OpCode::Data(Data::Text), true, true, text.as_bytes());
        }
        let (near, far) = tokio::io::duplex(1);
        std::mem::forget(far);
        let upgraded = Upgraded { end: ByteEnd::peer(near, "sender"), early: frames.to_vec(), deflate: None };
        let sender = MemberTask::new(hub.join("/", "sender", None).expect("a membership"), upgraded);
        (reader, sender)
    }

    #[test]
    fn a_long_message_is_compressed_in_steps_and_others_are_published_meanwhile() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.expect("a runtime").block_on(async {
            let (reader, mut sender) = deflating(&[&"all work ".repeat(100_000)]);
            let mut cx = Context::from_waker(std::task::Waker::noop());
            let short = Message { kind: Kind::Text, payload: "short".into() };
            let delivery = &reader.hub.delivery;
            let received = || delivery.metrics.received.load(Relaxed);
            for published in 0..13 {
                assert!(sender.poll_end(&mut cx).is_pending());
                assert_eq!(received(), published);
                assert!(reader.room.publish(reader.member.id, &short, None, delivery, &cx).is_ready());
            }
            while received() == 13 {
                assert!(sender.poll_end(&mut cx).is_pending());
            }
            assert!(sender.poll_end(&mut cx).is_pending());
            let backlog = reader.member.backlog();
            assert!((13 * 7..10_000).contains(&backlog), "{backlog} bytes: it is compressed");
        });
    }

    #[test]
    fn what_waits_for_a_message_that_is_being_compressed_is_delivered_when_its_sender_is_closed() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.expect("a runtime").block_on(async {
            let (reader, mut sender) = deflating(&["short", "", &"all work ".repeat(100_000)]);
            let mut cx = Context::from_waker(std::task::Waker::noop());
            assert!(sender.poll_end(&mut cx).is_pending());
            assert_eq!((reader.hub.delivery.metrics.received.load(Relaxed), reader.member.backlog()), (2, 0));
            sender.close(&Close::new(1001, ""), Duration::from_secs(1), None);
            assert!(sender.poll_end(&mut cx).is_pending());
            assert_eq!(reader.member.backlog(), 7 + 2);
        });
    }

    #[test]
    fn a_sender_pauses_now_and_then_while_a_member_is_behind() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let options = RoomOptions { backlog: 1_000_000, echo: false, ..RoomOptions::default() };
            let hub = Arc::new(Hub::new(options, WebSocketOptions::default(), Broker::Memory));
            let stuck = hub.join("/", "stuck", None).expect("a membership");
            let (near, _far) = tokio::io::duplex(1);
            stuck.member.connect(ByteEnd::peer(near, "stuck"), None);
            let mut frames = bytes::BytesMut::new();
            for _ in 0..300 {
                crate::ws::append_frame(&mut frames, OpCode::Data(Data::Binary), true, true, &[7; 4096]);
            }
            let (near, _other) = tokio::io::duplex(1);
            let upgraded = Upgraded { end: ByteEnd::peer(near, "sender"), early: frames.to_vec(), deflate: None };
            let mut sender = MemberTask::new(hub.join("/", "sender", None).expect("a membership"), upgraded);
            let mut cx = Context::from_waker(std::task::Waker::noop());
            let mut published = || {
                for _ in 0..20 {
                    assert!(sender.poll_end(&mut cx).is_pending());
                }
                hub.delivery.metrics.received.load(Relaxed)
            };
            // Half of a backlog is 123 messages; a pause follows when one has been found to have more.
            assert_eq!(published(), 128);
            tokio::time::advance(Duration::from_millis(19)).await;
            assert_eq!(published(), 128);
            tokio::time::advance(Duration::from_millis(2)).await;
            assert_eq!(published(), 192);
            assert_eq!(stuck.member.backlog(), 192 * 4100 - 1);
            // One that is closed or gone is not waited for.
            assert!(stuck.member.leave());
            stuck.room.caught_up();
            assert_eq!(published(), 300);
        });
    }
}
