//! Makes a [`Config`] of a [`Cli`]: sets defaults and resolves conflicts between options.

use super::{Cli, DeflateMode, Rare, RoomArgs, WebSocketArgs, values, values::Subprotocols};
use crate::{
    access::{AccessOptions, BasicAuth, Secrets},
    config::{
        AfterEof, ClientOptions, Config, Directions, HistoryOptions, Replies, ReuseOptions, RoomOptions, ServerOptions,
        SessionOptions,
    },
    error::Error,
    framing::{FramingOptions, Separator},
    message::{Close, Kind},
    reload::Reloads,
    tls::{ServerCertificate, TlsOptions, Trust},
    ws::{DeflateOptions, Offer, WebSocketConfig, WebSocketOptions},
};
use anyhow::Context;
use hyper::header::{self, HeaderName, HeaderValue};
use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Default interval between pings to members of rooms. It is shorter than the read timeout of proxies, a minute by default in
/// nginx, so that they keep idle connections.
const ROOM_PING_INTERVAL: Duration = Duration::from_secs(30);
/// Default maximum wait for data after a ping to a member of a room, so that connections that are lost are closed.
const ROOM_PING_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest silence in which `-1` and `--replies` wait. Servers that need longer for a reply send something in between, as they
/// must for proxies: nginx gives up after a minute by default.
const REPLIES_WITHIN: Duration = Duration::from_secs(30);
/// `autoreconnect:` without a pause would spin where connections fail at once.
const MIN_RECONNECT_DELAY: Duration = Duration::from_millis(10);

/// The default backlog of a member of a room.
const ROOM_BACKLOG: usize = 16 << 20;
/// And of a client of `reuse:`, where a longer one would only let the shared end run further ahead.
const REUSE_BACKLOG: usize = 1 << 20;
/// The longest message that is taken unless `--max-ws-message-length` says otherwise.
const MAX_MESSAGE: usize = 64 << 20;
/// In rooms it is this part of a backlog, as in uWebSockets: a few long messages in a row do not make a member slow.
const BACKLOG_PART: usize = 4;
/// And this part is kept of a room for members that join, so that they are not slow when they have received it.
const HISTORY_PART: usize = 4;

