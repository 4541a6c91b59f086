//! Options of standard input and output that are a terminal.

use crate::config::{Color, TerminalOptions, Timestamps};
use clap::{Args, ValueEnum, builder::PossibleValue};

/// Terminals.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Terminal")]
pub struct TerminalArgs {
    /// Read lines and write messages on a terminal as on a pipe, without the prompt of term:
    #[arg(long)]
    pub no_tui: bool,
    /// Neither read nor write the history of what is typed, $XDG_STATE_HOME/wsplice/history
    #[arg(long)]
    pub no_history: bool,
    /// Show the time of each message
    #[arg(long = "ts", value_name = "FORMAT", value_enum, default_value = "off")]
    pub timestamps: Timestamps,
    /// Lay out every JSON message over several lines. Default: those that do not fit into one
    #[arg(long, conflicts_with = "raw")]
    pub pretty: bool,
    /// Write what arrives to the terminal as it is: control characters too, which may do anything to the terminal
    #[arg(long)]
    pub raw: bool,
    /// When to use colours
    #[arg(long, value_name = "WHEN", value_enum, default_value = "auto")]
    pub color: Color,
}

impl TerminalArgs {
    /// What the options mean. `no_color` is wscat's; `is_scripted`: a prompt would be in the way.
    pub fn options(self, no_color: bool, is_scripted: bool) -> TerminalOptions {
        TerminalOptions {
            no_tui: self.no_tui || is_scripted,
            no_history: self.no_history,
            timestamps: self.timestamps,
            pretty: self.pretty,
            raw: self.raw,
            color: if no_color { Color::Never } else { self.color },
        }
    }
}

impl ValueEnum for Timestamps {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Off, Self::Time, Self::Rel, Self::Iso]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Off => PossibleValue::new("off").help("None"),
            Self::Time => PossibleValue::new("time").help("The time of day in UTC"),
            Self::Rel => PossibleValue::new("rel").help("Seconds since the session began"),
            Self::Iso => PossibleValue::new("iso").help("Date and time in UTC, as in ISO 8601"),
        })
    }
}

impl ValueEnum for Color {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Auto, Self::Always, Self::Never]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Auto => PossibleValue::new("auto").help("Unless the environment variable NO_COLOR is set"),
            Self::Always => PossibleValue::new("always").help("Also with NO_COLOR"),
            Self::Never => PossibleValue::new("never").help("Never"),
        })
    }
}
