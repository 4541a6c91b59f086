//! What the command line means: defaults filled in, conflicts settled, in this one place.

use super::{Cli, DeflateMode, SlowPolicy};
use crate::{
    error::Error,
    flow::Close,
    http::{AccessOptions, Secrets},
    report::Report,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use std::{ffi::OsString, fmt, path::PathBuf, time::Duration};
use url::Url;

/// Everything that a run depends on besides its addresses.
pub struct Config {
    /// When sessions end.
    pub ending: Ending,
    /// How bytes become messages.
    pub framing: Framing,
    /// The upgrade request.
    pub client: ClientOptions,
    /// Listeners.
    pub server: ServerOptions,
    /// `--broadcast`.
    pub rooms: Option<RoomOptions>,
    /// Both sides of a WebSocket.
    pub websocket: WebSocketOptions,
    /// Certificates and trust.
    pub tls: TlsOptions,
    /// Arguments of `exec:`.
    pub exec_args: Vec<OsString>,
    /// The first pause of `autoreconnect:`.
    pub reconnect_delay: Duration,
    /// From the name look-up to the finished upgrade.
    pub connect_timeout: Duration,
    /// For the whole run.
    pub max_time: Option<Duration>,
    /// Where the run tells what happens.
    pub report: Report,
}

/// Which directions a session has and when it ends.
#[derive(Clone, Debug)]
pub struct Ending {
    /// Whether ADDR1's messages go to ADDR2.
    pub forward: bool,
    /// Whether ADDR2's messages go to ADDR1.
    pub back: bool,
    /// `-E`.
    pub exit_on_eof: bool,
    /// `-n`.
    pub no_close: bool,
    /// `-1`: how many messages ADDR1 may send.
    pub max_sent: Option<u64>,
    /// `-1`, `--replies`: how many messages of ADDR2 end the session.
    pub enough: Option<u64>,
    /// Whether fewer than `enough` is an error (`--replies`).
    pub must_have_enough: bool,
    /// `--linger`.
    pub linger: Duration,
    /// `--close-timeout`.
    pub close_timeout: Duration,
    /// `--grace`.
    pub grace: Duration,
}

/// How byte ends are framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framing {
    /// `Some`: `-t` or `-b` was given.
    pub kind: Option<crate::flow::Kind>,
    /// What ends a line: a newline, or zero with `-0`.
    pub separator: u8,
    /// `--one-line`.
    pub one_line: bool,
    /// No line may be longer; the limit of messages.
    pub max_length: usize,
}

/// The upgrade request.
pub struct ClientOptions {
    /// In the order given; they replace headers of ours with the same name.
    pub headers: Vec<(String, String)>,
    /// The subprotocols that are offered, in order of preference.
    pub protocols: Vec<String>,
    /// `Authorization`.
    pub basic_auth: Option<BasicAuth>,
    /// What `ws-c:` asks for.
    pub ws_c_uri: Url,
}

/// The value of a Basic `Authorization` header. Its `Debug` is silent.
#[derive(Clone)]
pub struct BasicAuth(String);

impl BasicAuth {
    /// From `user:password` in clear text.
    pub fn new(user_and_password: &str) -> Self {
        Self(format!("Basic {}", BASE64_STANDARD.encode(user_and_password)))
    }

    /// The header's value.
    pub fn header_value(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BasicAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BasicAuth(…)")
    }
}

/// Listeners.
pub struct ServerOptions {
    /// Serve one connection.
    pub oneshot: bool,
    /// At most so many at once.
    pub conncap: Option<u32>,
    /// Print websocat's `LISTEN` line.
    pub announce: bool,
    /// Remove a unix socket's path first.
    pub unlink: bool,
    /// The subprotocol to choose.
    pub protocol: Option<String>,
    /// Added to every answer.
    pub headers: Vec<(String, String)>,
    /// The only path where WebSockets are accepted.
    pub restrict_uri: Option<String>,
    /// Files for plain requests.
    pub files: Vec<StaticFile>,
    /// Who may enter.
    pub access: AccessOptions,
    /// The path that every room's target begins with.
    pub room_prefix: Option<String>,
    /// Whether `GET /healthz` is answered.
    pub healthz: bool,
}

