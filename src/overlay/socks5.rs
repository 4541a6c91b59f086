//! `socks5-connect:` and `socks5-bind:`: the client of a SOCKS5 proxy (RFC 1928, RFC 1929).

use super::ByteLayer;
use crate::{
    config::Config,
    endpoint::{Build, ConnectContext, Entry, Inner, Layer, Overlay, OverlayRow, Transform},
    error::{Error, io_message},
    flow::{BoxFuture, ByteEnd},
    net::{self, HostPort, ProxyLogin, ProxyScheme, ProxyUrl},
    report,
};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
    process::Stdio,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

pub(super) static CONNECT: Entry = Entry {
    names: &["socks5-connect"],
    arg: Some("HOST:PORT"),
    summary: "Connect through a SOCKS5 proxy",
    details: "Over any transport to the proxy; HOST:PORT alone is a TCP connection. --socks5-destination is where the proxy \
              connects to; it looks names up. --proxy does the same for every connection of a URL.",
    example: "- socks5-connect:127.0.0.1:9050 --socks5-destination example.com:80",
    flags: &[&["socks5-destination", "socks5-user-pass"]],
    build: Build::Overlay(OverlayRow::new(|inner, config| overlay(inner, config, Command::Connect)).over_tcp()),
};

pub(super) static BIND: Entry = Entry {
    names: &["socks5-bind"],
    arg: Some("HOST:PORT"),
    summary: "Accept one connection through a SOCKS5 proxy",
    details: "Over any transport to the proxy; HOST:PORT alone is a TCP connection. The proxy listens on a port of its own \
              choice, which is logged and given to --socks5-bind-script, and accepts one connection, as a rule only from \
              --socks5-destination. --connect-timeout limits the wait for it.",
    example: "- socks5-bind:127.0.0.1:9050 --socks5-destination 0.0.0.0:0",
    flags: &[&["socks5-destination", "socks5-user-pass", "socks5-bind-script"]],
    build: Build::Overlay(OverlayRow::new(|inner, config| overlay(inner, config, Command::Bind)).over_tcp()),
};

fn overlay(inner: &Inner<'_>, config: &Config, command: Command) -> Result<Overlay, Error> {
    let options = &config.proxy;
    let Some(target) = options.destination.clone() else {
        return Err(Error::usage_hint(
            "a SOCKS5 overlay needs --socks5-destination HOST:PORT",
            "it is where the proxy connects to, or from where it accepts a connection",
        ));
    };
    let script = options.bind_script.clone().filter(|_| matches!(command, Command::Bind));
    let proxy = inner.about.title.clone();
    let layer = Socks5 { proxy, command, target, resolves: false, login: options.login.clone(), script };
    Ok(Overlay::Around(Layer::OnBytes(Box::new(layer))))
}

/// A connection to `target` on a connection to this proxy.
pub fn socks5_connect(proxy: &ProxyUrl, target: &HostPort) -> ByteLayer {
    Box::new(Socks5 {
        proxy: proxy.to_string(),
        command: Command::Connect,
        target: target.clone(),
        resolves: proxy.scheme == ProxyScheme::Socks5,
        login: proxy.login.clone(),
        script: None,
    })
}

/// What the proxy is asked for; the numbers are those of RFC 1928 section 4.
#[derive(Clone, Copy)]
enum Command {
    Connect = 1,
    Bind = 2,
}

struct Socks5 {
    /// Its name in errors.
    proxy: String,
    command: Command,
    target: HostPort,
    /// Whether we look the name up, and not the proxy.
    resolves: bool,
    login: Option<ProxyLogin>,
    script: Option<PathBuf>,
}