impl Config {
    pub(super) fn new(cli: Cli) -> Result<Self, Error> {
        let Cli {
            direction,
            time_limits: Rare(time_limits),
            framing,
            lines: Rare(lines),
            length_prefixed: Rare(length_prefixed),
            messages: Rare(messages),
            scripting: Rare(scripting),
            payload: Rare(payload),
            client,
            handshake: Rare(handshake),
            request: Rare(request),
            wscat: Rare(wscat),
            proxy: Rare(proxy),
            serving: Rare(serving),
            rooms: Rare(rooms),
            cluster: Rare(cluster),
            websocket: Rare(websocket),
            pings: Rare(pings),
            tls: Rare(tls),
            reconnecting: Rare(reconnecting),
            programs: Rare(programs),
            udp: Rare(udp),
            terminal: Rare(terminal),
            http_request: Rare(http_request),
            ..
        } = cli;
        pings.check(websocket.ping_interval.is_some() || rooms.broadcast)?;
        if websocket.ping_timeout.is_some() && websocket.ping_interval.is_none() && !rooms.broadcast {
            return Err(Error::usage_hint(
                "--ping-interval is required with --ping-timeout: without it no ping is sent",
                "for example --ping-interval 30 --ping-timeout 60",
            ));
        }
        let expects = scripting.expects();
        if time_limits.within.is_some() && direction.replies.is_none() && !direction.one_message && !expects {
            return Err(Error::usage_hint(
                "-1, --replies or --expect is required with --within",
                "--max-time SECONDS limits the whole run",
            ));
        }
        let (cookies, max_redirects) = (request.cookie_header(), request.redirects());
        let given = client.headers.into_iter().flat_map(|headers| headers.0).chain(cookies).collect();
        let max_message = max_message_length(&rooms, &websocket);
        let [identity, client_identity] =
            tls.identities.identities(tls.cert.zip(tls.key), tls.client_cert.zip(tls.client_key))?;
        let close = Close {
            code: websocket.close_status_code.unwrap_or(1000),
            reason: websocket.close_reason.unwrap_or_default(),
        };
        let history = history(&rooms);
        let cluster = cluster.options(rooms.broadcast, history.map(|history| history.lifetime))?;
        let slow_timeout = Some(rooms.slow_timeout).filter(|timeout| !timeout.is_zero());
        let reconnect_delay = Duration::from_millis(reconnecting.autoreconnect_delay_millis).max(MIN_RECONNECT_DELAY);
        let reloads = Reloads::default();
        let kind = match (framing.text, framing.binary) {
            (true, _) => Some(Kind::Text),
            (_, true) => Some(Kind::Binary),
            _ => None,
        };
        let within = Some(time_limits.within.unwrap_or(REPLIES_WITHIN)).filter(|limit| !limit.is_zero());
        let (is_scripted, json) = (scripting.is_scripted(), scripting.json_in);
        let secrets = |path: PathBuf| reloads.read(vec![path.clone()], move || Secrets::read(&path));
        Ok(Self {
            session: SessionOptions {
                directions: match (direction.forward_only, direction.reverse_only) {
                    (true, true) => Directions::Neither,
                    (true, false) => Directions::Forward,
                    (false, true) => Directions::Back,
                    (false, false) => Directions::Both,
                },
                after_eof: match (direction.exit_on_eof, direction.no_close) {
                    (true, _) => AfterEof::End,
                    // Nothing is received with -u, so there is nothing to wait for.
                    (_, true) if direction.forward_only => AfterEof::End,
                    (_, true) => AfterEof::KeepOpen,
                    _ => AfterEof::Close,
                },
                metrics: rooms.metrics.as_ref().filter(|_| !rooms.broadcast).map(|_| Arc::default()),
                max_sent: direction.one_message.then_some(1),
                max_messages: [messages.max_messages, messages.max_messages_rev],
                replies: match direction.replies {
                    Some(number) => Replies::Exactly(number),
                    None if direction.one_message => Replies::One,
                    None => Replies::Any,
                },
                within,
                linger: if wscat.limits_wait() { Duration::ZERO } else { time_limits.linger },
                reply_wait: if wscat.limits_wait() { Duration::ZERO } else { time_limits.reply_wait },
                close_timeout: time_limits.close_timeout,
                close_code: close.code,
                grace: time_limits.grace,
            },
            framing: FramingOptions {
                kind,
                separator: Separator {
                    byte: if framing.null_terminated { 0 } else { lines.separator.unwrap_or(b'\n') },
                    count: lines.separator_n,
                },
                by_lines: json || payload.base64 || payload.base64_text,
                json,
                length_prefix: length_prefixed.options(),
                one_line: lines.one_line,
                max_length: max_message,
            },
            messages: messages.options(),
            scripting: scripting.options(kind, within, max_message)?,
            payload: payload.options(max_message),
            client: ClientOptions {
                headers: client_headers(given, request.origin, request.ua, request.websocket_version),
                protocols: offered(client.protocols),
                basic_auth: basic_auth(handshake.basic_auth, handshake.basic_auth_file.as_deref())?,
                ws_c_uri: handshake.ws_c_uri,
                forward_headers: request.forward_headers,
                max_redirects,
            },
            execute: wscat.executed(),
            proxy: proxy.into(),
            server: ServerOptions {
                oneshot: serving.oneshot,
                threads: serving.threads,
                conncap: serving.conncap,
                max_per_address: serving.max_per_address.filter(|_| !rooms.broadcast),
                max_lifetime: serving.max_lifetime.filter(|limit| !limit.is_zero()),
                max_memory: serving.max_memory,
                announce: serving.stdout_announce_listening_ports,
                unlink: serving.unlink,
                unix_mode: serving.chmod,
                accept_from_fd: serving.accept_from_fd,
                protocol: serving.server_protocol,
                headers: serving.server_headers,
                max_url_length: serving.max_url_length,
                max_header_length: serving.max_header_length,
                restrict_uri: serving.restrict_uri,
                files: serving.static_files,
                metrics: rooms.metrics.clone().filter(|_| !rooms.broadcast),
                static_directory: serving.staticdir,
                access: AccessOptions {
                    origins: serving.allow_origins,
                    same_origin: serving.same_origin,
                    basic_auth: serving.require_basic_auth.map(secrets).transpose()?,
                    tokens: serving.require_token.map(secrets).transpose()?,
                    trusted_proxies: serving.trusted_proxies,
                },
                room_prefix: rooms.room_prefix,
                healthz: rooms.broadcast.then(Arc::default),
            },
            rooms: rooms.broadcast.then_some(RoomOptions {
                echo: !rooms.no_echo,
                slow: rooms.slow,
                backlog: rooms.backlog.unwrap_or(ROOM_BACKLOG),
                slow_timeout,
                max_rooms: rooms.max_rooms,
                max_per_room: rooms.max_per_room,
                max_per_address: serving.max_per_address,
                metrics: rooms.metrics,
                history,
                cluster,
            }),
            websocket: WebSocketOptions {
                ping_interval: websocket
                    .ping_interval
                    .or(rooms.broadcast.then_some(ROOM_PING_INTERVAL))
                    .filter(|every| !every.is_zero()),
                max_pings: pings.max_sent_pings,
                max_pongs: pings.inhibit_pongs,
                logs_round_trips: pings.print_ping_rtts,
                ping_timeout: websocket.ping_timeout.or(rooms.broadcast.then_some(ROOM_PING_TIMEOUT)),
                close,
                limits: WebSocketConfig::default()
                    .max_message_size(Some(max_message))
                    .max_frame_size(Some(websocket.max_ws_frame_length)),
                message_timeout: Some(websocket.message_timeout).filter(|limit| !limit.is_zero()),
                slash: wscat.slash,
                shows_control: wscat.show_ping_pong,
                deflate: DeflateOptions {
                    offer: match websocket.deflate {
                        DeflateMode::Off => Offer::Never,
                        DeflateMode::Auto => Offer::Optional,
                        DeflateMode::On => Offer::Required,
                    },
                    accepts: match websocket.deflate {
                        DeflateMode::Off => false,
                        // Room servers compress only with `--deflate on`.
                        DeflateMode::Auto => !rooms.broadcast,
                        DeflateMode::On => true,
                    },
                    level: websocket.deflate_level,
                    window_bits: websocket.deflate_window_bits,
                    // In rooms each message is compressed once for all members, so it cannot depend on earlier messages.
                    no_context: websocket.deflate_no_context_takeover || rooms.broadcast,
                    threshold: websocket.deflate_threshold,
                },
            },
            tls: TlsOptions {
                client: client_identity.or_else(|| identity.clone()),
                server: match identity {
                    Some(identity) => ServerCertificate::Files(identity),
                    None if tls.self_signed => ServerCertificate::SelfSigned,
                    None => ServerCertificate::Missing,
                },
                trust: match tls.cacert {
                    _ if tls.insecure => Trust::AnyCertificate,
                    Some(path) => Trust::File(path),
                    None => Trust::System,
                },
                domain: tls.tls_domain,
                client_ca: tls.client_ca,
            },
            reloads,
            http_request: http_request.into(),
            udp: udp.try_into()?,
            programs: programs.into(),
            terminal: terminal.options(wscat.no_color, is_scripted),
            reuse: ReuseOptions { backlog: rooms.backlog.unwrap_or(REUSE_BACKLOG), slow_timeout },
            reconnect_delay,
            max_retries: reconnecting.retry,
            max_reconnect_delay: Duration::from_millis(reconnecting.autoreconnect_max_delay_millis)
                .max(reconnect_delay),
            connect_timeout: time_limits.connect_timeout,
            max_time: time_limits.max_time,
        })
    }
}

