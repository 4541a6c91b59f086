//! What a run tells on standard error. Results go to standard output, never through here.

use crate::error::Error;
use std::{
    fmt,
    io::{self, IsTerminal, Write},
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

/// Writes lines to standard error, as many as were asked for. A standard error that is closed or full is no reason
/// to stop, so failures to write are ignored.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    level: Level,
}

impl Report {
    /// From the number of `-v` and from `-q`.
    pub fn new(verbose: u8, quiet: bool) -> Self {
        let level = match (quiet, verbose) {
            (true, _) => Level::Quiet,
            (_, 0) if io::stderr().is_terminal() => Level::Events,
            (_, 0) => Level::Errors,
            (_, 1) => Level::Handshake,
            _ => Level::Frames,
        };
        Self { level }
    }

    /// Whether lines of this level are shown.
    pub fn shows(&self, level: Level) -> bool {
        self.level >= level
    }

    /// A connection opened, closed, or something worth knowing happened.
    pub fn event(&self, text: impl fmt::Display) {
        if self.shows(Level::Events) {
            line(format_args!("* {text}"));
        }
    }

    /// Something that the user should know though the run goes on.
    pub fn warn(&self, text: impl fmt::Display) {
        if self.shows(Level::Errors) {
            line(format_args!("wsplice: {text}"));
        }
    }

    /// The error of one connection of many.
    pub fn session_error(&self, peer: &str, error: &Error) {
        if self.shows(Level::Errors) && !matches!(error, Error::Signal(_)) {
            let text = error.to_string();
            // Errors of the client's own connection name it already.
            let at = if text.contains(peer) { String::new() } else { format!("{peer}: ") };
            error_lines(format_args!("{at}{text}"), error.hint());
        }
    }

    /// A line of a handshake: `>` for what we send, `<` for what we get, `*` for remarks.
    pub fn handshake(&self, mark: char, text: impl fmt::Display) {
        if self.shows(Level::Handshake) {
            line(format_args!("{mark} {text}"));
        }
    }

    /// The error that ends the run.
    pub fn fatal(error: &Error) {
        if !error.is_silent() {
            error_lines(format_args!("{error}"), error.hint());
        }
    }
}

fn error_lines(text: fmt::Arguments<'_>, hint: Option<String>) {
    match hint {
        Some(hint) => line(format_args!("wsplice: {text}\n  hint: {hint}")),
        None => line(format_args!("wsplice: {text}")),
    }
}

/// One whole write, so that lines of several tasks do not mix.
pub(crate) fn line(text: fmt::Arguments<'_>) {
    let _ = io::stderr().lock().write_all(format!("{text}\n").as_bytes());
}
