//! Options for how lines on standard error look.

use crate::report::LogFormat;
use clap::Args;
use smart_default::SmartDefault;

/// How lines on standard error look.
#[derive(Args, Debug, SmartDefault)]
#[command(next_help_heading = "Output")]
pub struct LogArgs {
    /// Format of lines on standard error
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "text")]
    #[default(LogFormat::Text)]
    pub log_format: LogFormat,
}
