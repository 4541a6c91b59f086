//! `unix:` and `unix-l:`.

use crate::{
    config::Config,
    endpoint::{
        Accept, Bind, Build, ByteEndpoint, ConnectContext, Dial, Dialled, Entry, Listening, Listens, ListensAt,
    },
    error::Error,
    flow::{BoxFuture, ByteEnd, EndKind},
    net::{self, Peer},
};
use std::{
    io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::PathBuf,
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
              with @ is a name in the abstract namespace of Linux.",
    example: "ws-u:unix-l:/tmp/server.sock mirror:",
    flags: &["unlink", "oneshot", "conncap"],
    build: Build::Listen(|arg, config| Ok(listen(arg, config).into()), PLAIN),
};

/// A connection to a unix socket.
pub(super) fn connect(path: &str) -> ByteEndpoint<Dialled> {
    ByteEndpoint::dial(format_args!("unix:{path}"), Connect { path: path.into() })
}

/// A listener that adds no protocol of its own.
const PLAIN: Listens = Listens { at: ListensAt::Path, tls: false, http: false };

/// A listening unix socket.
pub(super) fn listen(path: &str, config: &Config) -> ByteEndpoint<Listening> {
    let origin = Listen { path: path.into(), unlink: config.server.unlink };
    ByteEndpoint::listen(format_args!("unix-listen:{path}"), origin)
}

/// The path for the system calls: `@name` is in the abstract namespace, where names start with a zero byte.
fn system_path(path: &str) -> PathBuf {
    match path.strip_prefix('@') {
        Some(name) => format!("\0{name}").into(),
        None => path.into(),
    }
}

struct Connect {
    path: String,
}

impl Dial<ByteEnd> for Connect {
    fn dial<'a>(&'a self, context: &'a mut ConnectContext) -> BoxFuture<'a, Result<ByteEnd, Error>> {
        Box::pin(async move {
            context.stage = format!("connecting to {}", self.path);
            match UnixStream::connect(system_path(&self.path)).await {
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
    unlink: bool,
}

impl Bind<ByteEnd> for Listen {
    fn bind(&self) -> BoxFuture<'_, Result<Box<dyn Accept<ByteEnd>>, Error>> {
        Box::pin(async {
            let failed =
                |source: io::Error, hint: Option<String>| Error::Listen { on: self.path.clone(), source, hint };
            let path = system_path(&self.path);
            let is_abstract = self.path.starts_with('@');
            if self.unlink && !is_abstract {
                match std::fs::symlink_metadata(&path) {
                    // A wrong path must not delete a file.
                    Ok(found) if !found.file_type().is_socket() => {
                        let source = io::Error::new(io::ErrorKind::AlreadyExists, "it exists and is not a socket");
                        return Err(failed(source, Some("--unlink removes sockets only; choose another path".into())));
                    }
                    Ok(_) => std::fs::remove_file(&path).map_err(|error| failed(error, None))?,
                    Err(_) => {}
                }
            }
            let listener = UnixListener::bind(&path).map_err(|error| {
                let hint = match error.kind() {
                    io::ErrorKind::AddrInUse if is_abstract => Some("another program listens there".into()),
                    io::ErrorKind::AddrInUse => {
                        Some(format!("if no program listens there, --unlink removes {} first", self.path))
                    }
                    _ => None,
                };
                failed(error, hint)
            })?;
            let created = if is_abstract { None } else { identity(&self.path) };
            Ok(Box::new(Socket { listener, path: self.path.clone(), created }) as Box<dyn Accept<ByteEnd>>)
        })
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
    Ok(Box::new(Socket { listener: UnixListener::from_std(listener)?, path, created: None }))
}

/// Device and inode of the file at a path.
fn identity(path: &str) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

struct Socket {
    listener: UnixListener,
    path: String,
    /// Device and inode of the socket that was created. At the end the path is removed only if they are the same, since another
    /// process may have replaced the socket.
    created: Option<(u64, u64)>,
}

impl Accept<ByteEnd> for Socket {
    fn accept(&mut self) -> BoxFuture<'_, Result<(ByteEnd, Peer), Error>> {
        Box::pin(async {
            loop {
                match self.listener.accept().await {
                    Ok((socket, _)) => {
                        let peer = Peer::named(format!("client of {}", self.path));
                        return Ok((ByteEnd::socket(socket, peer.name.as_str()), peer));
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

impl Drop for Socket {
    fn drop(&mut self) {
        if self.created.is_some() && self.created == identity(&self.path) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
