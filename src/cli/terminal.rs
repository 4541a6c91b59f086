//! Options of standard input and output that are a terminal.

use crate::config::TerminalOptions;
use clap::Args;

/// Terminals.
#[derive(Args, Default)]
#[command(next_help_heading = "Terminal")]
pub struct TerminalArgs {
    /// Write what arrives to the terminal as it is: control characters too, which may do anything to the terminal
    #[arg(long)]
    pub raw: bool,
}

impl From<TerminalArgs> for TerminalOptions {
    fn from(args: TerminalArgs) -> Self {
        Self { raw: args.raw }
    }
}
