//! Writes lines to standard error from a thread of its own, so that neither sessions nor signals wait for a reader that has
//! stopped reading.
//!
//! `tracing-appender` has such a writer, but at the end of the run it prints to standard output when its queue is full, and
//! that is where the results go; and it brings nine crates for this file.

use std::{
    io::{self, Write},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

/// Lines that may wait for a slow reader of standard error.
const MOST_LINES: usize = 16 * 1024;
/// The longest line, in bytes. Much of a line can come from outside, such as the URL in a redirect.
const MOST_BYTES: usize = 2 * 1024;
/// How long the end of the run waits for the last lines.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// Writes a line, or counts it as lost if the queue is full. The thread starts with the first line.
pub fn write(line: String) {
    if cfg!(fuzzing) {
        return;
    }
    #[cfg(feature = "term")]
    if let Some(sink) = &*sink() {
        return sink(line);
    }
    let mut writer = lock();
    let writer = match &mut *writer {
        Some(writer) => writer,
        none => match Writer::start() {
            Ok(started) => none.insert(started),
            // The system has no thread for it.
            Err(_) => {
                let _ = io::stderr().write_all(line.as_bytes());
                return;
            }
        },
    };
    if writer.lines.try_send(line).is_err() {
        writer.lost.fetch_add(1, Relaxed);
    }
}

/// Leaves out the middle of what is too long for a line, since an error has its reason at the end.
pub fn cut(text: &mut String) {
    const MARK: &str = "…";
    if text.len() > MOST_BYTES {
        let half = (MOST_BYTES - MARK.len()) / 2;
        let is_boundary = |at: &usize| text.is_char_boundary(*at);
        let start = (0..=half).rev().find(is_boundary).unwrap_or_default();
        let end = (text.len() - half..text.len()).find(is_boundary).unwrap_or(text.len());
        text.replace_range(start..end, MARK);
    }
}

/// Takes lines in place of standard error.
#[cfg(feature = "term")]
pub type Sink = Box<dyn Fn(String) + Send>;

#[cfg(feature = "term")]
static SINK: Mutex<Option<Sink>> = Mutex::new(None);

#[cfg(feature = "term")]
fn sink() -> MutexGuard<'static, Option<Sink>> {
    SINK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives lines to `to` from now on, or to standard error again. It must not log anything itself.
#[cfg(feature = "term")]
pub fn redirect(to: Option<Sink>) {
    *sink() = to;
}

/// Whether lines are given to something else than standard error.
#[cfg(feature = "term")]
pub fn is_redirected() -> bool {
    sink().is_some()
}

/// Waits until all lines are written, for a second at most.
pub fn flush() {
    if let Some(Writer { lines, done, .. }) = lock().take() {
        drop(lines);
        // The thread sends nothing; it drops its end when it has written everything.
        let _ = done.recv_timeout(LAST_WAIT);
    }
}

struct Writer {
    lines: SyncSender<String>,
    lost: Arc<AtomicU64>,
    done: Receiver<()>,
}

static WRITER: Mutex<Option<Writer>> = Mutex::new(None);

fn lock() -> MutexGuard<'static, Option<Writer>> {
    WRITER.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Writer {
    fn start() -> io::Result<Self> {
        let (lines, waiting) = sync_channel::<String>(MOST_LINES);
        let (is_done, done) = sync_channel(0);
        let lost = Arc::new(AtomicU64::new(0));
        let count = lost.clone();
        thread::Builder::new().spawn(move || {
            let _is_done = is_done;
            for line in waiting {
                // A standard error that is closed or full is no reason to stop, so failures are ignored.
                let mut stderr = io::stderr().lock();
                // One whole write, so that lines of several programs do not mix.
                let _ = stderr.write_all(line.as_bytes());
                let missed = count.swap(0, Relaxed);
                if missed > 0 {
                    let _ = writeln!(stderr, "wsplice: {missed} lines are not shown: they were not read fast enough");
                }
            }
        })?;
        Ok(Self { lines, lost, done })
    }
}
