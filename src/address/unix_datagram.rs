//! `unix-dgram:` and `abstract-dgram:`.

use super::{
    udp::framing,
    unix::{SocketFile, bind},
};
use crate::{
    config::Config,
    endpoint::{Build, ConnectContext, Dial, Dialled, Endpoint, Entry, MessageEndpoint},
    error::Error,
    flow::{
        BoxFuture, DatagramEnd, DatagramSocket, DatagramStream, Destination, EndKind, MessageEnd, MessageLayer,
        MessageStream,
    },
};
use rustix::net::{SocketAddrUnix, addr::SocketAddrArg};
use socket2::Type;
use std::{io, sync::Arc};
use tokio::net::UnixDatagram;

pub(super) static UNIX: Entry = Entry {
    names: &["unix-dgram"],
    arg: Some("PATH:PATH"),
    summary: "Receive datagrams at one unix socket, and send to another",
    details: "The first PATH is created, as by unix-listen:, the second belongs to another program. Each datagram is a \
              binary message, with -t a text message if it is UTF-8. Datagrams have \
              no end, so wsplice waits for replies as udp: does. A PATH that starts with @ is a \
              name in the abstract namespace of Linux.",
    example: "- unix-dgram:/tmp/ours.sock:/tmp/theirs.sock",
    flags: &[&["unlink", "chmod"]],
    build: Build::Dial(|arg, config| endpoint("unix-dgram", "", arg, config)),
};

pub(super) static ABSTRACT: Entry = Entry {
    names: &["abstract-dgram"],
    arg: Some("NAME:NAME"),
    summary: "The same with names in the abstract namespace of Linux",
    details: "As unix-dgram:@NAME:@NAME.",
    example: "- abstract-dgram:ours:theirs",
    flags: &[],
    build: Build::Dial(|arg, config| endpoint("abstract-dgram", "@", arg, config)),
};

fn endpoint(name: &str, prefix: &str, arg: &str, config: &Arc<Config>) -> Result<Endpoint<Dialled>, Error> {
    let Some((own, other)) = arg.split_once(':').filter(|(own, other)| !own.is_empty() && !other.is_empty()) else {
        let reason = "two sockets are needed, one to receive at and one to send to".into();
        return Err(Error::Argument { reason, example: format!("{name}:ours.sock:theirs.sock") });
    };
    let (own, other) = (format!("{prefix}{own}"), format!("{prefix}{other}"));
    Ok(MessageEndpoint::dial(format_args!("{name}:{arg}"), Open { own, other, config: config.clone() }).into())
}

/// The address of a socket for the system calls.
///
/// # Errors
/// If the path is too long.
pub(super) fn address(path: &str) -> io::Result<SocketAddrUnix> {
    Ok(match path.strip_prefix('@') {
        Some(name) => SocketAddrUnix::new_abstract_name(name.as_bytes())?,
        None => SocketAddrUnix::new(path)?,
    })
}

struct Open {
    own: String,
    other: String,
    config: Arc<Config>,
}

impl Dial<MessageEnd> for Open {
    fn dial<'a>(&'a self, _: &'a mut ConnectContext) -> BoxFuture<'a, Result<MessageEnd, Error>> {
        Box::pin(async {
            let Self { own, other, config } = self;
            let address = address(other);
            let address = address.map_err(|source| Error::Connect { to: other.clone(), source })?.as_any();
            let (socket, file) = bind(own, Type::DGRAM, &config.server)?;
            let socket = UnixDatagram::from_std(socket.into());
            let socket = socket.map_err(|source| Error::Listen { on: own.clone(), source, hint: None })?;
            let stream = DatagramStream::new(
                DatagramSocket::Unix(socket),
                Destination::Fixed(address),
                DatagramEnd::Never,
                framing(config),
                other.as_str(),
            );
            Ok(MessageEnd::new(Bound { stream, _file: file }, self.kind(), other.as_str()))
        })
    }

    fn kind(&self) -> EndKind {
        EndKind::Datagrams { from_anybody: false }
    }
}

/// A stream whose socket has a path, which is removed at its end.
struct Bound {
    stream: DatagramStream,
    _file: SocketFile,
}

impl MessageLayer for Bound {
    fn inner(&self) -> &dyn MessageStream {
        &self.stream
    }

    fn inner_mut(&mut self) -> &mut dyn MessageStream {
        &mut self.stream
    }
}
