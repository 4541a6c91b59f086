//! Overlays of other tools that wsplice does not support. They are in the table so that errors can say what to use instead.

use crate::endpoint::{Build, Entry};

const fn unsupported(names: &'static [&'static str], summary: &'static str, why: &'static str) -> Entry {
    let build = Build::Unsupported { why, overlay: true };
    Entry { names, arg: None, summary, details: "", example: "", flags: &[], build }
}

pub(super) static TEE: Entry =
    unsupported(&["tee"], "Copy messages to a file", "not supported yet: use log:, or tee in a pipe");
pub(super) static METRICS: Entry = unsupported(
    &["prometheus", "metrics"],
    "Metrics",
    "use the option --metrics ADDR, which serves those of the whole run",
);
pub(super) static CRYPTO: Entry = unsupported(
    &["crypto"],
    "Message encryption with a password",
    "it does not protect against replay; use wss: or tls:",
);