/// What is kept for members that join. It fits into a backlog, and the longest message into it by default.
fn history(rooms: &RoomArgs) -> Option<HistoryOptions> {
    rooms.history.map(|messages| HistoryOptions {
        messages: messages.into(),
        bytes: rooms.backlog.unwrap_or(ROOM_BACKLOG) / HISTORY_PART,
        lifetime: rooms.history_ttl,
    })
}

/// The longest message that is taken.
fn max_message_length(rooms: &RoomArgs, websocket: &WebSocketArgs) -> usize {
    let default = match rooms.broadcast {
        true => rooms.backlog.unwrap_or(ROOM_BACKLOG).div_ceil(BACKLOG_PART),
        false => MAX_MESSAGE,
    };
    websocket.max_ws_message_length.unwrap_or(MAX_MESSAGE.min(default))
}

/// The subprotocols of every `--protocol`, each once, as RFC 6455 section 4.1 requires.
fn offered(given: Vec<Subprotocols>) -> Vec<HeaderValue> {
    let mut all: Vec<HeaderValue> = Vec::new();
    for protocol in given.into_iter().flat_map(|protocols| protocols.0) {
        if !all.contains(&protocol) {
            all.push(protocol);
        }
    }
    all
}

/// The credentials of `--basic-auth`, `--basic-auth-file` or `WEBSOCAT_BASIC_AUTH`.
fn basic_auth(given: Option<BasicAuth>, file: Option<&Path>) -> Result<Option<BasicAuth>, Error> {
    let (text, origin) = match (given, file) {
        (Some(given), _) => return Ok(Some(given)),
        (None, Some(path)) => {
            let read = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
            (read.map_err(Error::Setup)?, path.display().to_string())
        }
        (None, None) => match env::var("WEBSOCAT_BASIC_AUTH") {
            Ok(text) => (text, "WEBSOCAT_BASIC_AUTH".into()),
            Err(_) => return Ok(None),
        },
    };
    // An editor ends a file with a newline.
    let parsed = values::basic_auth(text.trim());
    parsed.map(Some).map_err(|reason| Error::usage(format!("invalid credentials in {origin}: {reason}")))
}

