//! Layers that see what passes an end: `--record` and `--stats`.

use crate::{
    config::ScriptingOptions,
    endpoint::{ConnectContext, LayerNote, Transform},
    error::Error,
    flow::{BoxFuture, ControlFrame, Incoming, MessageEnd, MessageLayer, MessageStream, PingTimes, Transfer},
    message::Message,
    recording::{Recorder, Seen},
    report,
};
use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

type Layer = Box<dyn Transform<MessageEnd, MessageEnd>>;

/// The layers that `options` ask for, the innermost first. `has_many`: there may be several sessions.
pub fn taps(options: &ScriptingOptions, has_many: bool) -> Vec<(LayerNote, Layer)> {
    let mut layers: Vec<(LayerNote, Layer)> = Vec::new();
    if options.stats {
        layers.push((LayerNote::inserted("stats", "--stats"), Box::new(Tapping(|| Ok(Arc::new(Stats::new()))))));
    }
    if let Some(path) = options.record.clone() {
        let recording = Recording { path, recorder: Mutex::default(), sessions: has_many.then(AtomicU64::default) };
        layers.push((LayerNote::inserted("record", "--record"), Box::new(Tapping(move || recording.session()))));
    }
    layers
}

/// What sees a session. It must not wait for long.
trait Tap: Send + Sync + 'static {
    fn see(&self, transfer: Transfer, seen: Seen<'_>);

    /// Of what was sent, the connection has not taken so many bytes.
    fn unsent(&self, _bytes: u64) {}

    /// Nothing more passes for now.
    fn idle(&self) {}

    /// The session has ended.
    fn end(&self) {}
}

/// A layer with a tap of its own, or a shared one, for each session.
struct Tapping<F>(F);

impl<T: Tap, F: Fn() -> Result<Arc<T>, Error> + Send + Sync> Transform<MessageEnd, MessageEnd> for Tapping<F> {
    fn apply<'a>(
        &'a self,
        mut inner: MessageEnd,
        _: &'a mut ConnectContext,
    ) -> BoxFuture<'a, Result<MessageEnd, Error>> {
        Box::pin(async move {
            let tap = (self.0)()?;
            let of_control = tap.clone();
            inner.io.observe_control(Arc::new(move |transfer, frame| of_control.see(transfer, Seen::Control(frame))));
            Ok(MessageEnd { io: Box::new(Tapped { io: inner.io, tap }), ..inner })
        })
    }
}

struct Tapped<T: Tap> {
    io: Box<dyn MessageStream>,
    tap: Arc<T>,
}

impl<T: Tap> MessageLayer for Tapped<T> {
    fn inner(&self) -> &dyn MessageStream {
        &*self.io
    }

    fn inner_mut(&mut self) -> &mut dyn MessageStream {
        &mut *self.io
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        let next = self.io.poll_next(cx);
        match &next {
            Poll::Ready(Ok(Incoming::Message(message))) => self.tap.see(Transfer::Received, Seen::Message(message)),
            Poll::Ready(_) => {}
            Poll::Pending => self.tap.idle(),
        }
        next
    }

    fn start_send(&mut self, message: Message) -> Result<(), Error> {
        self.tap.unsent(self.io.unsent());
        self.tap.see(Transfer::Sent, Seen::Message(&message));
        self.io.start_send(message)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.tap.idle();
        self.io.poll_flush(cx)
    }
}

impl<T: Tap> Drop for Tapped<T> {
    fn drop(&mut self) {
        self.tap.idle();
        self.tap.unsent(self.io.unsent());
        self.tap.end();
    }
}

/// The file of `--record`, which is opened for the first session.
struct Recording {
    path: PathBuf,
    recorder: Mutex<Option<Arc<Recorder>>>,
    /// The sessions so far, if there may be several.
    sessions: Option<AtomicU64>,
}

/// A session that is recorded.
struct Recorded {
    recorder: Arc<Recorder>,
    number: Option<u64>,
}

impl Recording {
    fn session(&self) -> Result<Arc<Recorded>, Error> {
        let mut recorder = self.recorder.lock().unwrap_or_else(PoisonError::into_inner);
        let recorder = match &*recorder {
            Some(recorder) => recorder.clone(),
            None => recorder.insert(Arc::new(Recorder::create(&self.path)?)).clone(),
        };
        let number = self.sessions.as_ref().map(|sessions| 1 + sessions.fetch_add(1, Relaxed));
        Ok(Arc::new(Recorded { recorder, number }))
    }
}