/// `-F`: a file served at a path.
#[derive(Clone, Debug)]
pub struct StaticFile {
    /// The path of the request, with its slash.
    pub uri: String,
    /// The `Content-Type`.
    pub content_type: String,
    /// The file, read at each request.
    pub path: PathBuf,
}

/// The room server.
#[derive(Clone, Debug)]
pub struct RoomOptions {
    /// Whether a sender hears itself.
    pub echo: bool,
    /// What happens to members for which more than `backlog` bytes wait.
    pub slow: SlowPolicy,
    /// In bytes.
    pub backlog: usize,
    /// At most so many rooms at once.
    pub max_rooms: Option<u32>,
    /// At most so many members each.
    pub max_per_room: Option<u32>,
    /// At most so many members from one address.
    pub max_per_address: Option<u32>,
    /// Where metrics are served, `ADDR:PORT`.
    pub metrics: Option<String>,
}

/// How often members are pinged unless `--ping-interval` says otherwise, and how long they may stay silent: members that
/// vanished are noticed, and proxies with a read time-out of a minute, nginx's default, keep the connection.
const ROOM_PING_INTERVAL: Duration = Duration::from_secs(30);
const ROOM_PING_TIMEOUT: Duration = Duration::from_secs(60);

/// Both sides of a WebSocket.
#[derive(Clone, Debug)]
pub struct WebSocketOptions {
    /// How often to ping.
    pub ping_interval: Option<Duration>,
    /// How long a ping may stay unanswered.
    pub ping_timeout: Option<Duration>,
    /// What our close frames say unless the other end of the session knows better.
    pub close: Close,
    /// The longest message in bytes.
    pub max_message: usize,
    /// The longest frame in bytes.
    pub max_frame: usize,
    /// permessage-deflate.
    pub deflate: DeflateOptions,
}

/// What is offered and accepted of permessage-deflate (RFC 7692), and how we compress.
#[derive(Clone, Debug, Default)]
pub struct DeflateOptions {
    /// Clients offer it.
    pub offers: bool,
    /// A server that does not take the offer is an error.
    pub demands: bool,
    /// Listeners take offers.
    pub accepts: bool,
    /// 0 to 9; with 0 everything leaves plain.
    pub level: u8,
    /// The largest window that is asked for and used, 9 to 15: 2^N bytes.
    pub window_bits: u8,
    /// Messages do not refer back to those before them.
    pub no_context: bool,
    /// Messages of fewer bytes leave plain.
    pub threshold: usize,
}

/// Certificates and trust; the files are read when the first TLS end is planned.
#[derive(Default)]
pub struct TlsOptions {
    /// For listeners: chain and key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// For clients: chain and key.
    pub client_identity: Option<(PathBuf, PathBuf)>,
    /// Trusted instead of the system's.
    pub cacert: Option<PathBuf>,
    /// Any certificate is accepted.
    pub insecure: bool,
    /// The name expected in the certificate.
    pub domain: Option<String>,
    /// Listeners demand certificates signed by these.
    pub client_ca: Option<PathBuf>,
    /// Listeners make themselves a certificate.
    pub self_signed: bool,
}

