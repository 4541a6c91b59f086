//! What can go wrong, by stage. Every error knows its exit code and, where one exists, what to type next.

use crate::message::Close;
use std::{fmt, io, process::ExitStatus, time::Duration};

/// A failed run or session. `Display` is one line that names the stage, the place and the reason.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line asks for something that cannot be done.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What to type instead.
        hint: Option<String>,
    },
    /// The argument of an address cannot be used; `spec::Address::point_at` adds where it stands.
    #[error("{reason}")]
    Argument {
        /// What is wrong with it.
        reason: String,
        /// A correct address.
        example: String,
    },
    /// A file that the command line names could not be used (a certificate, a header file).
    #[error("{0:#}")]
    Setup(anyhow::Error),
    /// A host name has no address.
    #[error("cannot resolve `{host}`: {reason}")]
    Resolve {
        /// The name that was looked up.
        host: String,
        /// The resolver's words.
        reason: String,
    },
    /// Nobody answers at an address.
    #[error("cannot connect to {to}: {}", io_message(.source))]
    Connect {
        /// `host:port` or a path.
        to: String,
        /// The last attempt's error.
        source: io::Error,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {on}: {}", io_message(.source))]
    Listen {
        /// `host:port` or a path.
        on: String,
        /// The system's error.
        source: io::Error,
        /// What to type next.
        hint: Option<String>,
    },
    /// The TLS handshake failed.
    #[error("TLS with {with} failed: {reason}")]
    Tls {
        /// The peer.
        with: String,
        /// In words, from `crate::tls::handshake_error`.
        reason: String,
        /// What to type next.
        hint: Option<String>,
    },
    /// The server's response to the opening handshake is not a valid 101.
    #[error("WebSocket handshake with {with} failed: {reason}")]
    Handshake {
        /// The URL.
        with: String,
        /// The HTTP status and the start of the body, or the rule that the response violates.
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
    /// A client cannot join a room, because a limit is reached.
    #[error("cannot join room {target}: {reason}")]
    Full {
        /// The room.
        target: String,
        /// Which limit.
        reason: String,
    },
    /// Either side broke RFC 6455; the peer has been sent a close frame that says so.
    #[error("protocol violation from {with}: {reason}")]
    Protocol {
        /// The peer.
        with: String,
        /// Which rule.
        reason: String,
    },
    /// The peer sent a message or a frame above the limit; it has been sent a close frame that says so.
    #[error("message from {with} is too long: {size} bytes, the limit is {limit}")]
    TooLong {
        /// The peer.
        with: String,
        /// In bytes.
        size: usize,
        /// In bytes.
        limit: usize,
    },
    /// The connection ended without a close frame.
    #[error("connection to {with} lost: {reason}")]
    Lost {
        /// The peer.
        with: String,
        /// End of file, reset, …
        reason: String,
    },
    /// The peer closed with a code other than 1000, 1001 or 1005.
    #[error("closed by {with}: {close}")]
    ClosedByPeer {
        /// The peer.
        with: String,
        /// Its code and reason.
        close: Close,
    },
    /// `--replies` was not fulfilled.
    #[error("the session ended after {got} of {wanted} replies")]
    Replies {
        /// `--replies N`.
        wanted: u64,
        /// Those that came.
        got: u64,
    },
    /// A child process could not start, or ended with a status other than 0.
    #[error("`{program}` {reason}")]
    Child {
        /// As on the command line.
        program: String,
        /// Why.
        reason: String,
    },
    /// A time limit ran out.
    #[error("timed out{}", reached(.doing, *.limit, .option))]
    TimedOut {
        /// What took too long, such as "connecting to …"; empty for the whole run.
        doing: String,
        /// The limit.
        limit: Duration,
        /// The option that sets it; empty when none does.
        option: &'static str,
    },
    /// SIGINT or SIGTERM ended the run.
    #[error("stopped by signal {0}")]
    Signal(i32),
    /// What was read cannot be sent as the message that it should become.
    #[error("{what} from {from} {reason}")]
    Input {
        /// `line 5`, or what it is.
        what: String,
        /// The address.
        from: String,
        /// Why.
        reason: String,
        /// The option that sends it all the same.
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

impl Error {
    /// A usage error without a hint.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: None }
    }

    /// The same error with a hint to print below it.
    pub fn usage_hint(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: Some(hint.into()) }
    }

    /// An I/O error at an address. An [`Error`] that travelled inside an `io::Error` comes out again.
    pub fn io(at: impl fmt::Display, source: io::Error) -> Self {
        match source.downcast::<Self>() {
            Ok(inner) => inner,
            Err(source) => Self::Io { at: at.to_string(), source },
        }
    }

    /// `program` ended with `status`.
    pub fn child(program: &str, status: ExitStatus) -> Self {
        let reason = match status.code() {
            Some(code) => format!("exited with status {code}"),
            // The system's words are "signal: 9 (SIGKILL)", with a remark if it left a core file.
            None => format!("was killed by {}", status.to_string().replacen("signal: ", "signal ", 1)),
        };
        Self::Child { program: program.to_owned(), reason }
    }

    /// The process's exit status for this error (the table in the manual).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe => 141,
            Self::Io { .. } | Self::Input { .. } => 1,
            Self::Usage { .. } | Self::Argument { .. } | Self::Setup(_) => 2,
            Self::Resolve { .. } | Self::Connect { .. } | Self::Listen { .. } => 3,
            Self::Tls { .. } => 4,
            Self::Handshake { .. }
            | Self::Unhealthy { .. }
            | Self::BadRequest { .. }
            | Self::NoUpgrade { .. }
            | Self::Full { .. } => 5,
            Self::Protocol { .. } | Self::TooLong { .. } => 6,
            Self::Lost { .. } => 7,
            Self::ClosedByPeer { .. } => 8,
            Self::Replies { .. } => 9,
            Self::Child { .. } => 10,
            Self::TimedOut { .. } => 124,
            Self::Signal(number) => 128u8.saturating_add(u8::try_from(*number).unwrap_or(127)),
        }
    }

    /// What to type or look at next, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Usage { hint, .. }
            | Self::Listen { hint, .. }
            | Self::Tls { hint, .. }
            | Self::Handshake { hint, .. }
            | Self::Unhealthy { hint, .. } => hint.clone(),
            Self::TooLong { .. } => Some("--max-ws-message-length and --max-ws-frame-length set the limits".into()),
            Self::Input { hint, .. } => Some((*hint).into()),
            Self::BadRequest { hint, .. } => hint.map(str::to_owned),
            Self::Connect { source, .. } if source.kind() == io::ErrorKind::ConnectionRefused => {
                Some("nothing listens there; is the server running, and is this its address?".into())
            }
            Self::Argument { example, .. } => Some(format!("for example `{example}`")),
            Self::Resolve { .. } => Some("check the spelling, or give an IP address".into()),
            Self::TimedOut { option, .. } if !option.is_empty() => Some(format!("{option} SECONDS sets this limit")),
            _ => None,
        }
    }

    /// The other side that the message names, if it names one.
    pub fn peer(&self) -> Option<&str> {
        match self {
            Self::Tls { with: peer, .. }
            | Self::Protocol { with: peer, .. }
            | Self::Lost { with: peer, .. }
            | Self::ClosedByPeer { with: peer, .. }
            | Self::Handshake { with: peer, .. }
            | Self::BadRequest { from: peer, .. }
            | Self::NoUpgrade { from: peer } => Some(peer),
            _ => None,
        }
    }

    /// Whether there is nothing to tell: whoever read our standard output has gone away (`| head -1`), or a signal
    /// that the user sent.
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

/// An I/O error's text without Rust's ` (os error N)`.
pub fn io_message(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

/// The limit that was reached: ` after 5 s connecting to …`, or `: --max-time 5 s reached` for the whole run.
fn reached(doing: &str, limit: Duration, option: &str) -> String {
    let seconds = limit.as_secs_f64();
    if doing.is_empty() { format!(": `{option}` {seconds} s reached") } else { format!(" after {seconds} s {doing}") }
}
