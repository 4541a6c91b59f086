//! Options of standard input and output that are a terminal.

/// What a terminal shows, and how.
#[derive(Clone, Debug, Default)]
pub struct TerminalOptions {
    /// The interactive terminal is not used.
    pub no_tui: bool,
    /// The history of what is typed is neither read nor written.
    pub no_history: bool,
    /// Times of messages.
    pub timestamps: Timestamps,
    /// Every JSON message is laid out over several lines.
    pub pretty: bool,
    /// Messages are written as they came, with control characters, which may do anything to the terminal.
    pub raw: bool,
    /// Colours.
    pub color: Color,
}

/// The time in front of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timestamps {
    /// None
    #[default]
    Off,
    /// The time of day in UTC
    Time,
    /// Seconds since the session began
    Rel,
    /// Date and time in UTC, as in ISO 8601
    Iso,
}

/// When colours are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Color {
    /// On a terminal, unless the environment variable `NO_COLOR` is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}
