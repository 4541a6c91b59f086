//! Colours, and text that does not steer the terminal.

use crate::visible::TerminalText;
use std::fmt::Write;

/// Whether there is colour, and which.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Colours are used.
    pub color: bool,
}

impl Style {
    /// Names of JSON objects.
    pub const NAME: &str = "1";
    /// Strings.
    pub const STRING: &str = "32";
    /// Numbers.
    pub const NUMBER: &str = "36";
    /// true, false and null.
    pub const LITERAL: &str = "35";
    /// Remarks.
    pub const DIM: &str = "2";
    /// The mark of a message that was received.
    pub const RECEIVED: &str = "1;36";
    /// The mark of a message that was sent.
    pub const SENT: &str = "1;32";

    /// Appends `text` in this colour, a parameter of SGR (ECMA-48).
    pub fn push(self, out: &mut String, parameter: &str, text: &str) {
        // Writing to a string does not fail.
        let _ = match self.color {
            true => write!(out, "\x1b[{parameter}m{text}\x1b[0m"),
            false => write!(out, "{text}"),
        };
    }
}

/// Text without what steers a terminal.
pub fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut escape = TerminalText::default();
    escape.push(text.as_bytes(), &mut shown);
    escape.finish(&mut shown);
    shown
}
