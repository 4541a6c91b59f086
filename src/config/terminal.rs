//! Options of standard input and output that are a terminal.

/// What a terminal shows, and how.
#[derive(Clone, Debug)]
pub struct TerminalOptions {
    /// Messages are written as they came, with control characters, which may do anything to the terminal.
    pub raw: bool,
}
