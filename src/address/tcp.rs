//! `tcp:` and `tcp-l:`, and how any listener serves a single connection.

use crate::{
    config::Config,
    error::Error,
    flow::{ByteEnd, Duplex, Flow, Role, Task},
    net::{self, HostPort},
    plan::{Setup, Stack},
    registry::{Accept, Bind, Build, Dial, Entry},
};
use std::{net::SocketAddr, sync::Arc};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::Mutex,
};

pub(super) static CONNECT: Entry = Entry {
    names: &["tcp", "tcp-connect", "connect-tcp", "tcp-c", "c-tcp"],
    arg: Some("HOST:PORT"),
    summary: "Connect to a TCP server",
    details: "Looks the name up at each connection and races its addresses (RFC 8305). The end of the input is passed on \
              as a half-close.",
    example: "- tcp:127.0.0.1:7",
    flags: &["connect-timeout"],
    build: Build::Address(|arg, config| Ok(connect_stack(&parse(arg)?, config))),
};

pub(super) static LISTEN: Entry = Entry {
    names: &["tcp-listen", "listen-tcp", "tcp-l", "l-tcp"],
    arg: Some("[ADDR:]PORT"),
    summary: "Accept TCP connections",
    details: "Each connection is a session with an end of its own on the right. A port alone listens on 127.0.0.1; port \
              0 takes any free port.",
    example: "tcp-l:127.0.0.1:0 ws://127.0.0.1:8080/",
    flags: &["stdout-announce-listening-ports", "oneshot", "conncap"],
    build: Build::Address(|arg, _| listen_stack(arg)),
};

fn parse(arg: &str) -> Result<HostPort, Error> {
    HostPort::parse(arg).map_err(|reason| Error::Argument { reason, example: "tcp:127.0.0.1:7".into() })
}

/// A TCP connection to `at`.
pub(super) fn connect_stack(at: &HostPort, config: &Config) -> Stack {
    let dial = Connect { at: at.clone(), report: config.report };
    Stack::dial_with(format_args!("tcp:{at}"), Flow::Bytes, Role::Peer, dial).at_host(&at.host)
}

/// A TCP listener at `[ADDR:]PORT`.
pub fn listen_stack(arg: &str) -> Result<Stack, Error> {
    let at =
        HostPort::parse_listen(arg).map_err(|reason| Error::Argument { reason, example: "0.0.0.0:8080".into() })?;
    Ok(Stack::listen_with(format!("tcp-listen:{at}"), Listen { at }))
}

struct Connect {
    at: HostPort,
    report: crate::report::Report,
}

impl Dial for Connect {
    fn dial<'a>(&'a self, setup: &'a mut Setup<'_>) -> Task<'a, Result<Duplex, Error>> {
        Box::pin(async move {
            setup.stage = format!("connecting to {}", self.at);
            let socket = net::connect(&self.at).await?;
            if let Ok(address) = socket.peer_addr() {
                self.report.handshake('*', format_args!("connected to {} ({address})", self.at.host));
            }
            Ok(Duplex::Bytes(ByteEnd::peer(socket, self.at.to_string())))
        })
    }

    fn is_remote(&self) -> bool {
        true
    }
}

struct Listen {
    at: HostPort,
}

/// How many connections may wait to be accepted; the kernel caps it at `net.core.somaxconn` (4096 on Linux).
const BACKLOG: u32 = 4096;

impl Bind for Listen {
    fn bind(&self) -> Task<'_, Result<Box<dyn Accept>, Error>> {
        Box::pin(async {
            let failed = |source: std::io::Error| {
                let hint = match source.kind() {
                    std::io::ErrorKind::AddrInUse => {
                        Some("another program listens there; choose another port, or 0 for any free one".into())
                    }
                    std::io::ErrorKind::PermissionDenied => {
                        Some("ports below 1024 need privileges; choose a higher one".into())
                    }
                    std::io::ErrorKind::AddrNotAvailable => {
                        Some("this machine does not have that address; 0.0.0.0 means all it has".into())
                    }
                    _ => None,
                };
                Error::Listen { on: self.at.to_string(), source, hint }
            };
            let mut last = std::io::ErrorKind::NotFound.into();
            for address in net::resolve(&self.at).await? {
                match listen(address) {
                    Ok(listener) => {
                        let local = listener.local_addr().map_err(failed)?;
                        return Ok(Box::new(Listening { listener, local }) as Box<dyn Accept>);
                    }
                    Err(error) => last = error,
                }
            }
            Err(failed(last))
        })
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6() } else { TcpSocket::new_v4() }?;
    // A restarted server may use the port again while old connections are in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// A socket that listens already.
pub(super) fn accepting(listener: std::net::TcpListener) -> std::io::Result<Box<dyn Accept>> {
    listener.set_nonblocking(true)?;
    let local = listener.local_addr()?;
    Ok(Box::new(Listening { listener: TcpListener::from_std(listener)?, local }))
}

struct Listening {
    listener: TcpListener,
    local: SocketAddr,
}

impl Accept for Listening {
    fn accept(&mut self) -> Task<'_, Result<(ByteEnd, String), Error>> {
        Box::pin(async {
            loop {
                match self.listener.accept().await {
                    Ok((socket, from)) => {
                        // Fails only when the connection is gone already, which its first read will tell.
                        let _ = socket.set_nodelay(true);
                        return Ok((ByteEnd::peer(socket, from.to_string()), from.to_string()));
                    }
                    Err(error) if net::is_connection_error(&error) => {}
                    Err(source) => return Err(Error::io(self.local, source)),
                }
            }
        })
    }

    fn announcement(&self) -> String {
        format!("proto=tcp,ip={},port={}", self.local.ip(), self.local.port())
    }

    fn local(&self) -> String {
        self.local.to_string()
    }
}

/// A listener on the right: a dialler that takes one connection a session from it. It starts to listen when the first
/// session asks.
pub fn accept_one(config: &Arc<Config>) -> impl FnOnce(Stack) -> Box<dyn Dial> + use<> {
    let config = config.clone();
    move |inner| Box::new(AcceptOne { inner, listening: Mutex::new(None), config })
}

struct AcceptOne {
    inner: Stack,
    listening: Mutex<Option<Box<dyn Accept>>>,
    config: Arc<Config>,
}

impl Dial for AcceptOne {
    fn dial<'a>(&'a self, setup: &'a mut Setup<'_>) -> Task<'a, Result<Duplex, Error>> {
        Box::pin(async move {
            loop {
                let (end, peer) = {
                    let mut listening = self.listening.lock().await;
                    let accept = match &mut *listening {
                        Some(accept) => accept,
                        None => listening.insert(crate::session::start_listening(&self.inner, &self.config).await?),
                    };
                    accept.accept().await?
                };
                let mut alone = Setup::alone(peer);
                alone.asked = setup.asked.clone();
                match self.inner.dress(Duplex::Bytes(end), &mut alone).await {
                    // A request for a file or a health check is no session.
                    Err(Error::NoUpgrade { .. }) => {}
                    dressed => return dressed,
                }
            }
        })
    }
}
