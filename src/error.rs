//! Errors, by stage. Each has an exit code and, where one is known, a hint.

use crate::message::Close;
use std::{fmt, io, ops::Range, process::ExitStatus, time::Duration};

/// The error of a run or a session. `Display` is one line that names the stage, the address and the reason.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line is not valid.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What to try instead.
        hint: Option<String>,
    },
    /// The argument of an address is not valid; `spec::Address::point_at` adds its position.
    #[error("{reason}")]
    Argument {
        /// What is wrong.
        reason: String,
        /// A valid address.
        example: String,
    },
    /// A file that an option names cannot be used, such as a certificate.
    #[error("{0:#}")]
    Setup(anyhow::Error),
    /// A host name has no address.
    #[error("cannot resolve `{host}`: {reason}")]
    Resolve {
        /// The host name.
        host: String,
        /// The resolver's error.
        reason: String,
    },
    /// Connecting failed.
    #[error("cannot connect to {to}: {}", io_message(.source))]
    Connect {
        /// `host:port` or a path.
        to: String,
        /// The error of the first attempt that failed.
        source: io::Error,
    },
    /// The engine of a cluster cannot be used (`--cluster`).
    #[error("cannot use {engine}: {reason}")]
    Engine {
        /// Its URL, without credentials.
        engine: String,
        /// Why, such as the engine's answer.
        reason: String,
        /// What to try instead.
        hint: Option<String>,
    },
    /// Listening failed.
    #[error("cannot listen on {on}: {}", io_message(.source))]
    Listen {
        /// `host:port` or a path.
        on: String,
        /// The system's error.
        source: io::Error,
        /// What to try instead.
        hint: Option<String>,
    },
    /// The TLS handshake failed.
    #[error("TLS with {with} failed: {reason}")]
    Tls {
        /// The peer.
        with: String,
        /// The cause, from `crate::tls::handshake_error`.
        reason: String,
        /// What to try instead.
        hint: Option<String>,
    },
    /// The server's response to the opening handshake is not a valid 101.
    #[error("WebSocket handshake with {with} failed: {reason}{}", .refusal.body)]
    Handshake {
        /// The URL.
        with: String,
        /// The HTTP status, or the rule that the response violates.
        reason: String,
        /// What to try instead.
        hint: Option<String>,
        /// A response with another status than 101.
        refusal: Box<Refusal>,
    },
    /// The server redirects to another URL.
    #[error("WebSocket handshake with {with} failed: expected 101, got {status}")]
    Redirected {
        /// The URL.
        with: String,
        /// The HTTP status.
        status: String,
        /// Where to, with what may be a password.
        location: String,
        /// The same for people.
        shown: String,
    },
    /// A proxy refused, or did not speak its protocol.
    #[error("handshake with the proxy {proxy} failed: {reason}")]
    Proxy {
        /// Its URL, without a password.
        proxy: String,
        /// Its answer.
        reason: String,
        /// What to try instead.
        hint: Option<String>,
    },
    /// The response to an HTTP request reports a failure, or is none (`http:`).
    #[error("HTTP request to {with} failed: {reason}")]
    HttpRequest {
        /// The URL.
        with: String,
        /// The HTTP status and the start of the body.
        reason: String,
        /// What to try instead.
        hint: Option<String>,
    },
    /// A server is not healthy (`--healthcheck`).
    #[error("health check of {url} failed: {reason}")]
    Unhealthy {
        /// The URL.
        url: String,
        /// The HTTP status and the start of the body.
        reason: String,
        /// What to try instead.
        hint: Option<String>,
    },
    /// A listener received data that is not an HTTP request.
    #[error("invalid request from {from}: {reason}")]
    BadRequest {
        /// The client's address.
        from: String,
        /// What is wrong with the request.
        reason: String,
        /// What to try instead.
        hint: Option<&'static str>,
    },
    /// A client sent no opening handshake to a listener; its plain HTTP requests have been answered.
    #[error("{from} did not request a WebSocket")]
    NoUpgrade {
        /// The client's address.
        from: String,
    },
    /// There is no program for the path that a client requests (`exec-dir:`).
    #[error("there is no program for {target}")]
    NoProgram {
        /// The path.
        target: String,
    },
    /// A client cannot join a room, because a limit is reached.
    #[error("cannot join room {target}: {reason}")]
    Full {
        /// The room.
        target: String,
        /// The limit.
        reason: String,
    },
    /// A client cannot join a room, because the engine of the cluster is away (`--cluster`).
    #[error("cannot join room {target}: the engine of the cluster is away")]
    EngineAway {
        /// The room.
        target: String,
    },
    /// The peer violated RFC 6455; it has been sent a close frame with the reason.
    #[error("protocol violation from {with}: {reason}")]
    Protocol {
        /// The peer.
        with: String,
        /// The rule that it violated.
        reason: String,
    },
    /// The peer sent a message or a frame that is longer than the limit; it has been sent close code 1009.
    #[error("message from {with} is too long: more than {limit} bytes")]
    TooLong {
        /// The peer.
        with: String,
        /// In bytes.
        limit: usize,
    },
    /// The connection ended without a close frame.
    #[error("connection to {with} lost: {reason}")]
    Lost {
        /// The peer.
        with: String,
        /// Such as the end of the stream, or a reset.
        reason: String,
    },
    /// The limit on memory was reached, and this client held the most.
    #[error("closed {with}, which held {} KiB, to stay within --max-memory", .held / 1024)]
    OutOfMemory {
        /// The client.
        with: String,
        /// In bytes.
        held: usize,
    },
    /// A client took none of the messages of a shared connection while others waited.
    #[error("too slow: it took nothing from {shared} for {} s while others waited", .limit.as_secs_f64())]
    TooSlow {
        /// The shared end.
        shared: String,
        /// `reuse:`'s limit.
        limit: Duration,
    },
    /// A shared connection took nothing while its clients waited.
    #[error("{shared} took nothing for {} s (--slow-timeout)", .limit.as_secs_f64())]
    StuckShared {
        /// The shared end.
        shared: String,
        /// `reuse:`'s limit.
        limit: Duration,
    },
    /// The peer closed with a code other than 1000, 1001 or 1005.
    #[error("closed by {with}: {close}")]
    ClosedByPeer {
        /// The peer.
        with: String,
        /// Its code and reason.
        close: Close,
    },
    /// The session ended before the messages of `--replies` had arrived, or the wait for them took too long.
    #[error("{} after {got} of {wanted} replies", replies_missing(*.within))]
    Replies {
        /// `--replies N`.
        wanted: u64,
        /// The number of messages that arrived.
        got: u64,
        /// The limit of `--within`, if it was reached.
        within: Option<Duration>,
    },
    /// A message that must come (`--expect`, `--expect-json`) did not.
    #[error("no message from {from} matches {expected} {reason}")]
    Expectation {
        /// The peer.
        from: String,
        /// The option and its value.
        expected: String,
        /// Such as `within 5 s`.
        reason: String,
        /// The connection was lost before.
        is_lost: bool,
        /// The number of messages that came.
        received: u64,
        /// The last of those that were not expected, as they are shown.
        others: Vec<String>,
    },
    /// `assert:` received something else than its text.
    #[error("assert: expected {expected:?}, received {received:?}")]
    Assertion {
        /// The text.
        expected: String,
        /// What was received, possibly cut.
        received: String,
    },
    /// A child process could not start, or ended with a status other than 0.
    #[error("`{program}` {reason}")]
    Child {
        /// The program, as on the command line.
        program: String,
        /// What happened, such as "cannot start: …".
        reason: String,
    },
    /// A time limit was reached.
    #[error("timed out{}", reached(.doing, *.limit, .option))]
    TimedOut {
        /// What took too long, such as "connecting to …"; empty for the whole run.
        doing: String,
        /// The limit.
        limit: Duration,
        /// The option that sets it; empty if there is none.
        option: &'static str,
    },
    /// SIGINT or SIGTERM ended the run.
    #[error("stopped by signal {0}")]
    Signal(i32),
    /// Input cannot be sent as a message.
    #[error("{what} from {from} {reason}")]
    Input {
        /// The part of the input, such as `line 5`.
        what: String,
        /// The address.
        from: String,
        /// Why it cannot be sent.
        reason: String,
        /// The option that allows it.
        hint: &'static str,
    },
    /// Any other input or output error.
    #[error("{at}: {}", io_message(.source))]
    Io {
        /// The address.
        at: String,
        /// The system's error.
        source: io::Error,
    },
}

