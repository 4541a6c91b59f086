//! Addresses of other tools that wsplice does not support. They are in the table so that errors can say what to use instead.

use crate::endpoint::Entry;

pub(super) static HTTPS: Entry = Entry::unsupported(
    false,
    &["https"],
    "An HTTP request over TLS",
    "use wss:// for a WebSocket, or http-request:tls:HOST:443 with --request-uri URL",
);
pub(super) static VSOCK: Entry =
    Entry::unsupported(false, &["vsock", "vsock-listen"], "VM sockets (vsock)", "not supported yet");
pub(super) static NAMED_PIPE: Entry =
    Entry::unsupported(false, &["namedpipe"], "Windows named pipes", "not supported yet");
pub(super) static INTERNAL: Entry = Entry::unsupported(
    false,
    &["registry-stream-listen", "registry-stream-connect", "mock_stream_socket", "dummy"],
    "Internals of websocat",
    "websocat uses them for its own tests only",
);
