//! Addresses of other tools that wsplice does not support. They are in the table so that errors can say what to use instead.

use crate::endpoint::{Build, Entry};

const fn unsupported(names: &'static [&'static str], summary: &'static str, why: &'static str) -> Entry {
    let build = Build::Unsupported { why, overlay: false };
    Entry { names, arg: None, summary, details: "", example: "", flags: &[], build }
}

pub(super) static HTTP: Entry = unsupported(&["http-client"], "An HTTP request", "use curl");
pub(super) static INETD: Entry = unsupported(&["inetd"], "A socket on standard input", "not supported yet: use stdio:");
pub(super) static INETD_WS: Entry =
    unsupported(&["inetd-ws", "ws-inetd"], "A WebSocket on standard input", "not supported yet: use ws-u:stdio:");
pub(super) static ACCEPT_FROM_FD: Entry = unsupported(
    &["accept-from-fd"],
    "A listening socket from the service manager",
    "use tcp-listen-fd:N or unix-listen-fd:N",
);
pub(super) static OPEN: Entry = unsupported(
    &["open-async", "open-fd", "async-fd"],
    "An open file descriptor",
    "use readfile: or writefile: with /dev/fd/N",
);
pub(super) static FOR_TESTS: Entry = unsupported(
    &["clogged", "random", "zero", "null", "devnull", "empty", "assert", "assert2", "literal-base64"],
    "Addresses for tests",
    "use readfile: or writefile: with /dev/zero, /dev/urandom or /dev/null",
);
pub(super) static VSOCK: Entry = unsupported(&["vsock", "vsock-listen"], "VM sockets (vsock)", "not supported yet");
pub(super) static NAMED_PIPE: Entry =
    unsupported(&["namedpipe"], "Windows named pipes", "wsplice does not run on Windows");
pub(super) static INTERNAL: Entry = unsupported(
    &["registry-stream-listen", "registry-stream-connect", "mock_stream_socket", "dummy"],
    "Internals of websocat",
    "websocat uses them for its own tests only",
);