/// Why the proxy does not do what it was asked for.
enum Failure {
    /// The connection to it.
    Io(io::Error),
    /// Its answer.
    Refused(String, Option<&'static str>),
    /// It cannot reach the target.
    Unreachable(io::ErrorKind, &'static str),
    /// The program that the port is given to.
    Script(Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Socks5 {
    /// Asks for the connection. Reads no byte more than the proxy's replies.
    async fn handshake(
        &self,
        io: &mut (impl AsyncRead + AsyncWrite + Unpin),
        target: &HostPort,
    ) -> Result<(), Failure> {
        self.log_in(io).await?;
        let mut request = vec![5, self.command as u8, 0];
        match target.host.parse() {
            Ok(IpAddr::V4(address)) => {
                request.push(1);
                request.extend(address.octets());
            }
            Ok(IpAddr::V6(address)) => {
                request.push(4);
                request.extend(address.octets());
            }
            Err(_) => {
                let length = u8::try_from(target.host.len())
                    .map_err(|_| Failure::Refused("a host name may have 255 bytes".into(), None))?;
                request.extend([3, length]);
                request.extend(target.host.bytes());
            }
        }
        request.extend(target.port.to_be_bytes());
        send(io, &request).await?;
        let bound = reply(io).await?;
        if matches!(self.command, Command::Bind) {
            self.run_script(bound.port)?;
            report::notice(format_args!("listening: {bound} at the proxy {}", self.proxy));
            let peer = reply(io).await?;
            report::event(format_args!("the proxy accepted a connection from {peer}"));
        }
        Ok(())
    }

    /// Agrees on a method, and logs in if the proxy chooses that.
    async fn log_in(&self, io: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<(), Failure> {
        // RFC 1928 section 3: 0 is no login, 2 is a user name with a password.
        let methods: &[u8] = if self.login.is_some() { &[5, 2, 0, 2] } else { &[5, 1, 0] };
        send(io, methods).await?;
        let [version, method] = read(io).await?;
        if version != 5 {
            let hint = "if it is an HTTP proxy, write http://HOST:PORT";
            return Err(Failure::Refused("its response is not SOCKS5".into(), Some(hint)));
        }
        match (method, &self.login) {
            (0, _) => Ok(()),
            (2, Some(ProxyLogin { user, password })) => {
                // Both have at most 255 bytes.
                let mut request = vec![1, user.len() as u8];
                request.extend(user.bytes());
                request.push(password.len() as u8);
                request.extend(password.bytes());
                send(io, &request).await?;
                match read(io).await? {
                    [_, 0] => Ok(()),
                    _ => Err(Failure::Refused("the user name or the password is wrong".into(), None)),
                }
            }
            (0xff, None) => {
                let hint = "log in with --proxy socks5h://USER:PASSWORD@HOST:PORT or --socks5-user-pass";
                Err(Failure::Refused("it requires a login".into(), Some(hint)))
            }
            (0xff, Some(_)) => Err(Failure::Refused("it accepts no login with a password".into(), None)),
            _ => Err(Failure::Refused("it chose a login that was not offered".into(), None)),
        }
    }

    fn run_script(&self, port: u16) -> Result<(), Failure> {
        let Some(script) = &self.script else { return Ok(()) };
        let mut command = tokio::process::Command::new(script);
        // Standard input and output belong to the session.
        command.arg(port.to_string()).stdin(Stdio::null()).stdout(Stdio::null());
        // The runtime waits for its end.
        command.spawn().map(drop).map_err(|error| {
            let reason = format!("cannot start: {}", io_message(&error));
            Failure::Script(Error::Child { program: script.display().to_string(), reason })
        })
    }

    /// The target as it is sent: an address if we look names up.
    async fn resolved(&self) -> Result<HostPort, Error> {
        if !self.resolves {
            return Ok(self.target.clone());
        }
        let addresses = net::resolve(&self.target).await?;
        Ok(addresses.first().map_or_else(|| self.target.clone(), |address| (*address).into()))
    }

    fn error(&self, failure: Failure) -> Error {
        let (reason, hint) = match failure {
            Failure::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                ("it closed the connection before it answered".to_owned(), None)
            }
            Failure::Io(error) => match error.downcast::<Error>() {
                Ok(error) => return error,
                Err(error) => (io_message(&error), None),
            },
            Failure::Refused(reason, hint) => (reason, hint),
            Failure::Script(error) => return error,
            Failure::Unreachable(kind, reason) => {
                let source = io::Error::new(kind, format!("the proxy {} answered: {reason}", self.proxy));
                return Error::Connect { to: self.target.to_string(), source };
            }
        };
        Error::Proxy { proxy: self.proxy.clone(), reason, hint: hint.map(str::to_owned) }
    }
}

impl Transform<ByteEnd, ByteEnd> for Socks5 {
    fn apply<'a>(
        &'a self,
        mut inner: ByteEnd,
        context: &'a mut ConnectContext,
    ) -> BoxFuture<'a, Result<ByteEnd, Error>> {
        Box::pin(async move {
            context.stage = match self.command {
                Command::Connect => format!("waiting for the proxy {} to connect to {}", self.proxy, self.target),
                Command::Bind => format!("waiting for the proxy {} to accept a connection", self.proxy),
            };
            let target = self.resolved().await?;
            self.handshake(&mut inner.io, &target).await.map_err(|failure| self.error(failure))?;
            report::handshake('*', &inner.name, format_args!("SOCKS5 to {target}"));
            inner.name = self.target.to_string().into();
            Ok(inner)
        })
    }
}

async fn send(io: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    io.write_all(bytes).await?;
    io.flush().await
}

async fn read<const N: usize>(io: &mut (impl AsyncRead + Unpin)) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    io.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// Reads a reply (RFC 1928 section 6). Returns the address in it.
async fn reply(io: &mut (impl AsyncRead + Unpin)) -> Result<HostPort, Failure> {
    let [version, status, _, kind] = read(io).await?;
    if version != 5 {
        return Err(Failure::Refused("its response is not SOCKS5".into(), None));
    }
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, Other, TimedOut};
    match status {
        0 => {}
        1 => return Err(Failure::Unreachable(Other, "general failure")),
        2 => return Err(Failure::Refused("its rules do not allow this connection".into(), None)),
        3 => return Err(Failure::Unreachable(NetworkUnreachable, "network unreachable")),
        4 => return Err(Failure::Unreachable(HostUnreachable, "host unreachable")),
        5 => return Err(Failure::Unreachable(ConnectionRefused, "connection refused")),
        6 => return Err(Failure::Unreachable(TimedOut, "timed out (TTL expired)")),
        7 => return Err(Failure::Refused("it does not support this command".into(), None)),
        8 => {
            let hint = "socks5:// sends addresses, socks5h:// names";
            return Err(Failure::Refused("it does not support this type of address".into(), Some(hint)));
        }
        other => return Err(Failure::Refused(format!("it answered with the unknown status {other}"), None)),
    }
    let host = match kind {
        1 => Ipv4Addr::from(read::<4>(io).await?).to_string(),
        4 => Ipv6Addr::from(read::<16>(io).await?).to_string(),
        3 => {
            let [length] = read(io).await?;
            let mut name = vec![0; length.into()];
            io.read_exact(&mut name).await?;
            String::from_utf8_lossy(&name).into_owned()
        }
        _ => return Err(Failure::Refused("its response has an unknown type of address".into(), None)),
    };
    Ok(HostPort { host, port: u16::from_be_bytes(read(io).await?) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_reply_or_a_failure(bytes in prop::collection::vec(prop_oneof![0u8..9, any::<u8>()], 0..40)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let _ = runtime.block_on(reply(&mut &bytes[..])).is_ok();
        }
    }
}
