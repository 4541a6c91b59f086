//! A member: reads what it says, writes what it has missed, notices when it is gone.

use super::{
    hub::{Place, Rules},
    line::{Delivery, Line},
};
use crate::{
    config::SlowPolicy,
    error::Error,
    flow::ByteEnd,
    message::{Close, Message},
    session::Stop,
    ws::{CLOSE_READ_TIMEOUT, Event, Heartbeat, Inflater, ReadEnd, ReadError, Reader, Role, Upgraded},
};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    io,
    net::IpAddr,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, ReadBuf},
    task::unconstrained,
    time::{Sleep, sleep},
};

/// Messages of one member that are taken before other tasks have their turn.
const BATCH: usize = 64;
/// Each of them is read and passed on.
const STEPS: usize = 2 * BATCH;
/// The same in bytes; then what waits for the member itself is written first.
const BATCH_BYTES: usize = 256 * 1024;
/// What may be read ahead, in bytes, while it cannot be passed on: so the end of a member is seen although its room is held
/// up, unless more than this lies before it.
const AHEAD: usize = 64 * 1024;

/// One connection in one room.
pub struct Member {
    /// Unlike any other's.
    pub id: u64,
    /// Its address, or the one that a trusted proxy names; none over a unix socket.
    pub client: Option<IpAddr>,
    takes_deflated: AtomicBool,
    line: Mutex<Line>,
}

impl Member {
    /// A member whose connection follows when its upgrade has been answered.
    pub fn new(id: u64, name: &str, client: Option<IpAddr>) -> Self {
        Self { id, client, takes_deflated: AtomicBool::new(false), line: Mutex::new(Line::new(name)) }
    }

    /// Its upgrade has been answered: what is said from its place on is written to this.
    pub fn connect(&self, end: ByteEnd, heartbeat: Option<Heartbeat>) {
        self.line().connect(end, heartbeat);
    }

    /// Takes nothing from its room any more; tells whether it held that up.
    pub fn leave(&self) -> bool {
        self.line().leave()
    }

    /// Whether messages go to it in the form that was compressed for all.
    pub fn takes_deflated(&self) -> bool {
        self.takes_deflated.load(Relaxed)
    }

