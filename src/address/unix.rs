//! `unix:` and `unix-l:`.

use crate::{
    config::{Config, ServerOptions},
    endpoint::{
        Accept, Bind, Build, ByteEndpoint, ConnectContext, Dial, Dialled, Entry, Listening, Listens, ListensAt,
    },
    error::Error,
    flow::{BoxFuture, ByteEnd, EndKind},
    net::{self, Peer},
};
use socket2::{Domain, SockAddr, Socket as RawSocket, Type};
use std::{
    fs::Permissions,
    io,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    sync::Arc,
};
use tokio::net::{UnixListener, UnixStream};

pub(super) static CONNECT: Entry = Entry {
    names: &["unix", "unix-connect", "connect-unix", "unix-c", "c-unix"],
    arg: Some("PATH"),
    summary: "Connect to a unix socket",
    details: "A PATH that starts with @ is a name in the abstract namespace of Linux.",
    example: "- unix:/tmp/server.sock",
    flags: &[],
    build: Build::Dial(|arg, _| Ok(connect(arg).into())),
};

pub(super) static LISTEN: Entry = Entry {
    names: &["unix-listen", "listen-unix", "unix-l", "l-unix"],
    arg: Some("PATH"),
    summary: "Accept connections on a unix socket",
    details: "PATH must not exist, unless --unlink removes it first; wsplice removes it at exit. A PATH that starts \
              with @ is a name in the abstract namespace of Linux. With --accept-from-fd, PATH is the number of a \
              descriptor that listens.",
    example: "ws-u:unix-l:/tmp/server.sock mirror:",
    flags: &[&["unlink", "chmod", "accept-from-fd", "oneshot", "conncap", "stdout-announce-listening-ports"]],
    build: Build::Listen(|arg, config| Ok(listen(arg, config).into()), PLAIN),
};

/// A connection to a unix socket.
pub(super) fn connect(path: &str) -> ByteEndpoint<Dialled> {
    ByteEndpoint::dial(format_args!("unix:{path}"), Connect { path: path.into() })
}

/// A listener that adds no protocol of its own.
const PLAIN: Listens = Listens { at: ListensAt::Path, tls: false, http: false };

/// A listening unix socket.
pub(super) fn listen(path: &str, config: &Arc<Config>) -> ByteEndpoint<Listening> {
    let origin = Listen { path: path.into(), config: config.clone() };
    ByteEndpoint::listen(format_args!("unix-listen:{path}"), origin)
}

struct Connect {
    path: String,
}

