//! `udp:` and `udp-listen:`.

use super::tcp::parse_listen;
use crate::{
    config::Config,
    endpoint::{Build, ConnectContext, Dial, Entry, MessageEndpoint, announce},
    error::Error,
    flow::{BoxFuture, DatagramEnd, DatagramFraming, DatagramSocket, DatagramStream, Destination, EndKind, MessageEnd},
    message::Kind,
    net::HostPort,
    report,
};
use std::sync::Arc;

pub(super) static CONNECT: Entry = Entry {
    names: &["udp", "udp-connect", "connect-udp", "udp-c", "c-udp"],
    arg: Some("HOST:PORT"),
    summary: "Send and receive UDP datagrams",
    details: "Each datagram is a binary message, with -t a text message if it is UTF-8. Datagrams have no end: after \
              the end of the other side, wsplice waits for replies until nothing has arrived for --linger. For a \
              multicast group, and with --udp-broadcast, replies may come from any address.",
    example: "- udp:127.0.0.1:5000",
    flags: &[&[
        "udp-broadcast",
        "udp-multicast-iface-v4",
        "udp-multicast-iface-v6",
        "udp-multicast-loop",
        "udp-ttl",
        "linger",
        "connect-timeout",
    ]],
    build: Build::Dial(|arg, config| {
        let example = || "udp:127.0.0.1:5000".into();
        let at = HostPort::parse(arg).map_err(|reason| Error::Argument { reason, example: example() })?;
        let title = format!("udp:{at}");
        Ok(MessageEndpoint::dial(title, Connect { at, config: config.clone() }).into())
    }),
};

pub(super) static LISTEN: Entry = Entry {
    names: &["udp-listen", "listen-udp", "udp-l", "l-udp"],
    arg: Some("[ADDR:]PORT"),
    summary: "Receive UDP datagrams from anybody, and reply to the last sender",
    details: "All datagrams belong to one session; udp-server: has one for each client. Until the first one has \
              arrived, replies wait. It does not end. Without ADDR, listens on 127.0.0.1. Each datagram is a binary \
              message, with -t a text message if it is UTF-8.",
    example: "udp-l:127.0.0.1:5000 ws://127.0.0.1:8080/",
    flags: &[&[
        "udp-broadcast",
        "udp-multicast",
        "udp-multicast-iface-v4",
        "udp-multicast-iface-v6",
        "udp-multicast-loop",
        "udp-oneshot",
        "udp-reuseaddr",
        "udp-ttl",
        "stdout-announce-listening-ports",
    ]],
    build: Build::Dial(|arg, config| {
        let at = parse_listen(arg)?;
        let title = format!("udp-listen:{at}");
        Ok(MessageEndpoint::dial(title, Listen { at, config: config.clone() }).into())
    }),
};

/// What datagrams are as messages.
pub(super) fn framing(config: &Config) -> DatagramFraming {
    DatagramFraming { text: config.framing.kind == Some(Kind::Text), max_length: config.framing.max_length }
}

struct Connect {
    at: HostPort,
    config: Arc<Config>,
}

impl Dial<MessageEnd> for Connect {
    fn dial<'a>(&'a self, context: &'a mut ConnectContext) -> BoxFuture<'a, Result<MessageEnd, Error>> {
        Box::pin(async {
            let Self { at, config } = self;
            context.stage = format!("looking up {}", at.host);
            let (socket, address) = config.udp.connect(at).await?;
            report::handshake('*', &at.host, format_args!("sending to {} ({address})", at.host));
            let is_for_many = config.udp.is_for_many(address);
            let to = if is_for_many { Destination::fixed(address) } else { Destination::Connected };
            let name = format!("udp:{at}");
            let socket = DatagramSocket::Udp(socket);
            let stream = DatagramStream::new(socket, to, DatagramEnd::Never, framing(config), name.as_str());
            Ok(MessageEnd::new(stream, self.kind(), name))
        })
    }

    fn kind(&self) -> EndKind {
        EndKind::Datagrams { from_anybody: false }
    }

    fn is_remote(&self) -> bool {
        true
    }
}

struct Listen {
    at: HostPort,
    config: Arc<Config>,
}

impl Dial<MessageEnd> for Listen {
    fn dial<'a>(&'a self, _: &'a mut ConnectContext) -> BoxFuture<'a, Result<MessageEnd, Error>> {
        Box::pin(async {
            let Self { at, config } = self;
            let socket = config.udp.bind(at).await?;
            let failed = |source| Error::Listen { on: at.to_string(), source, hint: None };
            let local = socket.local_addr().map_err(failed)?;
            announce(config, format_args!("proto=udp,ip={},port={}", local.ip(), local.port()))?;
            report::listening(format_args!("listening: udp-listen:{local}"));
            let to = Destination::LastSender { address: None, once: config.udp.oneshot };
            let name = format!("udp-listen:{local}");
            let socket = DatagramSocket::Udp(socket);
            let stream = DatagramStream::new(socket, to, DatagramEnd::Never, framing(config), name.as_str());
            Ok(MessageEnd::new(stream, self.kind(), name))
        })
    }

    fn kind(&self) -> EndKind {
        EndKind::Datagrams { from_anybody: true }
    }
}
