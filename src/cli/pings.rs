//! Options of pings and pongs besides their intervals.

use crate::error::Error;
use clap::Args;

/// Pings and pongs.
#[derive(Args, Default)]
#[command(next_help_heading = "WebSocket, both sides")]
pub struct PingArgs {
    /// Log the time between each ping and its pong
    #[arg(long, hide_short_help = true)]
    pub print_ping_rtts: bool,
    /// Stop sending pings after N of them
    #[arg(long, value_name = "N", hide_short_help = true)]
    pub max_sent_pings: Option<u64>,
    /// Stop answering pings after N pongs, to test what the peer does then
    #[arg(long, value_name = "N", hide_short_help = true)]
    pub inhibit_pongs: Option<u64>,
}

impl PingArgs {
    /// Checks that there are pings if an option needs them.
    ///
    /// # Errors
    /// [`Error::Usage`] if there are none.
    pub fn check(&self, has_pings: bool) -> Result<(), Error> {
        let needing =
            [("--print-ping-rtts", self.print_ping_rtts), ("--max-sent-pings N", self.max_sent_pings.is_some())];
        match needing.into_iter().find(|(_, is_given)| *is_given && !has_pings) {
            Some((option, _)) => Err(Error::usage_hint(
                format!("--ping-interval is required with {option}: without it no ping is sent"),
                format!("for example --ping-interval 30 {option}"),
            )),
            None => Ok(()),
        }
    }
}
