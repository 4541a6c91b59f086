//! `seqpacket:` and `seqpacket-listen:`, unix sockets that keep the boundaries of messages.

use super::{
    udp::framing,
    unix::{SocketFile, bind},
    unix_datagram::address,
};
use crate::{
    config::Config,
    endpoint::{
        About, Accept, Bind, Build, ConnectContext, Dial, Entry, Layers, Listens, ListensAt, MessageEndpoint,
        MessageStack,
    },
    error::Error,
    flow::{BoxFuture, DatagramEnd, DatagramFraming, DatagramSocket, DatagramStream, Destination, EndKind, MessageEnd},
    net::{self, Peer},
};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
use socket2::Type;
use std::{io, os::fd::OwnedFd, sync::Arc};
use tokio::{
    net::{UnixDatagram, UnixListener},
    task::spawn_blocking,
};

pub(super) static CONNECT: Entry = Entry {
    names: &["seqpacket", "seqpacket-connect", "connect-seqpacket", "seqpacket-c", "c-seqpacket"],
    arg: Some("PATH"),
    summary: "Connect to a unix socket of packets",
    details: "Each packet is a binary message, with -t a text message if it is UTF-8; an empty one is the end of its \
              direction. A PATH that starts with @ is a name in the abstract namespace of Linux.",
    example: "- seqpacket:/tmp/server.sock",
    flags: &[&["connect-timeout"]],
    build: Build::Dial(|arg, config| {
        let dial = Connect { path: arg.into(), framing: framing(config) };
        Ok(MessageEndpoint::dial(format_args!("seqpacket:{arg}"), dial).into())
    }),
};

pub(super) static LISTEN: Entry = Entry {
    names: &["seqpacket-listen", "listen-seqpacket", "seqpacket-l", "l-seqpacket"],
    arg: Some("PATH"),
    summary: "Accept connections on a unix socket of packets",
    details: "As unix-listen:, for connections as those of seqpacket:.",
    example: "seqpacket-l:/tmp/server.sock mirror:",
    flags: &[&["unlink", "chmod", "oneshot", "conncap", "stdout-announce-listening-ports"]],
    build: Build::Listen(
        |arg, config| {
            let about = About::new(format_args!("seqpacket-listen:{arg}"), EndKind::Peer);
            let origin: Box<dyn Bind<MessageEnd>> = Box::new(Listen { path: arg.into(), config: config.clone() });
            Ok(MessageEndpoint { about, stack: MessageStack::Native(origin, Layers::default()) }.into())
        },
        Listens { at: ListensAt::Path, tls: false, http: false },
    ),
};

/// Messages of a connected socket.
fn end(socket: OwnedFd, framing: DatagramFraming, name: &str) -> io::Result<MessageEnd> {
    let socket = DatagramSocket::Unix(UnixDatagram::from_std(socket.into())?);
    let stream = DatagramStream::new(socket, Destination::Connected, DatagramEnd::HalfClose, framing, name);
    Ok(MessageEnd::new(stream, EndKind::Peer, name))
}

struct Connect {
    path: String,
    framing: DatagramFraming,
}

impl Dial<MessageEnd> for Connect {
    fn dial<'a>(&'a self, context: &'a mut ConnectContext) -> BoxFuture<'a, Result<MessageEnd, Error>> {
        Box::pin(async move {
            context.stage = format!("connecting to {}", self.path);
            let failed = |source| Error::Connect { to: self.path.clone(), source };
            let address = address(&self.path).map_err(failed)?;
            // It waits while the queue of the listener is full, of which epoll(7) tells nothing.
            let connecting = spawn_blocking(move || {
                let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
                connect(&socket, &address)?;
                rustix::io::ioctl_fionbio(&socket, true)?;
                io::Result::Ok(socket)
            });
            let socket = connecting.await.map_err(io::Error::other).and_then(|connected| connected).map_err(failed)?;
            end(socket, self.framing, &self.path).map_err(failed)
        })
    }

    fn kind(&self) -> EndKind {
        EndKind::Peer
    }

    fn is_remote(&self) -> bool {
        true
    }
}

struct Listen {
    path: String,
    config: Arc<Config>,
}

impl Bind<MessageEnd> for Listen {
    fn bind(&self) -> BoxFuture<'_, Result<Box<dyn Accept<MessageEnd>>, Error>> {
        Box::pin(async {
            let (socket, file) = bind(&self.path, Type::SEQPACKET, &self.config.server)?;
            let failed = |source| Error::Listen { on: self.path.clone(), source, hint: None };
            let listener = UnixListener::from_std(socket.into()).map_err(failed)?;
            Ok(Box::new(Socket { listener, file, framing: framing(&self.config) }) as Box<dyn Accept<MessageEnd>>)
        })
    }
}

/// A listening socket. To the system calls of a listener, streams and packets are the same.
struct Socket {
    listener: UnixListener,
    file: SocketFile,
    framing: DatagramFraming,
}

impl Accept<MessageEnd> for Socket {
    fn accept(&mut self) -> BoxFuture<'_, Result<(MessageEnd, Peer), Error>> {
        Box::pin(async {
            let path = self.file.path();
            loop {
                match self.listener.accept().await {
                    Ok((socket, _)) => {
                        let peer = Peer::named(format!("client of {path}"));
                        let socket = socket.into_std().map(OwnedFd::from);
                        let end = socket.and_then(|socket| end(socket, self.framing, &peer.name));
                        return Ok((end.map_err(|source| Error::io(path, source))?, peer));
                    }
                    Err(error) if net::is_connection_error(&error) => {}
                    Err(source) => return Err(Error::io(path, source)),
                }
            }
        })
    }

    fn announcement(&self) -> String {
        format!("proto=unix,path={}", self.file.path())
    }

    fn local(&self) -> String {
        self.file.path().to_owned()
    }
}
