//! Overlays of other tools that wsplice does not support. They are in the table so that errors can say what to use instead.

use crate::endpoint::Entry;

pub(super) static TEE: Entry =
    Entry::unsupported(true, &["tee"], "Copy messages to a file", "not supported yet: use log:, or tee in a pipe");
pub(super) static METRICS: Entry = Entry::unsupported(
    true,
    &["prometheus", "metrics"],
    "Metrics",
    "use the option --metrics ADDR, which serves those of the whole run",
);
pub(super) static CRYPTO: Entry = Entry::unsupported(
    true,
    &["crypto"],
    "Message encryption with a password",
    "it does not protect against replay; use wss: or tls:",
);
