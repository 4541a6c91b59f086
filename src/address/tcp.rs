//! `tcp:` and `tcp-l:`.

use crate::{
    config::Config,
    endpoint::{
        Accept, Bind, Build, ByteEndpoint, ConnectContext, Dial, Dialled, Entry, LayerNote, Listening, Listens,
        ListensAt,
    },
    error::Error,
    flow::{BoxFuture, ByteEnd, EndKind},
    net::{self, HostPort, Peer, ProxyScheme},
    overlay,
    report::{self, millis},
};
use std::{
    net::{IpAddr, SocketAddr},
    time::Instant,
};
use tokio::net::{TcpListener, TcpSocket};

/// Options of connections through a proxy.
pub(super) const PROXIES: &[&str] = &["proxy", "noproxy", "socks5", "socks5-user-pass"];

pub(super) static CONNECT: Entry = Entry {
    names: &["tcp", "tcp-connect", "connect-tcp", "tcp-c", "c-tcp"],
    arg: Some("HOST:PORT"),
    summary: "Connect to a TCP server",
    details: "Resolves the name for each connection and races its addresses (Happy Eyeballs, RFC 8305). Passes on the \
              end of the input as a half-close.",
    example: "- tcp:127.0.0.1:7",
    flags: &[&["connect-timeout"], PROXIES],
    build: Build::Dial(|arg, config| Ok(connect(&parse(arg)?, None, config)?.into())),
};

pub(super) static LISTEN: Entry = Entry {
    names: &["tcp-listen", "listen-tcp", "tcp-l", "l-tcp"],
    arg: Some("[ADDR:]PORT"),
    summary: "Accept TCP connections",
    details: "Opens ADDR2 once per connection. Without ADDR, listens on 127.0.0.1. Port 0 selects any free port.",
    example: "tcp-l:127.0.0.1:0 ws://127.0.0.1:8080/",
    flags: &[&["stdout-announce-listening-ports", "oneshot", "conncap"]],
    build: Build::Listen(|arg, _| Ok(listen(&parse_listen(arg)?).into()), PLAIN),
};

fn parse(arg: &str) -> Result<HostPort, Error> {
    HostPort::parse(arg).map_err(|reason| Error::Argument { reason, example: "tcp:127.0.0.1:7".into() })
}

/// Parses `[ADDR:]PORT`, the argument of a listener.
pub(super) fn parse_listen(arg: &str) -> Result<HostPort, Error> {
    HostPort::parse_listen(arg).map_err(|reason| Error::Argument { reason, example: "0.0.0.0:8080".into() })
}

/// A listener that adds no protocol of its own.
const PLAIN: Listens = Listens { at: ListensAt::Port, tls: false, http: false };

/// A TCP connection to `at`, through a proxy if the options name one. `scheme` is that of the URL, if there is one: the environment
/// names proxies for it.
///
/// # Errors
/// If the environment or TLS cannot be used.
pub(super) fn connect(at: &HostPort, scheme: Option<&str>, config: &Config) -> Result<ByteEndpoint<Dialled>, Error> {
    let title = format!("tcp:{at}");
    let Some(proxy) = config.proxy.proxy_for(at, scheme)? else {
        return Ok(ByteEndpoint::dial(title, Connect { at: at.clone(), name: at.to_string() }).at_host(&at.host));
    };
    let to_proxy = Connect { at: proxy.at.clone(), name: format!("the proxy {proxy}") };
    let mut endpoint = ByteEndpoint::dial(title, to_proxy).at_host(&at.host);
    let note = |name| LayerNote::inserted(name, format!("through the proxy {proxy}"));
    Ok(match proxy.scheme {
        ProxyScheme::Socks5 | ProxyScheme::Socks5h => {
            endpoint.layer(note("socks5-connect"), overlay::socks5_connect(&proxy, at))
        }
        ProxyScheme::Http | ProxyScheme::Https => {
            if proxy.scheme == ProxyScheme::Https {
                endpoint = endpoint.layer(note("tls"), overlay::tls_connect_to(&proxy.at.host, config)?);
            }
            endpoint.layer(note("http-connect"), overlay::http_connect(&proxy, at))
        }
    })
}

/// A TCP listener.
pub fn listen(at: &HostPort) -> ByteEndpoint<Listening> {
    ByteEndpoint::listen(format_args!("tcp-listen:{at}"), Listen { at: at.clone() })
}

struct Connect {
    at: HostPort,
    /// What stands there, for errors.
    name: String,
}