impl Config {
    pub(super) fn new(cli: Cli, report: Report) -> Result<Self, Error> {
        let Cli { direction, framing, client, serving, rooms, websocket, tls, other, .. } = cli;
        let ws_c_uri = crate::address::websocket_url(&client.ws_c_uri)
            .map_err(|reason| Error::usage(format!("--ws-c-uri: {reason}")))?;
        if websocket.ping_timeout.is_some() && websocket.ping_interval.is_none() && !rooms.broadcast {
            return Err(Error::usage_hint(
                "--ping-interval is required with --ping-timeout: without it no ping is sent",
                "for example --ping-interval 30 --ping-timeout 60",
            ));
        }
        let identity = tls.cert.zip(tls.key);
        let close = Close {
            code: websocket.close_status_code.unwrap_or(1000),
            reason: websocket.close_reason.unwrap_or_default(),
        };
        Ok(Self {
            ending: Ending {
                forward: !direction.reverse_only,
                back: !direction.forward_only,
                exit_on_eof: direction.exit_on_eof,
                no_close: direction.no_close,
                max_sent: direction.one_message.then_some(1),
                enough: direction.replies.or(direction.one_message.then_some(1)),
                must_have_enough: direction.replies.is_some(),
                linger: direction.linger,
                close_timeout: direction.close_timeout,
                grace: direction.grace,
            },
            framing: Framing {
                kind: match (framing.text, framing.binary) {
                    (true, _) => Some(crate::flow::Kind::Text),
                    (_, true) => Some(crate::flow::Kind::Binary),
                    _ => None,
                },
                separator: if framing.null_terminated { 0 } else { b'\n' },
                one_line: framing.one_line,
                max_length: websocket.max_ws_message_length,
            },
            client: ClientOptions {
                headers: client_headers(client.headers, client.origin, client.ua),
                protocols: client.protocol.as_deref().map(split_list).unwrap_or_default(),
                basic_auth: client.basic_auth.as_deref().map(BasicAuth::new),
                ws_c_uri,
            },
            server: ServerOptions {
                oneshot: serving.oneshot,
                conncap: serving.conncap,
                announce: serving.stdout_announce_listening_ports,
                unlink: serving.unlink,
                protocol: serving.server_protocol,
                headers: serving.server_headers,
                restrict_uri: serving.restrict_uri,
                files: serving.static_files,
                access: AccessOptions {
                    origins: serving.allow_origins,
                    same_origin: serving.same_origin,
                    basic_auth: serving.require_basic_auth.as_deref().map(Secrets::read).transpose()?,
                    tokens: serving.require_token.as_deref().map(Secrets::read).transpose()?,
                    trusted_proxies: serving.trusted_proxies,
                },
                room_prefix: rooms.room_prefix,
                healthz: rooms.broadcast,
            },
            rooms: rooms.broadcast.then_some(RoomOptions {
                echo: !rooms.no_echo,
                slow: rooms.slow,
                backlog: rooms.backlog,
                max_rooms: rooms.max_rooms,
                max_per_room: rooms.max_per_room,
                max_per_address: rooms.max_per_address,
                metrics: rooms.metrics,
            }),
            websocket: WebSocketOptions {
                ping_interval: websocket
                    .ping_interval
                    .or(rooms.broadcast.then_some(ROOM_PING_INTERVAL))
                    .filter(|every| !every.is_zero()),
                ping_timeout: websocket.ping_timeout.or(rooms.broadcast.then_some(ROOM_PING_TIMEOUT)),
                close,
                max_message: websocket.max_ws_message_length,
                max_frame: websocket.max_ws_frame_length,
                deflate: DeflateOptions {
                    offers: websocket.deflate != DeflateMode::Off,
                    demands: websocket.deflate == DeflateMode::On,
                    accepts: match websocket.deflate {
                        DeflateMode::Off => false,
                        // Room servers of this kind do not.
                        DeflateMode::Auto => !rooms.broadcast,
                        DeflateMode::On => true,
                    },
                    level: websocket.deflate_level,
                    window_bits: websocket.deflate_window_bits,
                    // In rooms a message is compressed once, whatever the members have heard before.
                    no_context: websocket.deflate_no_context_takeover || rooms.broadcast,
                    threshold: websocket.deflate_threshold,
                },
            },
            tls: TlsOptions {
                client_identity: tls.client_cert.zip(tls.client_key).or_else(|| identity.clone()),
                identity,
                cacert: tls.cacert,
                insecure: tls.insecure,
                domain: tls.tls_domain,
                client_ca: tls.client_ca,
                self_signed: tls.self_signed,
            },
            exec_args: other.exec_args,
            reconnect_delay: Duration::from_millis(other.autoreconnect_delay_millis),
            connect_timeout: direction.connect_timeout,
            max_time: direction.max_time,
            report,
        })
    }
}

/// `--origin` and `--ua` are headers with an option of their own; `-H` wins.
fn client_headers(given: Vec<(String, String)>, origin: Option<String>, ua: Option<String>) -> Vec<(String, String)> {
    let named = [("Origin", origin), ("User-Agent", ua)];
    let mut all: Vec<_> = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    all.retain(|(name, _)| !given.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)));
    all.extend(given);
    all
}

/// The members of a comma-separated list.
pub fn split_list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}
