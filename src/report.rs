//! What a run tells on standard error. Results go to standard output, never through here.

use crate::error::Error;
use std::{
    fmt,
    io::{self, IsTerminal, Write},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// `-q`: only the error that ends the run.
    Quiet,
    /// Errors of single connections too.
    Errors,
    /// On a terminal: a line when a connection opens and one when it closes.
    Events,
    /// `-v`: the handshake.
    Handshake,
    /// `-vv`: every frame.
    Frames,
}

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people
    Text,
    /// A JSON object a line, for machines
    Json,
}

/// Writes lines to standard error, as many as were asked for. A standard error that is closed or full is no reason
/// to stop, so failures to write are ignored.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    level: Level,
    format: LogFormat,
}

impl Report {
    /// From the number of `-v`, `-q` and `--log-format`.
    pub fn new(verbose: u8, quiet: bool, format: LogFormat) -> Self {
        let level = match (quiet, verbose) {
            (true, _) => Level::Quiet,
            (_, 0) if io::stderr().is_terminal() => Level::Events,
            (_, 0) => Level::Errors,
            (_, 1) => Level::Handshake,
            _ => Level::Frames,
        };
        Self { level, format }
    }

    /// Whether lines of this level are shown.
    pub fn shows(&self, level: Level) -> bool {
        self.level >= level
    }

    /// A connection opened, closed, or something worth knowing happened.
    pub fn event(&self, text: impl fmt::Display) {
        if self.shows(Level::Events) {
            self.line("info", "* ", text, &[]);
        }
    }

    /// What a server always tells unless it is to be quiet, such as where it listens.
    pub fn notice(&self, text: impl fmt::Display) {
        if self.shows(Level::Errors) {
            self.line("info", "* ", text, &[]);
        }
    }

    /// Something that the user should know though the run goes on.
    pub fn warn(&self, text: impl fmt::Display) {
        if self.shows(Level::Errors) {
            self.line("warn", "wsplice: ", text, &[]);
        }
    }

    /// The error of one connection of many.
    pub fn session_error(&self, peer: &str, error: &Error) {
        if self.shows(Level::Errors) && !matches!(error, Error::Signal(_)) {
            let text = error.to_string();
            // Errors of the client's own connection name it already.
            let at = if text.contains(peer) { String::new() } else { format!("{peer}: ") };
            self.error(format_args!("{at}{text}"), error.hint());
        }
    }

    /// A line of a handshake: `>` for what we send, `<` for what we get, `*` for remarks.
    pub fn handshake(&self, mark: char, text: impl fmt::Display) {
        if self.shows(Level::Handshake) {
            self.line("debug", &format!("{mark} "), text, &[]);
        }
    }

    /// Something that happened in the room server, with its particulars.
    pub fn room(&self, event: &str, particulars: &[(&str, &str)]) {
        if self.shows(Level::Handshake) {
            self.line("info", "* ", event, particulars);
        }
    }

    /// The error that ends the run.
    pub fn fatal(self, error: &Error) {
        if !error.is_silent() {
            self.error(format_args!("{error}"), error.hint());
        }
    }

    fn error(self, text: fmt::Arguments<'_>, hint: Option<String>) {
        match (self.format, hint) {
            (LogFormat::Json, Some(hint)) => self.line("error", "", text, &[("hint", &hint)]),
            (_, None) => self.line("error", "wsplice: ", text, &[]),
            // A specifier with carets below it speaks for itself.
            (_, Some(hint)) if hint.starts_with('\n') => line(format_args!("wsplice: {text}{hint}")),
            (_, Some(hint)) => line(format_args!("wsplice: {text}\n  hint: {hint}")),
        }
    }

    fn line(self, level: &str, prefix: &str, text: impl fmt::Display, particulars: &[(&str, &str)]) {
        if self.format == LogFormat::Json {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let mut object = serde_json::Map::new();
            object.insert("ts".into(), now.as_secs_f64().into());
            object.insert("level".into(), level.into());
            object.insert("msg".into(), text.to_string().into());
            object.extend(particulars.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())));
            return line(format_args!("{}", serde_json::Value::from(object)));
        }
        let mut told = format!("{prefix}{text}");
        for (key, value) in particulars {
            let _ = fmt::Write::write_fmt(&mut told, format_args!(" {key}={value}"));
        }
        line(format_args!("{}", visible(&told)));
    }
}

/// Lines hold what peers say, which must not steer the terminal that shows them.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter.is_control() {
            true => shown.extend(letter.escape_debug()),
            false => shown.push(letter),
        }
    }
    shown
}

/// Writes a line to standard error, from a thread of its own: whoever reads it may stop reading, and neither sessions nor
/// signals may wait for that. What does not fit into the queue then is not shown, only counted.
pub(crate) fn line(text: fmt::Arguments<'_>) {
    if cfg!(fuzzing) {
        return;
    }
    let mut writer = lock();
    let writer = writer.get_or_insert_with(Writer::start);
    if writer.lines.try_send(format!("{text}\n")).is_err() {
        writer.unshown.fetch_add(1, Relaxed);
    }
}

/// Waits until all lines are written, but not for ever.
pub(crate) fn flush() {
    if let Some(Writer { lines, done, .. }) = lock().take() {
        drop(lines);
        // It never sends: it ends.
        let _ = done.recv_timeout(LAST_WAIT);
    }
}

/// Lines that may wait for a slow reader of standard error.
const MOST_LINES: usize = 16 * 1024;
/// How long the end of the run waits for the last lines.
const LAST_WAIT: Duration = Duration::from_secs(1);

struct Writer {
    lines: SyncSender<String>,
    unshown: Arc<AtomicU64>,
    done: Receiver<()>,
}

static WRITER: Mutex<Option<Writer>> = Mutex::new(None);

fn lock() -> MutexGuard<'static, Option<Writer>> {
    WRITER.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Writer {
    fn start() -> Self {
        let (lines, waiting) = sync_channel::<String>(MOST_LINES);
        let (is_done, done) = sync_channel(0);
        let unshown = Arc::new(AtomicU64::new(0));
        let count = unshown.clone();
        thread::spawn(move || {
            let _is_done = is_done;
            for line in waiting {
                let mut stderr = io::stderr().lock();
                // One whole write, so that lines of several programs do not mix.
                let _ = stderr.write_all(line.as_bytes());
                let missed = count.swap(0, Relaxed);
                if missed > 0 {
                    let _ = writeln!(stderr, "wsplice: {missed} lines are not shown: they were not read fast enough");
                }
            }
        });
        Self { lines, unshown, done }
    }
}