impl Tap for Recorded {
    fn see(&self, transfer: Transfer, seen: Seen<'_>) {
        self.recorder.record(self.number, transfer, seen);
    }

    fn idle(&self) {
        self.recorder.flush();
    }
}

/// The totals of a session.
struct Stats {
    started: Instant,
    totals: Mutex<Totals>,
}

#[derive(Default)]
struct Totals {
    /// What was given to the connection.
    sent: Total,
    /// The lengths of the last messages, of which the connection had not taken all at the last look, and their sum.
    unsent: VecDeque<u64>,
    unsent_sum: u64,
    /// The bytes that it had not taken.
    unsent_bytes: u64,
    received: Total,
    pings: PingTimes,
    round_trips: Vec<Duration>,
    /// Those that are not in `round_trips`.
    more_round_trips: u64,
}

#[derive(Default)]
struct Total {
    messages: u64,
    bytes: u64,
}

/// Round trips that are kept, for their median.
const MAX_ROUND_TRIPS: usize = 10_000;

impl Stats {
    fn new() -> Self {
        Self { started: Instant::now(), totals: Mutex::default() }
    }
}

impl Tap for Stats {
    fn see(&self, transfer: Transfer, seen: Seen<'_>) {
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        match seen {
            Seen::Message(message) => {
                let total = match transfer {
                    Transfer::Sent => &mut totals.sent,
                    Transfer::Received => &mut totals.received,
                };
                let length = message.payload.len() as u64;
                total.messages += 1;
                total.bytes += length;
                if transfer == Transfer::Sent {
                    totals.unsent.push_back(length);
                    totals.unsent_sum += length;
                }
            }
            Seen::Control(frame @ (ControlFrame::Ping(_) | ControlFrame::Pong(_))) => {
                if let Some(took) = totals.pings.observe(transfer, frame) {
                    if totals.round_trips.len() < MAX_ROUND_TRIPS {
                        totals.round_trips.push(took);
                    } else {
                        totals.more_round_trips += 1;
                    }
                }
            }
            Seen::Control(ControlFrame::Close(_)) => {}
        }
    }

    fn unsent(&self, bytes: u64) {
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        totals.unsent_bytes = bytes;
        while let Some(behind) = totals.unsent.front().map(|first| totals.unsent_sum - first)
            && behind >= bytes
        {
            totals.unsent.pop_front();
            totals.unsent_sum = behind;
        }
    }

    fn end(&self) {
        let mut totals = std::mem::take(&mut *self.totals.lock().unwrap_or_else(PoisonError::into_inner));
        let took = self.started.elapsed();
        // A message of which a part is left does not count.
        totals.sent.messages -= totals.unsent.len() as u64;
        totals.sent.bytes = totals.sent.bytes.saturating_sub(totals.unsent_bytes);
        for (what, total) in [("sent", &totals.sent), ("received", &totals.received)] {
            report::notice(format_args!("{what} {}", total.shown(took)));
        }
        let mut trips = totals.round_trips;
        trips.sort_unstable();
        if let [shortest, .., longest] | [shortest @ longest] = &trips[..] {
            let median = trips.get(trips.len() / 2).unwrap_or(longest);
            let [shortest, median, longest] = [shortest, median, longest].map(|trip| trip.as_secs_f64() * 1000.0);
            let count = trips.len() as u64 + totals.more_round_trips;
            report::notice(format_args!(
                "round trips of {}: shortest {shortest:.1} ms, median {median:.1} ms, longest {longest:.1} ms",
                number(count, "ping")
            ));
        }
    }
}

impl Total {
    /// The totals and the rates, for a session that took so long.
    fn shown(&self, took: Duration) -> String {
        let seconds = took.as_secs_f64().max(0.001);
        let Self { messages, bytes } = *self;
        #[expect(clippy::cast_precision_loss, reason = "it is shown with one decimal")]
        let (per_second, bytes_per_second) = (messages as f64 / seconds, bytes as f64 / seconds);
        format!(
            "{}, {} in {seconds:.1} s: {per_second:.1} messages/s, {}",
            number(messages, "message"),
            number(bytes, "byte"),
            rate(bytes_per_second)
        )
    }
}

fn number(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn rate(bytes: f64) -> String {
    match bytes {
        ..1024.0 => format!("{bytes:.0} B/s"),
        ..1_048_576.0 => format!("{:.1} KiB/s", bytes / 1024.0),
        _ => format!("{:.1} MiB/s", bytes / 1_048_576.0),
    }
}