impl Dial<ByteEnd> for Connect {
    fn dial<'a>(&'a self, context: &'a mut ConnectContext) -> BoxFuture<'a, Result<ByteEnd, Error>> {
        Box::pin(async move {
            context.stage = format!("connecting to {}", self.name);
            let host = &self.at.host;
            let started = Instant::now();
            let addresses = net::resolve(&self.at).await?;
            let is_shown = report::shows_handshakes();
            if is_shown && host.parse::<IpAddr>().is_err() {
                let found = addresses.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>().join(", ");
                report::handshake('*', host, format_args!("resolved {host}: {found} ({})", millis(started.elapsed())));
            }
            let started = Instant::now();
            let socket = net::connect(&self.at, addresses).await.map_err(|error| match error {
                Error::Connect { source, .. } => Error::Connect { to: self.name.clone(), source },
                other => other,
            })?;
            if is_shown && let Ok(address) = socket.peer_addr() {
                let took = millis(started.elapsed());
                report::handshake('*', host, format_args!("connected to {host} ({address}, {took})"));
            }
            Ok(ByteEnd::socket(socket, self.at.to_string()))
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
    at: HostPort,
}

/// Length of the listen backlog. The kernel limits it to `net.core.somaxconn` (4096 by default).
const BACKLOG: u32 = 4096;

impl Bind<ByteEnd> for Listen {
    fn bind(&self) -> BoxFuture<'_, Result<Box<dyn Accept<ByteEnd>>, Error>> {
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
                        Some("this machine does not have that address; 0.0.0.0 listens on all addresses".into())
                    }
                    _ => None,
                };
                Error::Listen { on: self.at.to_string(), source, hint }
            };
            let mut last = std::io::ErrorKind::NotFound.into();
            for address in net::resolve(&self.at).await? {
                match bind(address) {
                    Ok(listener) => {
                        let local = listener.local_addr().map_err(failed)?;
                        return Ok(Box::new(Socket { listener, local }) as Box<dyn Accept<ByteEnd>>);
                    }
                    Err(error) => last = error,
                }
            }
            Err(failed(last))
        })
    }
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6() } else { TcpSocket::new_v4() }?;
    // Lets a restarted server listen while old connections are in TIME_WAIT. On Windows it would let two servers share a port.
    socket.set_reuseaddr(cfg!(unix))?;
    socket.set_nodelay(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// A listener from a socket that already listens.
///
/// # Errors
/// If the socket cannot be registered with the runtime.
#[cfg(unix)]
pub(super) fn from_listening(listener: std::net::TcpListener) -> std::io::Result<Box<dyn Accept<ByteEnd>>> {
    listener.set_nonblocking(true)?;
    socket2::SockRef::from(&listener).set_tcp_nodelay(true)?;
    let local = listener.local_addr()?;
    Ok(Box::new(Socket { listener: TcpListener::from_std(listener)?, local }))
}

struct Socket {
    listener: TcpListener,
    local: SocketAddr,
}

impl Accept<ByteEnd> for Socket {
    fn accept(&mut self) -> BoxFuture<'_, Result<(ByteEnd, Peer), Error>> {
        Box::pin(async {
            loop {
                match self.listener.accept().await {
                    Ok((socket, from)) => {
                        // On Linux a connection has the options of its listener.
                        if cfg!(not(target_os = "linux")) {
                            // Fails only if the connection is already closed; then the first read fails too.
                            let _ = socket.set_nodelay(true);
                        }
                        let peer = Peer::at(from, self.local.port());
                        return Ok((ByteEnd::socket(socket, peer.name.clone()), peer));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::ByteStream;
    use tokio::runtime::Builder;

    /// Whether what is sent to a client is sent at once.
    async fn has_no_delay(mut listener: Box<dyn Accept<ByteEnd>>) -> bool {
        let _client = std::net::TcpStream::connect(listener.local()).expect("connect");
        let (end, _) = listener.accept().await.expect("accept");
        matches!(end.io, ByteStream::Tcp(socket) if socket.nodelay().expect("an option"))
    }

    #[test]
    fn a_connection_has_no_delay() {
        let runtime = Builder::new_current_thread().enable_io().build().expect("a runtime");
        runtime.block_on(async {
            let at = HostPort { host: "127.0.0.1".into(), port: 0 };
            assert!(has_no_delay(Listen { at }.bind().await.expect("a listener")).await);
        });
    }

    #[cfg(unix)]
    #[test]
    fn a_connection_of_an_inherited_listener_has_no_delay() {
        let runtime = Builder::new_current_thread().enable_io().build().expect("a runtime");
        runtime.block_on(async {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
            assert!(has_no_delay(from_listening(listener).expect("a listener")).await);
        });
    }
}
