//! `inetd:`, the connection that a super-server such as inetd(8) or systemd passes as standard input and output.

use crate::{
    endpoint::{Build, ByteEndpoint, ConnectContext, Dial, Dialled, Entry},
    error::Error,
    flow::{BoxFuture, ByteEnd, ByteStream, DescriptorReader, DescriptorWriter, EndKind},
    net::{self, Peer},
    overlay,
};
use rustix::{
    fs::{Mode, OFlags, fstat},
    net::{AddressFamily, SocketType, getsockname, sockopt},
    stdio::dup2_stderr,
};
use std::{io, os::fd::OwnedFd};
use tokio::net::{TcpStream, UnixStream};

pub(super) static INETD: Entry = Entry {
    names: &["inetd"],
    arg: None,
    summary: "A connection that inetd(8) or systemd passes as standard input and output",
    details: "As stdio:, but standard input is a socket that is read and written. If standard error is the same \
              socket, nothing is written there, so that the client does not get log lines. systemd passes such a \
              socket with Accept=yes and StandardInput=socket.",
    example: "inetd: tcp:127.0.0.1:22",
    flags: &[],
    build: Build::Dial(|_, _| Ok(inetd().into())),
};

pub(super) static WS: Entry = Entry {
    names: &["inetd-ws", "ws-inetd"],
    arg: None,
    summary: "A WebSocket connection that inetd(8) or systemd passes",
    details: "Same as ws-u:inetd:.",
    example: "inetd-ws: tcp:127.0.0.1:22",
    flags: &[overlay::SERVER, overlay::PAYLOADS, overlay::PINGS, overlay::FRAMES],
    build: Build::Dial(|_, config| Ok(inetd().frame("ws-upgrade", overlay::ws_upgrade(config)).into())),
};

/// The connection on standard input.
fn inetd() -> ByteEndpoint<Dialled> {
    silence();
    let mut endpoint = ByteEndpoint::dial("inetd:", Inetd);
    endpoint.about.exists_once = true;
    endpoint
}

/// Discards what is written to standard error if the client would get it, also by programs that we run. This is done before
/// anything is written, for an error may be the first.
fn silence() {
    let (Ok(client), Ok(errors)) = (fstat(io::stdin()), fstat(io::stderr())) else { return };
    let is_socket = rustix::fs::FileType::from_raw_mode(client.st_mode).is_socket();
    if is_socket && (client.st_dev, client.st_ino) == (errors.st_dev, errors.st_ino) {
        let null = rustix::fs::open("/dev/null", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
        let _ = null.and_then(|null| dup2_stderr(&null));
    }
}

struct Inetd;

impl Dial<ByteEnd> for Inetd {
    fn dial<'a>(&'a self, context: &'a mut ConnectContext) -> BoxFuture<'a, Result<ByteEnd, Error>> {
        Box::pin(async {
            let failed = |source| Error::io("cannot use standard input", source);
            let descriptor = net::inherited(0).map_err(failed)?;
            match socket(descriptor).map_err(failed)? {
                Some(io) => {
                    if let ByteStream::Tcp(socket) = &io
                        && let (Ok(peer), Ok(local)) = (socket.peer_addr(), socket.local_addr())
                    {
                        context.peer = Peer::at(peer, local.port());
                    }
                    Ok(ByteEnd::socket(io, context.peer.name.clone()))
                }
                None => {
                    let input = DescriptorReader::new(io::stdin()).map_err(failed)?;
                    let output = DescriptorWriter::new(io::stdout()).map_err(failed)?;
                    Ok(ByteEnd::peer(tokio::io::join(input, output), "inetd"))
                }
            }
        })
    }

    fn kind(&self) -> EndKind {
        EndKind::Peer
    }
}

/// A connection, if the descriptor is one. It becomes non-blocking, which nobody else notices: it was passed to us alone.
fn socket(descriptor: OwnedFd) -> io::Result<Option<ByteStream>> {
    if sockopt::socket_type(&descriptor).ok() != Some(SocketType::STREAM) {
        return Ok(None);
    }
    rustix::io::ioctl_fionbio(&descriptor, true)?;
    Ok(match getsockname(&descriptor)?.address_family() {
        AddressFamily::INET | AddressFamily::INET6 => Some(TcpStream::from_std(descriptor.into())?.into()),
        AddressFamily::UNIX => Some(UnixStream::from_std(descriptor.into())?.into()),
        _ => None,
    })
}
