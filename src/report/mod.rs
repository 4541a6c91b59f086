//! Log lines on standard error. Results go to standard output, never through here.
//!
//! Lines are events of `tracing`. Each connection of a listener has a span with the name of its client, which the formatter
//! shows on every line within it. [`init`] fixes the level; a line beyond it costs a comparison.

mod drops;
mod format;
#[cfg(feature = "term")]
mod last_handshake;
mod subscriber;
mod writer;

use crate::error::Error;
pub use drops::Drops;
#[cfg(feature = "term")]
pub(crate) use last_handshake::{keep_handshakes, last_handshake};
use std::{
    fmt::Display,
    io::{self, IsTerminal},
    sync::OnceLock,
    time::Duration,
};
use subscriber::Lines;
use tracing::{Metadata, Span, debug, error, error_span, field::Empty, info, info_span, trace, warn};
pub(crate) use writer::flush;
#[cfg(feature = "term")]
pub(crate) use writer::is_redirected;
#[cfg(feature = "term")]
pub(crate) use writer::redirect;

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    /// `-q`: only the error that ends the run, and what `log:` shows.
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

/// The target of the error that ends the run.
const FATAL: &str = "wsplice::fatal";
/// The target of traffic that `log:` shows.
const LOG: &str = "wsplice::log";
/// The target of what a server reports unless it is quiet.
const NOTICE: &str = "wsplice::notice";
/// The target of joins and leaves.
const ROOM: &str = "wsplice::room";

/// The level of this process.
static LEVEL: OnceLock<Level> = OnceLock::new();

impl Level {
    fn new(verbose: u8, quiet: bool) -> Self {
        match (quiet, verbose) {
            (true, _) => Self::Quiet,
            (_, 0) if io::stderr().is_terminal() => Self::Events,
            (_, 0) => Self::Errors,
            (_, 1) => Self::Handshake,
            _ => Self::Frames,
        }
    }

    /// The lowest level at which a line is shown or a span kept; `None` for those of libraries.
    fn of(metadata: &Metadata<'_>) -> Option<Self> {
        Some(match metadata.target() {
            FATAL | LOG => Self::Quiet,
            NOTICE => Self::Errors,
            ROOM => Self::Handshake,
            target if !target.starts_with("wsplice") => return None,
            _ => match *metadata.level() {
                tracing::Level::ERROR if metadata.is_span() => Self::Quiet,
                tracing::Level::ERROR | tracing::Level::WARN => Self::Errors,
                tracing::Level::INFO => Self::Events,
                tracing::Level::DEBUG => Self::Handshake,
                tracing::Level::TRACE => Self::Frames,
            },
        })
    }
}

/// Sets level and format for the rest of the process, from the number of `-v`, `-q` and `--log-format`. Only the first call
/// counts; lines before it are not written.
pub fn init(verbose: u8, quiet: bool, format: LogFormat) {
    let level = *LEVEL.get_or_init(|| Level::new(verbose, quiet));
    let _ = tracing::subscriber::set_global_default(Lines::new(level, format));
}

/// The span of a client's connection, at every level. `peer` names the client.
pub fn connection(peer: &str) -> Span {
    error_span!("connection", peer, room = Empty)
}

/// The span of a connection to the room server. Below the level of events only its error is logged, so it has none there: a
/// span takes 160 bytes of an idle member's 2.8 KiB, and 4 % of the instructions of one that joins and leaves.
pub fn member(peer: &str) -> Span {
    info_span!("connection", peer, room = Empty)
}

/// Renames the client of the current connection: a trusted proxy has named the real one.
pub fn rename_peer(peer: &str) {
    Span::current().record("peer", peer);
}

/// Names the room of the current connection.
pub fn set_room(room: &str) {
    Span::current().record("room", room);
}

/// Reports that a listener is open. It belongs to no client, also where the first client's session opens it.
pub fn listening(text: impl Display) {
    info!(parent: None, "{text}");
}

/// Reports that a connection opened or closed, or the like.
pub fn event(text: impl Display) {
    info!("{text}");
}

/// Reports what a server always tells unless it is quiet, such as where it listens.
pub fn notice(text: impl Display) {
    info!(target: NOTICE, "{text}");
}

/// Reports something that the user should know though the run goes on.
pub fn warn(text: impl Display) {
    warn!("{text}");
}

/// Reports the error of one connection of many. `peer` names its client where it has no span.
pub fn session_error(peer: &str, error: &Error) {
    if !matches!(error, Error::Signal(_)) {
        let span = Span::current();
        let span = if span.is_none() { connection(peer) } else { span };
        span.in_scope(|| error!(end = error.peer(), hint = error.hint(), "{error}"));
    }
}

/// Reports a line of a handshake: `>` for what is sent, `<` for what is received, `*` for remarks.
/// `end` is the other side of that handshake.
pub fn handshake(mark: char, end: &str, text: impl Display) {
    debug!(%mark, end, "{text}");
}

/// Reports that a connection is about to be opened, with all its handshakes.
pub fn handshake_starts() {
    #[cfg(feature = "term")]
    last_handshake::forget();
}

/// Whether standard error is a terminal, and is to be used for more than the error that ends the run.
pub fn is_on_terminal() -> bool {
    match LEVEL.get() {
        None | Some(Level::Quiet | Level::Errors) => false,
        Some(Level::Events) => true,
        Some(Level::Handshake | Level::Frames) => io::stderr().is_terminal(),
    }
}

/// Whether the lines of opening handshakes are shown or kept.
pub fn shows_handshakes() -> bool {
    tracing::enabled!(tracing::Level::DEBUG)
}

/// Whether frames are shown.
pub fn shows_frames() -> bool {
    tracing::enabled!(tracing::Level::TRACE)
}

/// Reports a frame of the connection with `end`: `>` for one that is sent, `<` for one that is received.
pub fn frame(mark: char, end: &str, text: impl Display) {
    trace!(%mark, end, "{text}");
}

/// Reports what passes `log:` in front of `end`: `>` for what goes into it, `<` for what comes out.
pub fn traffic(mark: char, end: &str, text: impl Display) {
    info!(target: LOG, %mark, end, "{text}");
}

/// Reports that a member has joined a room.
pub fn join(peer: &str, room: &str) {
    info!(target: ROOM, peer, room, "join");
}

/// Reports that a member has left a room.
pub fn leave(peer: &str, room: &str, reason: impl Display) {
    info!(target: ROOM, peer, room, %reason, "leave");
}

/// A time in milliseconds, as it is shown.
pub fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

/// Reports the error that ends the run. On a terminal, and with `-v`, the response that caused it is shown first.
pub fn fatal(error: &Error) {
    let mut text = error.to_string();
    let level = LEVEL.get().copied().unwrap_or(Level::Quiet);
    if let Error::Handshake { with, refusal, .. } = error
        && level >= Level::Events
    {
        // With -v its head was shown when it came.
        let has_head = level >= Level::Handshake;
        let skipped = refusal.lines.iter().take_while(|line| has_head && !line.is_empty()).count();
        for line in refusal.lines.iter().skip(skipped) {
            info!(mark = "<", end = with, "{line}");
        }
        // The lines have it.
        text.truncate(text.len() - refusal.body.len());
    }
    if !error.is_silent() {
        error!(target: FATAL, hint = error.hint(), "{text}");
    }
}
