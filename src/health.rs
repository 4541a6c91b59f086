//! `--healthcheck`: checks the health of a running server.

use crate::{
    cli::{Cli, Parsed},
    endpoint::{Listens, ListensAt},
    error::Error,
    flow::ByteStream,
    http::{
        HEALTH_PATH,
        client_handshake::{Driven, describe_unexpected, explain},
        response_head::ResponseHead,
    },
    net::{self, HostPort, UnixStream},
    plan::FirstAddress,
    tls::{self, TlsOptions, Trust},
};
use http_body_util::Empty;
use hyper::{Request, StatusCode, body::Bytes, header};
use hyper_util::rt::TokioIo;
use std::{
    ffi::OsString,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};
use url::Url;

/// Maximum time for a health check.
const LIMIT: Duration = Duration::from_secs(5);
/// The server to check if process 1 is not wsplice: a room server at its default port on this machine.
const DEFAULT_SERVER: HostPort = HostPort { host: String::new(), port: 8080 };

/// The address to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Tcp(HostPort),
    Unix(String),
}

/// A health check: where to connect, what to request and what to expect.
#[derive(Clone, Debug, PartialEq, Eq)]
struct HealthCheck {
    target: Target,
    is_tls: bool,
    path: String,
    /// Whether the status must be 200. Otherwise any response shows that the server works.
    requires_ok: bool,
}

/// Checks the server at `url`, or without a URL the server that is process 1, as in a container.
///
/// # Errors
/// If the URL is not valid, the server cannot be reached, or it is not healthy.
pub fn check(url: Option<&str>) -> Result<(), Error> {
    let check = match url {
        Some(url) => Some(from_url(url).map_err(|reason| Error::usage(format!("--healthcheck {url}: {reason}")))?),
        None => from_process(&fs::read("/proc/1/cmdline").unwrap_or_default()),
    };
    // Without an HTTP listener there is nothing to request: running means healthy.
    let Some(check) = check else { return Ok(()) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| Error::io("cannot start", source))?;
    runtime.block_on(async {
        timeout(LIMIT, send(&check)).await.unwrap_or_else(|_| {
            let doing = format!("waiting for {}", check.name());
            Err(Error::TimedOut { doing, limit: LIMIT, option: "" })
        })
    })
}

fn from_url(url: &str) -> Result<HealthCheck, String> {
    let parsed = Url::parse(url).map_err(|error| error.to_string())?;
    if parsed.scheme() != "http" {
        return Err("the scheme must be http".into());
    }
    let host = parsed.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let target = Target::Tcp(HostPort { host, port: parsed.port_or_known_default().unwrap_or(80) });
    Ok(HealthCheck { target, is_tls: false, path: parsed.path().into(), requires_ok: true })
}

/// From the arguments of process 1, each terminated by a zero byte. If that is not wsplice, the default server.
fn from_process(cmdline: &[u8]) -> Option<HealthCheck> {
    let words = cmdline.strip_suffix(b"\0").unwrap_or(cmdline).split(|byte| *byte == 0);
    let mut words: Vec<_> = words.map(|word| OsString::from(String::from_utf8_lossy(word).into_owned())).collect();
    // The init process of Docker or podman: its command line is followed by that of the server.
    if words.get(1).is_some_and(|word| word == "--") {
        words.drain(..2);
    }
    let own = std::env::current_exe().ok();
    let is_own =
        own.as_deref().and_then(Path::file_name) == words.first().and_then(|first| Path::new(first).file_name());
    match Cli::parse_args(words) {
        Ok(Parsed::Run(cli)) if is_own => from_options(&cli),
        _ => {
            let target = Target::Tcp(reachable(DEFAULT_SERVER)?);
            Some(HealthCheck { target, is_tls: false, path: HEALTH_PATH.into(), requires_ok: true })
        }
    }
}

fn from_options(cli: &Cli) -> Option<HealthCheck> {
    let is_full = cli.serving.conncap.is_some() || cli.serving.oneshot;
    let requires_ok = cli.rooms.broadcast;
    let (target, is_tls) = match &cli.rooms.metrics {
        // The listener may have its maximum number of connections; the metrics are served in any case.
        Some(at) if is_full => (Target::Tcp(reachable(at.clone())?), false),
        _ if is_full => return None,
        _ => listener(cli)?,
    };
    // The server requires a client certificate, so a health check is not possible.
    let is_possible = !is_tls || cli.tls.client_ca.is_none();
    is_possible.then(|| HealthCheck { target, is_tls, path: HEALTH_PATH.into(), requires_ok })
}

