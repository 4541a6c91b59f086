//! The progress of a file that goes through a session, on standard error if that is a terminal. Nothing is shown of what takes
//! less than half a second.
//!
//! A thread draws it, so that the session never waits for the terminal. Lines of the log go through that thread, too.

use crate::report;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    io::{self, Write},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    task::{Context, Poll, ready},
    thread,
    time::{Duration, Instant},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is shorter is over before anybody has read it.
const APPEAR_AFTER: Duration = Duration::from_millis(500);
/// The time between two looks at how much has passed.
const TICK: Duration = Duration::from_millis(100);
/// How long the end of a session waits for the terminal.
const LAST_WAIT: Duration = Duration::from_millis(500);
/// Lines of the log that may wait for a slow terminal.
const MOST_LINES: usize = 1024;
/// Of a file of known size. The line is as wide as the terminal, and the cursor goes back to its start: a ^C behind it would begin another
/// line, and this one would stay. First it clears the rows below, where a terminal that has become narrower has wrapped the line.
const BAR: &str = "\x1b[J{wide_bar} {percent}% of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left\r";
/// The same at the end, which may come before all has passed.
const LAST_BAR: &str = "\x1b[J{wide_bar} {percent}% of {binary_total_bytes}, {binary_bytes_per_sec}";
/// Of any other. There is no message: it fills the line.
const COUNT: &str = "\x1b[J{binary_bytes}, {binary_bytes_per_sec}{wide_msg}\r";
/// The same at the end.
const LAST_COUNT: &str = "\x1b[J{binary_bytes}, {binary_bytes_per_sec}";

/// Whether a line of progress is on the terminal.
static IS_VISIBLE: AtomicBool = AtomicBool::new(false);

/// Whether a line of progress is on the terminal, which is to be cleared before anything else is written there.
pub fn is_visible() -> bool {
    IS_VISIBLE.load(Relaxed)
}

/// Which bytes are counted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// Those that are read.
    Reads,
    /// Those that are written.
    Writes,
}

/// A file whose progress is shown until it is dropped.
pub struct Tracked<T> {
    io: T,
    counts: Counts,
    passed: Arc<AtomicU64>,
    /// Lines of the log, and `None` at the end.
    lines: SyncSender<Option<String>>,
    done: Receiver<()>,
}

impl<T> Tracked<T> {
    /// Shows the progress of `io`, of which `total` bytes will pass, if standard error is a terminal and shows nothing else.
    ///
    /// # Errors
    /// Gives `io` back if nothing is to be shown.
    pub fn new(io: T, counts: Counts, total: Option<u64>) -> Result<Self, T> {
        if !report::is_on_terminal() || report::is_redirected() {
            return Err(io);
        }
        let passed = Arc::new(AtomicU64::new(0));
        let (lines, waiting) = sync_channel(MOST_LINES);
        let (is_done, done) = sync_channel(0);
        let count = passed.clone();
        let draw = move || {
            let _is_done: SyncSender<()> = is_done;
            show(&waiting, &count, total);
        };
        report::flush();
        if thread::Builder::new().name("progress".into()).spawn(draw).is_err() {
            return Err(io);
        }
        let log = lines.clone();
        report::redirect(Some(Box::new(move |line| _ = log.try_send(Some(line)))));
        Ok(Self { io, counts, passed, lines, done })
    }

    fn count(&self, counts: Counts, bytes: usize) {
        if self.counts == counts {
            self.passed.fetch_add(bytes as u64, Relaxed);
        }
    }
}

impl<T> Drop for Tracked<T> {
    fn drop(&mut self) {
        report::redirect(None);
        // A terminal that takes nothing leaves the thread behind.
        if self.lines.try_send(None).is_ok() {
            let _ = self.done.recv_timeout(LAST_WAIT);
        }
    }
}

/// Draws until the end.
fn show(lines: &Receiver<Option<String>>, passed: &AtomicU64, total: Option<u64>) {
    let bar = start(total);
    let appears = Instant::now() + APPEAR_AFTER;
    loop {
        match lines.recv_timeout(TICK) {
            Ok(Some(line)) => {
                // A standard error that is closed is no reason to stop.
                bar.suspend(|| _ = io::stderr().write_all(line.as_bytes()));
            }
            Err(RecvTimeoutError::Timeout) => {
                if bar.is_hidden() && Instant::now() >= appears {
                    bar.set_draw_target(ProgressDrawTarget::stderr());
                    IS_VISIBLE.store(true, Relaxed);
                }
                bar.set_position(passed.load(Relaxed));
                bar.tick();
            }
            Ok(None) | Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    if !bar.is_hidden() {
        bar.set_position(passed.load(Relaxed));
        set_template(&bar, if total.is_some() { LAST_BAR } else { LAST_COUNT });
        IS_VISIBLE.store(false, Relaxed);
        bar.abandon();
    }
}

/// A bar that is not drawn yet, but knows how long what passes takes.
fn start(total: Option<u64>) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
    set_template(&bar, if total.is_some() { BAR } else { COUNT });
    bar
}

fn set_template(bar: &ProgressBar, template: &str) {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Tracked<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        self.count(Counts::Reads, buf.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Tracked<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, buf))?;
        self.count(Counts::Writes, written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
