//! What framings are told.

use crate::message::Kind;

/// How byte ends are framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramingOptions {
    /// `Some`: `-t` or `-b` was given.
    pub kind: Option<Kind>,
    /// What ends a line: a newline, or zero with `-0`.
    pub separator: u8,
    /// `--one-line`.
    pub one_line: bool,
    /// No line may be longer; the limit of messages.
    pub max_length: usize,
}