/// The address of the WebSocket listener on a command line, and whether it uses TLS.
fn listener(cli: &Cli) -> Option<(Target, bool)> {
    let (first, second) = cli.addresses().ok()?;
    let first = match &first {
        FirstAddress::Listener(at) => return Some((Target::Tcp(reachable(at.clone())?), false)),
        FirstAddress::Typed(first) => Some(first),
    };
    let listening = [first, second.as_ref()].into_iter().flatten().filter_map(|spec| spec.listens());
    let (Listens { at, tls, .. }, arg) = listening.into_iter().find(|(listens, _)| listens.http)?;
    let target = match at {
        ListensAt::Port => Target::Tcp(reachable(HostPort::parse_listen(arg).ok()?)?),
        ListensAt::Path if cli.serving.accept_from_fd => return None,
        ListensAt::Path => Target::Unix(arg.to_owned()),
        ListensAt::AbstractName => Target::Unix(format!("@{arg}")),
        ListensAt::Descriptor => return None,
    };
    Some((target, tls))
}

/// The address to connect to a listener from this machine; `None` if the kernel selected the port.
fn reachable(at: HostPort) -> Option<HostPort> {
    let host = match at.host.parse::<IpAddr>() {
        Ok(address) if !address.is_unspecified() => at.host,
        Ok(IpAddr::V6(_)) => Ipv6Addr::LOCALHOST.to_string(),
        Err(_) if !at.host.is_empty() => at.host,
        _ => Ipv4Addr::LOCALHOST.to_string(),
    };
    (at.port != 0).then_some(HostPort { host, port: at.port })
}

impl HealthCheck {
    fn name(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        match &self.target {
            Target::Tcp(at) => format!("{scheme}://{at}{}", self.path),
            Target::Unix(path) => format!("{scheme}+unix://{path}"),
        }
    }

    /// The `Host` header.
    fn host(&self) -> String {
        match &self.target {
            Target::Tcp(at) => at.to_string(),
            Target::Unix(_) => "localhost".into(),
        }
    }
}