/// The headers of `-H`, and those of `--origin`, `--ua` and `--websocket-version` unless `-H` sets them.
fn client_headers(
    given: Vec<(HeaderName, HeaderValue)>,
    origin: Option<HeaderValue>,
    ua: Option<HeaderValue>,
    version: Option<u8>,
) -> Vec<(HeaderName, HeaderValue)> {
    let version = version.map(|number| HeaderValue::from(u16::from(number)));
    let named = [(header::ORIGIN, origin), (header::USER_AGENT, ua), (header::SEC_WEBSOCKET_VERSION, version)];
    let mut all: Vec<_> = named.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    all.retain(|(name, _)| !given.iter().any(|(other, _)| other == name));
    all.extend(given);
    all
}

#[cfg(test)]
mod tests {
    use super::super::Parsed;
    use super::*;

    #[test]
    fn room_options_have_the_defaults_of_the_command_line() {
        let Ok(Parsed::Run(cli)) = Cli::parse_args(["wsplice", "--broadcast"].map(Into::into)) else {
            panic!("not a run")
        };
        let config = cli.into_config().expect("a configuration");
        assert_eq!(config.rooms, Some(RoomOptions::default()));
        let limits = &config.websocket.limits;
        let defaults = WebSocketOptions::default().limits;
        assert_eq!(limits.max_message_size, Some(RoomOptions::default().backlog / BACKLOG_PART));
        assert_eq!(limits.max_frame_size, defaults.max_frame_size);
        assert_eq!(config.websocket.message_timeout, WebSocketOptions::default().message_timeout);
    }
}