impl Dial<ByteEnd> for Connect {
    fn dial<'a>(&'a self, context: &'a mut ConnectContext) -> BoxFuture<'a, Result<ByteEnd, Error>> {
        Box::pin(async move {
            context.stage = format!("connecting to {}", self.path);
            match UnixStream::connect(net::unix_path(&self.path)).await {
                Ok(socket) => Ok(ByteEnd::socket(socket, self.path.as_str())),
                Err(source) => Err(Error::Connect { to: self.path.clone(), source }),
            }
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

impl Bind<ByteEnd> for Listen {
    fn bind(&self) -> BoxFuture<'_, Result<Box<dyn Accept<ByteEnd>>, Error>> {
        Box::pin(async {
            let failed = |source| Error::Listen { on: self.path.clone(), source, hint: None };
            if self.config.server.accept_from_fd {
                return inherited_listener(&self.path);
            }
            let (socket, file) = bind(&self.path, Type::STREAM, &self.config.server)?;
            let listener = UnixListener::from_std(socket.into()).map_err(failed)?;
            Ok(Box::new(Socket { listener, path: self.path.clone(), _file: Some(file) }) as Box<dyn Accept<ByteEnd>>)
        })
    }
}

/// A listener from the descriptor with this number (`--accept-from-fd`).
fn inherited_listener(number: &str) -> Result<Box<dyn Accept<ByteEnd>>, Error> {
    let failed = |source: io::Error| Error::Listen {
        on: format!("descriptor {number}"),
        source,
        hint: Some("--accept-from-fd needs the number of a unix socket that listens, such as unix-l:3".into()),
    };
    let parsed = number.parse().map_err(|_| failed(io::Error::other("not a number")))?;
    let socket = net::inherited(parsed).map_err(failed)?;
    if !net::is_listening(&socket) {
        return Err(failed(io::Error::other("not a listening socket")));
    }
    from_listening(socket.into()).map_err(failed)
}

/// Length of the listen backlog. The kernel limits it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Binds a socket to a path, and listens unless it is one of datagrams. An existing socket is removed first with `--unlink`.
///
/// # Errors
/// [`Error::Listen`].
pub(super) fn bind(path: &str, kind: Type, options: &ServerOptions) -> Result<(RawSocket, SocketFile), Error> {
    let failed = |source: io::Error, hint: Option<String>| Error::Listen { on: path.to_owned(), source, hint };
    let plainly = |error: io::Error| failed(error, None);
    let is_abstract = path.starts_with('@');
    if options.unlink && !is_abstract {
        match std::fs::symlink_metadata(path) {
            // A wrong path must not delete a file.
            Ok(found) if !found.file_type().is_socket() => {
                let source = io::Error::new(io::ErrorKind::AlreadyExists, "it exists and is not a socket");
                return Err(failed(source, Some("--unlink removes sockets only; choose another path".into())));
            }
            Ok(_) => std::fs::remove_file(path).map_err(plainly)?,
            Err(_) => {}
        }
    }
    let socket = RawSocket::new(Domain::UNIX, kind, None).map_err(plainly)?;
    socket.set_nonblocking(true).map_err(plainly)?;
    let address = SockAddr::unix(net::unix_path(path)).map_err(plainly)?;
    socket.bind(&address).map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse if is_abstract => Some("another program listens there".into()),
            io::ErrorKind::AddrInUse => Some(format!("if no program listens there, --unlink removes {path} first")),
            _ => None,
        };
        failed(error, hint)
    })?;
    let file = SocketFile { path: path.to_owned(), created: if is_abstract { None } else { identity(path) } };
    // Nobody can connect before the socket listens.
    if let (Some(mode), false) = (options.unix_mode, is_abstract) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).map_err(plainly)?;
    }
    if kind != Type::DGRAM {
        socket.listen(BACKLOG).map_err(plainly)?;
    }
    Ok((socket, file))
}

/// The path of a socket that was created, which is removed at its end.
pub(super) struct SocketFile {
    path: String,
    /// Device and inode of the socket that was created. At the end the path is removed only if they are the same, since another
    /// process may have replaced the socket.
    created: Option<(u64, u64)>,
}

impl SocketFile {
    /// The path, as it was typed.
    #[cfg(target_os = "linux")]
    pub(super) fn path(&self) -> &str {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.created.is_some() && self.created == identity(&self.path) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A listener from a socket that already listens. Its path is not removed at exit.
///
/// # Errors
/// If the socket cannot be registered with the runtime.
pub(super) fn from_listening(listener: std::os::unix::net::UnixListener) -> io::Result<Box<dyn Accept<ByteEnd>>> {
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let path = match address.as_pathname() {
        Some(path) => path.display().to_string(),
        // `"name" (abstract)`, or `(unnamed)`.
        None => format!("{address:?}"),
    };
    Ok(Box::new(Socket { listener: UnixListener::from_std(listener)?, path, _file: None }))
}

/// Device and inode of the file at a path.
fn identity(path: &str) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

struct Socket {
    listener: UnixListener,
    path: String,
    _file: Option<SocketFile>,
}

impl Accept<ByteEnd> for Socket {
    fn accept(&mut self) -> BoxFuture<'_, Result<(ByteEnd, Peer), Error>> {
        Box::pin(async {
            loop {
                match self.listener.accept().await {
                    Ok((socket, _)) => {
                        let peer = Peer::named(format!("client of {}", self.path));
                        return Ok((ByteEnd::socket(socket, peer.name.clone()), peer));
                    }
                    Err(error) if net::is_connection_error(&error) => {}
                    Err(source) => return Err(Error::io(&self.path, source)),
                }
            }
        })
    }

    fn announcement(&self) -> String {
        format!("proto=unix,path={}", self.path)
    }

    fn local(&self) -> String {
        self.path.clone()
    }
}
