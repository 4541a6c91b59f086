//! Options of websocat that have no effect, so that its command lines can be used unchanged.

use clap::Args;

/// Options of websocat that have no effect.
#[derive(Args, Default)]
#[command(next_help_heading = "Options of websocat that have no effect")]
pub struct AcceptedArgs {
    /// No effect: lines and messages are never split
    #[arg(short = 'S', long, hide_short_help = true)]
    pub strict: bool,
    /// No effect: messages are never split or cut; --max-ws-message-length limits their length
    #[arg(short = 'B', long, value_name = "BYTES", overrides_with = "buffer_size", hide_short_help = true)]
    pub buffer_size: Option<String>,
    /// No effect: -b sends data as it was read, not by lines
    #[arg(long, hide_short_help = true)]
    pub no_line: bool,
    /// No effect: messages that are made of lines never contain the newline
    #[arg(long, hide_short_help = true)]
    pub linemode_strip_newlines: bool,
    /// No effect: standard input and output are read and written without a thread where the system allows it
    #[arg(long, hide_short_help = true)]
    pub async_stdio: bool,
    /// No effect: the mode of standard input and output is never changed
    #[arg(long, hide_short_help = true)]
    pub no_async_stdio: bool,
    /// No effect: --explain prints the overlays that are inserted
    #[arg(long, hide_short_help = true)]
    pub no_fixups: bool,
    /// No effect: clients of reuse: have a backlog in bytes, which --backlog sets
    #[arg(long, value_name = "N", hide_short_help = true)]
    pub queue_len: Option<String>,
    /// No effect: an empty message never ends a session
    #[arg(long, hide_short_help = true)]
    pub no_exit_on_zeromsg: bool,
}