/// A response with another status than 101.
#[derive(Debug, Default)]
pub struct Refusal {
    /// The start of the body in one line, behind a colon; empty if there is none.
    pub body: String,
    /// The lines of the response, with more of its body.
    pub lines: Vec<String>,
}

impl Error {
    /// A usage error without a hint.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: None }
    }

    /// A usage error with a hint, which is printed below it.
    pub fn usage_hint(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: Some(hint.into()) }
    }

    /// An I/O error at an address. If `source` contains an [`Error`], this is that error.
    pub fn io(at: impl fmt::Display, source: io::Error) -> Self {
        match source.downcast::<Self>() {
            Ok(inner) => inner,
            Err(source) => Self::Io { at: at.to_string(), source },
        }
    }

    /// A file that an address names and that cannot be opened.
    pub fn unusable_file(path: &str, error: &io::Error) -> Self {
        Self::Setup(anyhow::anyhow!("cannot open {path}: {}", io_message(error)))
    }

    /// The error of a `program` that ended with `status`.
    pub fn child(program: &str, status: ExitStatus) -> Self {
        let reason = match status.code() {
            Some(code) => format!("exited with status {code}"),
            // std prints "signal: 9 (SIGKILL)", and adds a note if there is a core dump.
            None => format!("was killed by {}", status.to_string().replacen("signal: ", "signal ", 1)),
        };
        Self::Child { program: program.to_owned(), reason }
    }

    /// The exit code of the process for this error; `--help` lists them.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe => 141,
            Self::Io { .. } | Self::Input { .. } => 1,
            Self::Usage { .. } | Self::Argument { .. } | Self::Setup(_) => 2,
            Self::Resolve { .. } | Self::Connect { .. } | Self::Engine { .. } | Self::Listen { .. } => 3,
            Self::Tls { .. } => 4,
            Self::Handshake { .. }
            | Self::Redirected { .. }
            | Self::Proxy { .. }
            | Self::HttpRequest { .. }
            | Self::Unhealthy { .. }
            | Self::BadRequest { .. }
            | Self::NoUpgrade { .. }
            | Self::NoProgram { .. }
            | Self::Full { .. }
            | Self::EngineAway { .. } => 5,
            Self::Protocol { .. } | Self::TooLong { .. } => 6,
            Self::Lost { .. }
            | Self::Expectation { is_lost: true, .. }
            | Self::TooSlow { .. }
            | Self::StuckShared { .. }
            | Self::OutOfMemory { .. } => 7,
            Self::ClosedByPeer { .. } => 8,
            Self::Replies { .. } | Self::Expectation { .. } | Self::Assertion { .. } => 9,
            Self::Child { .. } => 10,
            Self::TimedOut { .. } => 124,
            Self::Signal(number) => 128u8.saturating_add(u8::try_from(*number).unwrap_or(127)),
        }
    }

    /// What the user can try, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Usage { hint, .. }
            | Self::Engine { hint, .. }
            | Self::Listen { hint, .. }
            | Self::Tls { hint, .. }
            | Self::Handshake { hint, .. }
            | Self::Proxy { hint, .. }
            | Self::HttpRequest { hint, .. }
            | Self::Unhealthy { hint, .. } => hint.clone(),
            Self::Redirected { shown, .. } => Some(format!("redirected to {shown}: use that address, or --follow")),
            Self::TooLong { .. } => Some("--max-ws-message-length and --max-ws-frame-length set the limits".into()),
            Self::Input { hint, .. } => Some((*hint).into()),
            Self::BadRequest { hint, .. } => hint.map(str::to_owned),
            Self::Connect { source, .. } if source.kind() == io::ErrorKind::ConnectionRefused => {
                Some("nothing listens there; is the server running, and is this its address?".into())
            }
            Self::Replies { within: Some(_), .. } => Some("--within SECONDS sets this limit".into()),
            Self::Expectation { received, others, .. } => Some(received_instead(*received, others)),
            Self::Argument { example, .. } => Some(format!("for example `{example}`")),
            Self::Resolve { .. } => Some("check the spelling, or give an IP address".into()),
            // The message names it already.
            Self::TimedOut { option: "--max-time", .. } => None,
            Self::TimedOut { option, .. } if !option.is_empty() => Some(format!("{option} SECONDS sets this limit")),
            _ => None,
        }
    }

    /// The peer that the message names, if it names one.
    pub fn peer(&self) -> Option<&str> {
        match self {
            Self::Tls { with: peer, .. }
            | Self::Protocol { with: peer, .. }
            | Self::Lost { with: peer, .. }
            | Self::OutOfMemory { with: peer, .. }
            | Self::ClosedByPeer { with: peer, .. }
            | Self::Handshake { with: peer, .. }
            | Self::Redirected { with: peer, .. }
            | Self::BadRequest { from: peer, .. }
            | Self::TooLong { with: peer, .. }
            | Self::NoUpgrade { from: peer } => Some(peer),
            _ => None,
        }
    }

    /// Whether nothing is printed: the reader of standard output is gone (`| head -1`), or the user sent a signal.
    pub fn is_silent(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.kind() == io::ErrorKind::BrokenPipe,
            Self::Signal(_) => true,
            _ => false,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::other(error)
    }
}

