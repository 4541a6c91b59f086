//! What framings are told.

use super::LengthPrefix;
use crate::message::Kind;

/// How byte ends are framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramingOptions {
    /// `Some`: `-t` or `-b` was given.
    pub kind: Option<Kind>,
    /// What ends a line.
    pub separator: Separator,
    /// Bytes are split into lines even if they become binary messages: each line is base64.
    pub by_lines: bool,
    /// Bytes are split into JSON values in place of lines (`--json-in`).
    pub json: bool,
    /// How `lengthprefixed:` writes lengths.
    pub length_prefix: LengthPrefix,
    /// `--one-line`.
    pub one_line: bool,
    /// No line may be longer; the limit of messages.
    pub max_length: usize,
}

/// What ends a line: one or more of the same byte, a newline by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Separator {
    /// The byte.
    pub byte: u8,
    /// How many of it, at least 1.
    pub count: u8,
}

impl Separator {
    /// One newline.
    pub const NEWLINE: Self = Self { byte: b'\n', count: 1 };

    /// Its length in bytes.
    pub fn length(self) -> usize {
        usize::from(self.count)
    }

    /// The position of the first separator in `bytes`.
    pub fn find(self, bytes: &[u8]) -> Option<usize> {
        if self.count == 1 {
            return memchr::memchr(self.byte, bytes);
        }
        let mut from = 0;
        loop {
            let start = from + memchr::memchr(self.byte, bytes.get(from..)?)?;
            let run = bytes.iter().skip(start).take(self.length()).take_while(|byte| **byte == self.byte).count();
            if run == self.length() {
                return Some(start);
            }
            from = start + run;
        }
    }

    /// Replaces with spaces what would end a line in `bytes`, or at its end together with the separator behind it.
    pub fn blank(self, bytes: &mut [u8]) {
        let mut rest = &mut *bytes;
        while let Some(at) = self.find(rest) {
            let (line, behind) = rest.split_at_mut(at + self.length());
            line.iter_mut().skip(at).for_each(|byte| *byte = b' ');
            rest = behind;
        }
        rest.iter_mut().rev().take_while(|byte| **byte == self.byte).for_each(|byte| *byte = b' ');
    }
}
