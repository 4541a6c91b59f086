//! Addresses of other tools that wsplice does not support. They are in the table so that errors can say what to use instead.

use crate::endpoint::{Build, Entry};

const fn unsupported(names: &'static [&'static str], summary: &'static str, why: &'static str) -> Entry {
    let build = Build::Unsupported { why, overlay: false };
    Entry { names, arg: None, summary, details: "", example: "", flags: &[], build }
}

pub(super) static HTTPS: Entry = unsupported(
    &["https"],
    "An HTTP request over TLS",
    "use wss:// for a WebSocket, or http-request:tls:HOST:443 with --request-uri URL",
);
pub(super) static VSOCK: Entry = unsupported(&["vsock", "vsock-listen"], "VM sockets (vsock)", "not supported yet");
pub(super) static NAMED_PIPE: Entry =
    unsupported(&["namedpipe"], "Windows named pipes", "wsplice does not run on Windows");
pub(super) static INTERNAL: Entry = unsupported(
    &["registry-stream-listen", "registry-stream-connect", "mock_stream_socket", "dummy"],
    "Internals of websocat",
    "websocat uses them for its own tests only",
);
