//! Options for how long sessions, and the run, may take.

use super::values::duration;
use clap::Args;
use smart_default::SmartDefault;
use std::time::Duration;

/// Time limits.
#[derive(Args, Debug, SmartDefault)]
#[command(next_help_heading = "Direction and end")]
pub struct TimeLimitArgs {
    /// With -1 and --replies, the maximum silence after the last message was sent, and with --expect the maximum wait after it (exit 9);
    /// 0 sets no limit. Default: 30
    #[arg(long, value_name = "SECONDS", value_parser = duration)]
    pub within: Option<Duration>,
    /// After the end of standard input, close when nothing has arrived for this long
    #[arg(long, value_name = "SECONDS", value_parser = duration, default_value = "300ms")]
    #[default(Duration::from_millis(300))]
    pub linger: Duration,
    /// After the end of standard input, wait this long for a first message if none has come since the last one was sent; 0
    /// waits only for --linger, and -u for none
    #[arg(long, value_name = "SECONDS", value_parser = duration, default_value = "5")]
    #[default(Duration::from_secs(5))]
    pub reply_wait: Duration,
    /// Maximum silence in one direction of a WebSocket session after the other direction has ended
    #[arg(long, value_name = "SECONDS", value_parser = duration, default_value = "5")]
    #[default(Duration::from_secs(5))]
    pub close_timeout: Duration,
    /// Maximum time for sessions to end after SIGINT or SIGTERM, and for child processes after their session; a
    /// second signal ends them at once
    #[arg(long, value_name = "SECONDS", value_parser = duration, default_value = "5")]
    #[default(Duration::from_secs(5))]
    pub grace: Duration,
    /// Maximum time to open a connection, from the name lookup to the end of the opening handshake, or from the
    /// request of http: to the head of its response (exit 124); listeners also apply it to a client's TLS handshake, and to its request
    #[arg(long, value_name = "SECONDS", value_parser = duration, default_value = "10")]
    #[default(Duration::from_secs(10))]
    pub connect_timeout: Duration,
    /// Maximum time for the whole run (exit 124)
    #[arg(short = 'm', long, value_name = "SECONDS", value_parser = duration)]
    pub max_time: Option<Duration>,
}
