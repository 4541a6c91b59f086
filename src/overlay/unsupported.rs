//! Overlays of other tools that this version lacks. They stay in the table so that errors know their names and say
//! what to use instead.

use crate::endpoint::{Build, Entry};

const fn absent(names: &'static [&'static str], summary: &'static str, why: &'static str) -> Entry {
    let build = Build::Absent { why, overlay: true };
    Entry { names, arg: None, summary, details: "", example: "", flags: &[], build }
}

pub(super) static LOW_LEVEL: Entry = absent(
    &["ws-lowlevel-client", "ws-ll-client", "ws-ll-c", "ws-lowlevel-server", "ws-ll-server", "ws-ll-s"],
    "WebSocket frames without the opening handshake",
    "not supported yet: use ws-c: or ws-u:",
);
pub(super) static FRAMINGS: Entry =
    absent(&["lengthprefixed", "base64"], "Other framings", "not supported yet: use lines: or chunks:");
pub(super) static REUSE_RAW: Entry =
    absent(&["reuse-raw", "raw-reuse"], "Share a connection without queues", "use reuse:, which loses no messages");
pub(super) static WAIT: Entry =
    absent(&["waitfordata", "wait-for-data"], "Connect when there is data to send", "not supported yet");
pub(super) static MESSAGES: Entry = absent(
    &[
        "foreachmsg",
        "timestamp",
        "jsonrpc",
        "drop_on_backpressure",
        "drop-on-backpressure",
        "exit_on_specific_byte",
        "exit-on-specific-byte",
        "tee",
    ],
    "Message filters",
    "not supported yet: use a filter in a pipe",
);
pub(super) static PROXIES: Entry = absent(&["socks5-connect", "socks5-bind"], "SOCKS proxies", "not supported yet");
pub(super) static HTTP: Entry =
    absent(&["http-request", "http", "http-post-sse"], "HTTP requests", "not supported yet: use curl");
pub(super) static METRICS: Entry = absent(&["prometheus", "metrics"], "Metrics", "not supported yet");
pub(super) static CRYPTO: Entry =
    absent(&["crypto"], "Message encryption with a password", "it does not protect against replay; use wss: or tls:");