async fn send(check: &HealthCheck) -> Result<(), Error> {
    let name = check.name();
    let mut socket: ByteStream = match &check.target {
        Target::Tcp(at) => net::connect(at, net::resolve(at).await?).await?.into(),
        Target::Unix(path) => {
            let connected = UnixStream::connect(net::unix_path(path)).await;
            connected.map_err(|source| Error::Connect { to: path.clone(), source })?.into()
        }
    };
    if check.is_tls {
        // The server is on this machine, so its certificate is not verified.
        let options = TlsOptions { trust: Trust::AnyCertificate, ..TlsOptions::default() };
        let connector = TlsConnector::from(Arc::new(tls::client_config(&options)?));
        let server = ServerName::from(IpAddr::from(Ipv4Addr::LOCALHOST));
        let connected = connector.connect(server, socket).await;
        socket = ByteStream::other(connected.map_err(|error| tls::handshake_error(&name, tls::Peer::Server, &error))?);
    }
    let (io, head) = ResponseHead::new(socket);
    let lost = |error: hyper::Error| {
        let reason = match (head.invalid_header(&error), explain(&name, &error)) {
            (Some(reason), _) | (None, Error::Handshake { reason, .. }) => reason,
            (None, other) => return other,
        };
        Error::Unhealthy { url: name.clone(), reason, hint: None }
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await.map_err(lost)?;
    let mut connection = Driven::new(connection);
    let request = Request::get(&check.path).header(header::HOST, check.host()).body(Empty::<Bytes>::new());
    let request = request.map_err(|error| Error::usage(format!("--healthcheck {name}: {error}")))?;
    let response = connection.drive(sender.send_request(request)).await.map_err(lost)?;
    match response.status() {
        StatusCode::OK => Ok(()),
        _ if !check.requires_ok => Ok(()),
        status @ StatusCode::UPGRADE_REQUIRED => Err(Error::Unhealthy {
            url: name,
            reason: format!("expected 200, got {status}"),
            hint: Some(format!("a WebSocket listener replied, but only a room server (--broadcast) has {HEALTH_PATH}")),
        }),
        _ => {
            let unexpected = connection.drive(describe_unexpected(StatusCode::OK, response)).await;
            let reason = unexpected.reason + &unexpected.refusal.body;
            Err(Error::Unhealthy { url: name, reason, hint: unexpected.hint })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn own_path() -> String {
        let own = std::env::current_exe().expect("a path").file_name().expect("a name").to_owned();
        format!("/usr/local/bin/{}", own.to_string_lossy())
    }

    fn check_for(line: &str) -> Option<HealthCheck> {
        let line = line.replace("wsplice", &own_path());
        from_process(format!("{line} ").replace(' ', "\0").as_bytes())
    }

    fn url_and_status(line: &str) -> Option<(String, bool)> {
        check_for(line).map(|check| (check.name(), check.requires_ok))
    }

    fn word() -> impl Strategy<Value = Vec<u8>> {
        let known = prop::sample::select(vec![
            "--broadcast",
            "-s",
            "ws-l:",
            "ws-l:0.0.0.0:1",
            "ws-u:tcp-l:[::]:2",
            "wss-l::3",
            "--metrics",
            "--conncap",
            "1",
            "-",
            "mirror:",
            "--",
            "--healthcheck",
            "--help",
            "ws-u:unix-l:/run/a",
        ]);
        prop_oneof![3 => known.prop_map(|word| word.as_bytes().to_vec()), 1 => prop::collection::vec(any::<u8>(), 0..10)]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

        #[test]
        fn any_command_line_gives_a_url_or_nothing(
            is_own in prop::bool::weighted(0.8), words in prop::collection::vec(word(), 0..5)
        ) {
            let first = is_own.then(|| own_path().into_bytes());
            let line: Vec<Vec<u8>> = first.into_iter().chain(words).collect();
            if let Some(check) = from_process(&line.join(&0)) {
                prop_assert!(Url::parse(&check.name()).is_ok(), "{}", check.name());
                let has_port = !matches!(check.target, Target::Tcp(HostPort { port: 0, .. }));
                prop_assert!(has_port);
            }
        }
    }

    #[test]
    fn a_room_server_is_checked_at_its_listener() {
        for (line, url) in [
            ("wsplice --broadcast ws-l:0.0.0.0:8080", "http://127.0.0.1:8080/healthz"),
            ("wsplice --broadcast", "http://127.0.0.1:8080/healthz"),
            ("wsplice --broadcast ws-l:9000", "http://127.0.0.1:9000/healthz"),
            ("wsplice --broadcast -s [::]:9000", "http://[::1]:9000/healthz"),
            ("wsplice --broadcast -s 192.0.2.1:9000", "http://192.0.2.1:9000/healthz"),
            ("wsplice --broadcast wss-l:0.0.0.0:443 --self-signed", "https://127.0.0.1:443/healthz"),
            ("wsplice --broadcast ws-u:tls-a:tcp-l:0.0.0.0:443 --self-signed", "https://127.0.0.1:443/healthz"),
            ("wsplice --broadcast ws-u:unix-l:/run/a.sock", "http+unix:///run/a.sock"),
            ("wsplice --broadcast ws-l::80 --conncap 5 --metrics 0.0.0.0:9090", "http://127.0.0.1:9090/healthz"),
            ("/sbin/docker-init -- wsplice --broadcast ws-l:9000", "http://127.0.0.1:9000/healthz"),
        ] {
            assert_eq!(url_and_status(line), Some((url.into(), true)), "{line}");
        }
    }

    #[test]
    fn other_servers_are_healthy_if_they_respond() {
        for (line, url) in [
            ("wsplice -s 0.0.0.0:1234", "http://127.0.0.1:1234/healthz"),
            ("wsplice -t - ws-l:0.0.0.0:1234", "http://127.0.0.1:1234/healthz"),
            ("wsplice ws-u:log:tcp-l:0.0.0.0:1234 tcp:db:5432", "http://127.0.0.1:1234/healthz"),
        ] {
            assert_eq!(url_and_status(line), Some((url.into(), false)), "{line}");
        }
    }

    #[test]
    fn servers_without_http_are_healthy_while_they_run() {
        for line in [
            "wsplice wss://example.com/chat",
            "wsplice tcp-l:0.0.0.0:1 ws://example.com/",
            "wsplice -s 0.0.0.0:0",
            "wsplice -s 1234 --conncap 1",
            "wsplice --broadcast wss-l:1234 --cert c --key k --client-ca ca",
        ] {
            assert_eq!(check_for(line), None, "{line}");
        }
    }

    #[test]
    fn if_process_1_is_another_program_the_default_server_is_checked() {
        for line in ["/sbin/init splash", "", "sh -c wsplice"] {
            assert_eq!(url_and_status(line), Some(("http://127.0.0.1:8080/healthz".into(), true)), "{line}");
        }
    }
}