    /// Its upgrade agreed on that.
    pub fn take_deflated(&self) {
        self.takes_deflated.store(true, Relaxed);
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that wait for it.
    pub fn backlog(&self) -> usize {
        self.line().backlog_bytes()
    }

    /// For the room's flusher.
    pub fn deliver(&self, batch: &Bytes, messages: u64, rules: &Arc<Rules>) -> Delivery {
        let mut line = self.line();
        let delivery = line.deliver(batch, messages, rules.backlog, rules.slow);
        if delivery.disconnected {
            rules.metrics.slow.fetch_add(1, Relaxed);
        }
        if delivery.dropped > 0 {
            let name = line.name().clone();
            drop(line);
            rules.count_drops(&name, delivery.dropped);
        }
        delivery
    }
}

/// Serves a member from its upgrade to its end.
///
/// No `async fn`: that would keep room for its arguments beside what is made of them, for as long as the member stays.
pub fn run(place: Place, upgraded: Upgraded, stop: &Stop, grace: Duration) -> impl Future<Output = Result<(), Error>> {
    let mut presence = Presence::new(place, upgraded);
    async move {
        let mut stopping = pin!(stop.requested());
        let mut is_stopping = false;
        // tokio allows a task 128 reads and writes before it pretends that sockets are busy; in a room of more members the
        // rest would seem slow. A poll is bounded by the messages it takes.
        let result = unconstrained(poll_fn(|cx| {
            if !is_stopping && stopping.as_mut().poll(cx).is_ready() {
                is_stopping = true;
                presence.part(&Close::new(1001, ""), grace, None);
            }
            presence.poll(cx)
        }))
        .await;
        presence.leave(&result);
        match result {
            // Members come and go as they like; how they go is only worth a line where joins are.
            Ok(_) | Err(Error::Lost { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// A member's task.
struct Presence {
    reader: Reader,
    member: Arc<Member>,
    place: Place,
    /// The room's number of its last message.
    last_said: u64,
    /// What was read and could not be passed on yet, in order, and its size.
    ahead: VecDeque<Said>,
    ahead_bytes: usize,
    parting: Option<Box<Parting>>,
}

/// What a member says, up to its end.
enum Said {
    /// A message waits while a slow member holds the room up. A ping, and so its pong, must not overtake the member's own
    /// messages: they come back to it first, also when another member's task is sending them, for clients use a ping to
    /// learn that all they have said has been passed on.
    Event(Event),
    /// The last; it must not overtake them either.
    End(ReadError),
}

impl Said {
    /// What it takes in memory, in bytes.
    fn size(&self) -> usize {
        let payload = match self {
            Self::Event(Event::Message(Message { payload, .. }) | Event::Ping(payload)) => payload.len(),
            Self::Event(Event::Pong(_) | Event::Close(_)) | Self::End(_) => 0,
        };
        payload + size_of::<Self>()
    }

    fn is_last(&self) -> bool {
        matches!(self, Self::Event(Event::Close(_)) | Self::End(_))
    }
}

/// Our close frame is on its way; the connection lasts until it is answered, or until the time is over.
struct Parting {
    until: Pin<Box<Sleep>>,
    close: Close,
    error: Option<Error>,
    is_shut: bool,
}

impl Presence {
    fn new(place: Place, upgraded: Upgraded) -> Self {
        let Upgraded { end, early, deflate } = upgraded;
        let Place { hub, room, member, .. } = &place;
        member.connect(end, Heartbeat::of(&hub.websocket));
        if let Some((deflater, agreed)) = hub.rules.deflater.as_ref().zip(deflate.as_ref())
            && deflater.fits(agreed)
        {
            room.deflate_for(member);
        }
        let inflater = deflate.map(|agreed| Inflater::new(&agreed, Role::Server));
        let name = member.line().name().clone();
        hub.report.room("join", &[("peer", &name), ("room", &room.target)]);
        Self {
            reader: Reader::new(Role::Server, &hub.websocket.limits, early, inflater),
            member: member.clone(),
            last_said: 0,
            ahead: VecDeque::new(),
            ahead_bytes: 0,
            parting: None,
            place,
        }
    }

    /// Out of the room, which is free of it before that is told.
    fn leave(&mut self, result: &Result<Close, Error>) {
        self.place.give_up();
        let reason = match result {
            Ok(close) => close.to_string(),
            Err(error) => error.to_string(),
        };
        let Place { hub, room, .. } = &self.place;
        let name = self.member.line().name().clone();
        hub.report.room("leave", &[("peer", &name), ("room", &room.target), ("reason", &reason)]);
    }

    /// Sends a close frame, leaves the room, and lasts no longer than `limit`.
    fn part(&mut self, close: &Close, limit: Duration, error: Option<Error>) {
        if self.parting.is_none() {
            self.place.give_up();
            self.member.line().close(close);
            let until = Box::pin(sleep(limit));
            let parting = Parting { until, close: close.clone(), error, is_shut: false };
            self.parting = Some(Box::new(parting));
        }
    }

    /// Ready when the connection is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Close, Error>> {
        let drained = self.drain(cx);
        if let Poll::Ready(Err(error)) = drained {
            return Poll::Ready(Err(error));
        }
        if self.parting.is_none() && self.member.line().close_sent() {
            // The flusher found it too slow.
            self.part(&Close::new(1013, "too slow"), CLOSE_READ_TIMEOUT, None);
        }
        if self.parting.is_some() {
            return self.poll_parting(cx, drained.is_ready());
        }
        // What has arrived is heard before the member is given up.
        if let Poll::Ready(ended) = self.poll_messages(cx) {
            return Poll::Ready(ended);
        }
        match self.member.line().poll_heartbeat(cx, self.reads()) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            // The ping wakes this task, which then writes it.
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    }

    /// Reads what the member says and passes it on, for as long as others can wait.
    fn poll_messages(&mut self, cx: &mut Context<'_>) -> Poll<Result<Close, Error>> {
        let mut is_idle = false;
        let mut may_pass = true;
        let mut bytes = 0;
        for _ in 0..STEPS {
            if bytes >= BATCH_BYTES {
                break;
            }
            if may_pass && let Some(first) = self.ahead.pop_front() {
                if self.may_pass(&first, cx) {
                    self.ahead_bytes -= first.size();
                    match first {
                        Said::Event(Event::Message(message)) => {
                            let Place { room, hub, .. } = &self.place;
                            bytes += message.payload.len();
                            self.last_said = room.say(self.member.id, &message, &hub.rules);
                        }
                        Said::Event(Event::Ping(payload)) => self.member.line().pong(payload),
                        // Only a sign of life.
                        Said::Event(Event::Pong(_)) => {}
                        Said::Event(Event::Close(close)) => return self.closed(close, cx),
                        Said::End(error) => return self.failed(error, cx),
                    }
                    continue;
                }
                self.ahead.push_front(first);
                may_pass = false;
            }
            let read = if self.reads() { self.poll_read(cx) } else { Poll::Pending };
            let Poll::Ready(said) = read else {
                is_idle = true;
                break;
            };
            self.ahead_bytes += said.size();
            self.ahead.push_back(said);
        }
        if self.has_ended() && self.member.line().is_holding_up() && self.member.leave() {
            // Its room need not wait for whoever goes.
            self.place.room.caught_up();
        }
        self.place.room.flush(&self.place.hub.rules);
        if !is_idle {
            cx.waker().wake_by_ref();
        } else if let Poll::Ready(Err(error)) = self.drain(cx) {
            // Pongs came up, and our own words where the socket was busy.
            return Poll::Ready(Err(error));
        }
        Poll::Pending
    }

    /// Whether the next of what was heard may be passed on; if not, the task is woken when it may.
    fn may_pass(&self, next: &Said, cx: &Context<'_>) -> bool {
        let Place { room, hub, .. } = &self.place;
        match next {
            Said::Event(Event::Message(_)) => hub.rules.slow != SlowPolicy::Block || !room.is_held_up(cx),
            Said::Event(Event::Pong(_)) => true,
            Said::Event(Event::Ping(_) | Event::Close(_)) | Said::End(_) => {
                room.flush(&hub.rules);
                room.poll_delivered(self.last_said, cx).is_ready()
            }
        }
    }

    /// Whether more is read now.
    fn reads(&self) -> bool {
        self.ahead_bytes < AHEAD && !self.has_ended()
    }

    /// Whether the member's end has been read.
    fn has_ended(&self) -> bool {
        self.ahead.back().is_some_and(Said::is_last)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Said> {
        self.reader.poll_next(&mut Socket(&self.member), cx).map(|read| read.map_or_else(Said::End, Said::Event))
    }

    /// The member has closed; what it said before has been passed on. Its close is answered with its own words.
    fn closed(&mut self, close: Close, cx: &Context<'_>) -> Poll<Result<Close, Error>> {
        self.part(&close, CLOSE_READ_TIMEOUT, None);
        self.member.line().close_received(close);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The connection has ended, or must end; what the member said before has been passed on.
    fn failed(&mut self, error: ReadError, cx: &Context<'_>) -> Poll<Result<Close, Error>> {
        let end = self.member.line().read_failed(error);
        match end {
            // The flusher has just found the member too slow; the next poll ends the connection for that.
            ReadEnd::Closed => {}
            ReadEnd::Lost(error) => return Poll::Ready(Err(error)),
            ReadEnd::Failed(error) => return Poll::Ready(Err(self.lost(&crate::error::plain(&error)))),
            ReadEnd::Refused { close, error } => self.part(&close, CLOSE_READ_TIMEOUT, Some(error)),
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes what waits.
    fn drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut line = self.member.line();
        let drained = line.poll_drain(cx);
        let has_caught_up = line.has_caught_up(self.place.hub.rules.backlog);
        drop(line);
        if has_caught_up {
            self.place.room.caught_up();
        }
        drained.map_err(|error| self.lost(&crate::error::plain(&error)))
    }

    /// Waits until the close frame is out and answered.
    fn poll_parting(&mut self, cx: &mut Context<'_>, is_drained: bool) -> Poll<Result<Close, Error>> {
        let has_ended = self.poll_rest(cx).is_ready();
        let Some(parting) = &mut self.parting else { return Poll::Pending };
        let mut line = self.member.line();
        if is_drained && !parting.is_shut {
            parting.is_shut = line.poll_shutdown(cx).is_ready();
        }
        let is_late = parting.until.as_mut().poll(cx).is_ready();
        // RFC 6455 section 7.1.1: the server ends the connection when both close frames have been sent.
        if is_late || has_ended || (line.is_close_received() && parting.is_shut) {
            return Poll::Ready(match parting.error.take() {
                Some(error) => Err(error),
                None => Ok(parting.close.clone()),
            });
        }
        Poll::Pending
    }

    /// Reads what a member says though nobody listens any more: a connection that is closed with bytes unread is reset,
    /// and then the member may never see our close frame. Looks out for the member's own. Ready at the end.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Behind a frame that broke the protocol, and behind a close frame, are only bytes.
        let is_violated = self.parting.as_ref().is_some_and(|parting| parting.error.is_some());
        if !is_violated && !self.member.line().is_close_received() {
            for _ in 0..BATCH {
                match ready!(self.reader.poll_next(&mut Socket(&self.member), cx)) {
                    Ok(Event::Close(close)) => {
                        self.member.line().close_received(close);
                        break;
                    }
                    Ok(_) => {}
                    Err(_) => return Poll::Ready(()),
                }
            }
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut waste = [0; 4096];
        for _ in 0..BATCH {
            let mut buffer = ReadBuf::new(&mut waste);
            let read = ready!(self.member.line().poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(());
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn lost(&self, reason: &str) -> Error {
        Error::Lost { with: self.member.line().name().to_string(), reason: reason.to_owned() }
    }
}

/// A member's connection, to be read.
struct Socket<'a>(&'a Member);

impl AsyncRead for Socket<'_> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.line().poll_read(cx, buf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::{Cli, Parsed},
        message::Kind,
        report::{LogFormat, Report},
        rooms::hub::Hub,
    };
    use tokio::io::AsyncWrite;

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
        let Ok(Parsed::Run(cli)) = Cli::parse_args(["wsplice", "--broadcast"].map(Into::into)) else {
            panic!("no command line")
        };
        let report = Report::new(0, true, LogFormat::Text);
        let config = cli.into_config(report).expect("a configuration");
        let options = config.rooms.expect("options of rooms");
        let hub = Arc::new(Hub::new(options, config.websocket, report));
        let place = hub.join("/", "broken", None).expect("a place");
        place.member.connect(ByteEnd::peer(Panics, "broken"), None);
        let hello = Message { kind: Kind::Text, payload: Bytes::from_static(b"hello") };
        let say = || {
            let number = place.room.say(place.member.id, &hello, &hub.rules);
            let flush = std::panic::AssertUnwindSafe(|| place.room.flush(&hub.rules));
            assert!(std::panic::catch_unwind(flush).is_err(), "it is delivered");
            number
        };
        say();
        let last = say();
        let never = Context::from_waker(std::task::Waker::noop());
        assert!(place.room.poll_delivered(last, &never).is_ready());
    }
}