/// The text of an I/O error, without the ` (os error N)` that std appends.
pub fn io_message(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

/// What came in place of a message that was expected: a list, which begins on a line of its own.
fn received_instead(received: u64, others: &[String]) -> String {
    let first = match others.len() as u64 {
        0 if received == 0 => return "\n  nothing was received".into(),
        shown if shown == received => "received instead:".to_owned(),
        shown => format!("the last {shown} of {received} that were received:"),
    };
    others.iter().fold(format!("\n  {first}"), |list, other| list + "\n    " + other)
}

/// A text, and a line with carets below `span` of it. It begins on a line of its own. Of several lines only the one with the start of
/// `span` is shown.
pub fn carets(text: &str, span: Range<usize>) -> String {
    let start = text.get(..span.start).map_or(0, |before| before.rfind('\n').map_or(0, |at| at + 1));
    let line = text.get(start..).unwrap_or_default().lines().next().unwrap_or_default();
    let span = span.start - start..(span.end - start).min(line.len());
    let before: usize = line.get(..span.start).unwrap_or(line).chars().map(columns).sum();
    let width = line.get(span).unwrap_or_default().chars().map(columns).sum::<usize>().max(1);
    // An error is printed with its control characters escaped, so a tab would take two columns.
    let line = line.replace('\t', " ");
    format!("\n  {line}\n  {}{}", " ".repeat(before), "^".repeat(width))
}

/// The columns that a terminal needs for a letter.
#[cfg(feature = "term")]
fn columns(letter: char) -> usize {
    unicode_width::UnicodeWidthChar::width(letter).unwrap_or(1)
}

/// The same without tables of letters.
#[cfg(not(feature = "term"))]
fn columns(_: char) -> usize {
    1
}

/// Why the replies of `--replies` are missing.
fn replies_missing(within: Option<Duration>) -> String {
    match within {
        Some(limit) => format!("nothing arrived for {} s", limit.as_secs_f64()),
        None => "the session ended".into(),
    }
}

/// The limit that was reached: ` after 5 s connecting to …`, or `: --max-time 5 s reached` for the whole run.
fn reached(doing: &str, limit: Duration, option: &str) -> String {
    let seconds = limit.as_secs_f64();
    if doing.is_empty() { format!(": `{option}` {seconds} s reached") } else { format!(" after {seconds} s {doing}") }
}
