//! Options for how lines end.

use super::values;
use clap::Args;
use smart_default::SmartDefault;

/// How lines end.
#[derive(Args, Debug, SmartDefault)]
#[command(next_help_heading = "Text and binary")]
pub struct LineArgs {
    /// Terminate lines with this byte, a number from 0 to 255, instead of a newline
    #[arg(
        long,
        value_name = "BYTE",
        value_parser = values::byte,
        conflicts_with = "null_terminated",
        hide_short_help = true
    )]
    pub separator: Option<u8>,
    /// Terminate lines with this number of newlines, or of the byte of -0 or --separator
    #[arg(
        long,
        value_name = "N",
        default_value = "1",
        value_parser = clap::value_parser!(u8).range(1..),
        hide_short_help = true
    )]
    #[default(1)]
    pub separator_n: u8,
    /// When messages are written as lines, replace the newlines inside them (zero bytes with -0) with spaces
    #[arg(long)]
    pub one_line: bool,
}
