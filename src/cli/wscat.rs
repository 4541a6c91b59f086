//! Options of wscat. Where a letter of wscat's is one of websocat's, websocat's meaning counts.

use crate::config::Execute;
use clap::Args;
use std::time::Duration;

/// Options of wscat.
#[derive(Args, Default)]
#[command(next_help_heading = "As in wscat (-s, -n, -o, -p, -P and -H have the meaning of websocat)")]
pub struct WscatArgs {
    /// Connect to this URL; same as the URL as an address
    #[arg(short = 'c', long, value_name = "URL", conflicts_with_all = ["second", "server"])]
    pub connect: Option<String>,
    /// Send this message in place of standard input; may be repeated
    #[arg(short = 'x', long, value_name = "TEXT", allow_hyphen_values = true)]
    pub execute: Vec<String>,
    /// After -x, receive for this long, then close; -1: go on with standard input. Default: as after the end of standard input
    #[arg(short = 'w', long, value_name = "SECONDS", requires = "execute", value_parser = wait, allow_negative_numbers = true)]
    pub wait: Option<Wait>,
    /// Log pings, pongs and close frames to standard error
    #[arg(long)]
    pub show_ping_pong: bool,
    /// Lines of the form /ping [TEXT], /pong [TEXT] and /close [CODE [REASON]] send control frames
    #[arg(long)]
    pub slash: bool,
    /// Same as --color never
    #[arg(long, hide_short_help = true)]
    pub no_color: bool,
}

/// What follows the messages of `-x`.
#[derive(Clone, Copy, Debug)]
pub enum Wait {
    /// Standard input.
    Input,
    /// Nothing, for this long.
    For(Duration),
}

impl WscatArgs {
    /// What is sent in place of standard input.
    pub fn executed(&self) -> Option<Execute> {
        let messages = self.execute.clone();
        (!messages.is_empty()).then_some(match self.wait {
            Some(Wait::Input) => Execute { messages, then_input: true, silence: Duration::ZERO },
            Some(Wait::For(silence)) => Execute { messages, then_input: false, silence },
            None => Execute { messages, then_input: false, silence: Duration::ZERO },
        })
    }

    /// Whether the user says how long to wait for replies.
    pub fn limits_wait(&self) -> bool {
        matches!(self.wait, Some(Wait::For(_)))
    }
}

fn wait(text: &str) -> Result<Wait, String> {
    if text == "-1" { Ok(Wait::Input) } else { super::values::duration(text).map(Wait::For) }
}
