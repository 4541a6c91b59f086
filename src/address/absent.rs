//! Addresses that a system lacks. They stay in the table, so that errors can say why. Each module here stands for the file of the same
//! name; a test compares their rows.

use crate::endpoint::Entry;

/// A row that this system lacks, and why.
const fn absent(
    names: &'static [&'static str],
    summary: &'static str,
    flags: &'static [&'static [&'static str]],
    why: &'static str,
) -> Entry {
    Entry { flags, ..Entry::unsupported(false, names, summary, why) }
}

/// Only Linux has them.
pub mod abstract_names {
    use super::{Entry, absent};

    const WHY: &str = "only Linux has abstract names; unix: and unix-listen: take the path of a socket";

    pub static CONNECT: Entry = absent(
        &["abstract", "abstract-connect", "connect-abstract", "abstract-c", "c-abstract"],
        "Connect to a unix socket in the abstract namespace of Linux",
        &[],
        WHY,
    );
    pub static LISTEN: Entry = absent(
        &["abstract-listen", "listen-abstract", "abstract-l", "l-abstract"],
        "Accept connections on a unix socket in the abstract namespace of Linux",
        &[&["oneshot", "conncap", "stdout-announce-listening-ports"]],
        WHY,
    );
    pub static WS_LISTEN: Entry = absent(
        &["l-ws-abstract"],
        "Accept WebSocket connections on a unix socket in the abstract namespace of Linux",
        &[],
        WHY,
    );
}

/// macOS lacks them, and elsewhere the length of a packet is not known before it is received.
pub mod seqpacket {
    use super::{Entry, absent};

    const WHY: &str = "wsplice has it on Linux only; unix: and unix-listen: are streams";

    pub static CONNECT: Entry = absent(
        &["seqpacket", "seqpacket-connect", "connect-seqpacket", "seqpacket-c", "c-seqpacket"],
        "Connect to a unix socket of packets",
        &[&["connect-timeout"]],
        WHY,
    );
    pub static LISTEN: Entry = absent(
        &["seqpacket-listen", "listen-seqpacket", "seqpacket-l", "l-seqpacket"],
        "Accept connections on a unix socket of packets",
        &[&["unlink", "chmod", "oneshot", "conncap", "stdout-announce-listening-ports"]],
        WHY,
    );
}

/// The length of a datagram is known before it is received on Linux only.
pub mod unix_datagram {
    use super::{Entry, absent};

    const WHY: &str = "wsplice has it on Linux only; udp: sends and receives datagrams";

    pub static UNIX: Entry = absent(
        &["unix-dgram"],
        "Receive datagrams at one unix socket, and send to another",
        &[&["unlink", "chmod"]],
        WHY,
    );
    pub static ABSTRACT: Entry =
        absent(&["abstract-dgram"], "The same with names in the abstract namespace of Linux", &[], WHY);
}

#[cfg(any(test, not(unix)))]
pub mod unix {
    use super::{Entry, absent};

    const WHY: &str = "wsplice has no unix sockets on Windows; use tcp: or tcp-listen:";

    pub static CONNECT: Entry =
        absent(&["unix", "unix-connect", "connect-unix", "unix-c", "c-unix"], "Connect to a unix socket", &[], WHY);
    pub static LISTEN: Entry = absent(
        &["unix-listen", "listen-unix", "unix-l", "l-unix"],
        "Accept connections on a unix socket",
        &[&["unlink", "chmod", "accept-from-fd", "oneshot", "conncap", "stdout-announce-listening-ports"]],
        WHY,
    );
}

#[cfg(any(test, not(unix)))]
pub mod websocket_unix {
    use super::{Entry, absent};
    use crate::overlay;

    const WHY: &str = "wsplice has no unix sockets on Windows; use ws:// or ws-listen:";

    pub static CONNECT: Entry = absent(
        &["ws+unix"],
        "Connect to a WebSocket server on a unix socket",
        &[overlay::CLIENT, overlay::PAYLOADS, overlay::PINGS, overlay::FRAMES],
        WHY,
    );
    pub static LISTEN: Entry = absent(
        &["l-ws-unix"],
        "Accept WebSocket connections on a unix socket",
        &[&["unlink", "chmod", "accept-from-fd"]],
        WHY,
    );
}

#[cfg(any(test, not(unix)))]
pub mod inetd {
    use super::{Entry, absent};
    use crate::overlay;

    const WHY: &str = "Windows has no inetd(8); use tcp-listen: or ws-listen:";

    pub static INETD: Entry =
        absent(&["inetd"], "A connection that inetd(8) or systemd passes as standard input and output", &[], WHY);
    pub static WS: Entry = absent(
        &["inetd-ws", "ws-inetd"],
        "A WebSocket connection that inetd(8) or systemd passes",
        &[overlay::SERVER, overlay::PAYLOADS, overlay::PINGS, overlay::FRAMES],
        WHY,
    );
}

#[cfg(any(test, not(unix)))]
pub mod open {
    use super::{Entry, absent};

    pub static PATH: Entry = absent(
        &["open-async"],
        "Read and write a device or a named pipe",
        &[],
        "wsplice does not read and write the same file on Windows; use readfile: or writefile:",
    );
    pub static DESCRIPTOR: Entry = absent(
        &["open-fd", "async-fd"],
        "Read and write an open file descriptor",
        &[],
        "Windows passes no file descriptors to programs; use stdio:",
    );
}

#[cfg(any(test, not(unix)))]
pub mod socket_activation {
    use super::{Entry, absent};

    const WHY: &str = "Windows has no service manager that passes sockets; use tcp-listen:";

    pub static TCP: Entry = absent(
        &["tcp-listen-fd"],
        "Accept TCP connections on a socket from the service manager",
        &[&["oneshot", "conncap"]],
        WHY,
    );
    pub static UNIX: Entry = absent(
        &["unix-listen-fd"],
        "Accept connections on a unix socket from the service manager",
        &[&["oneshot", "conncap"]],
        WHY,
    );
}

#[cfg(all(feature = "term", any(test, not(unix))))]
pub static TERM: Entry = absent(
    &["term"],
    "The terminal, with a prompt",
    &[&["linger", "reply-wait", "ts", "pretty"], super::stdio::TERMINAL],
    "wsplice has no line editor on Windows; stdio: reads lines",
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::TABLE;

    #[test]
    fn rows_that_a_system_lacks_are_those_that_others_have() {
        let absent: &[&Entry] = &[
            &abstract_names::CONNECT,
            &abstract_names::LISTEN,
            &abstract_names::WS_LISTEN,
            &seqpacket::CONNECT,
            &seqpacket::LISTEN,
            &unix_datagram::UNIX,
            &unix_datagram::ABSTRACT,
            &unix::CONNECT,
            &unix::LISTEN,
            &websocket_unix::CONNECT,
            &websocket_unix::LISTEN,
            &inetd::INETD,
            &inetd::WS,
            &open::PATH,
            &open::DESCRIPTOR,
            &socket_activation::TCP,
            &socket_activation::UNIX,
            #[cfg(feature = "term")]
            &TERM,
        ];
        for lacking in absent {
            let name = lacking.name();
            let real = TABLE.iter().find(|entry| entry.name() == name).unwrap_or_else(|| panic!("no row {name}"));
            assert_eq!((lacking.names, lacking.summary), (real.names, real.summary), "{name}");
            assert!(lacking.options().eq(real.options()), "{name}: its options");
        }
    }
}
