//! Overlays of other tools that wsplice does not support. They are in the table so that errors can say what to use instead.

use crate::endpoint::{Build, Entry};

const fn unsupported(names: &'static [&'static str], summary: &'static str, why: &'static str) -> Entry {
    let build = Build::Unsupported { why, overlay: true };
    Entry { names, arg: None, summary, details: "", example: "", flags: &[], build }
}

pub(super) static LOW_LEVEL: Entry = unsupported(
    &["ws-lowlevel-client", "ws-ll-client", "ws-ll-c", "ws-lowlevel-server", "ws-ll-server", "ws-ll-s"],
    "WebSocket frames without the opening handshake",
    "not supported yet: use ws-c: or ws-u:",
);
pub(super) static FRAMINGS: Entry =
    unsupported(&["lengthprefixed", "base64"], "Other framings", "not supported yet: use lines: or chunks:");
pub(super) static REUSE_RAW: Entry = unsupported(
    &["reuse-raw", "raw-reuse"],
    "Share a connection without queues",
    "use reuse:, which loses no messages",
);
pub(super) static WAIT: Entry =
    unsupported(&["waitfordata", "wait-for-data"], "Connect when there is data to send", "not supported yet");
pub(super) static MESSAGES: Entry = unsupported(
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
pub(super) static HTTP: Entry =
    unsupported(&["http-request", "http", "http-post-sse"], "HTTP requests", "not supported yet: use curl");
pub(super) static METRICS: Entry = unsupported(&["prometheus", "metrics"], "Metrics", "not supported yet");
pub(super) static CRYPTO: Entry = unsupported(
    &["crypto"],
    "Message encryption with a password",
    "it does not protect against replay; use wss: or tls:",
);
