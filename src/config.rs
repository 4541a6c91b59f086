//! The configuration of a run: what the options mean.

mod http_request;
mod programs;
mod scripting;
mod terminal;

pub use http_request::HttpRequestOptions;
pub use programs::{HeaderVariable, ProgramOptions};
pub use scripting::{ExpectOptions, Expectation, ReplayOptions, ScriptingOptions};
pub use terminal::{Color, TerminalOptions, Timestamps};

use crate::{
    access::{AccessOptions, BasicAuth},
    cluster::ClusterOptions,
    framing::FramingOptions,
    metrics::SessionMetrics,
    net::{HostPort, ProxyOptions, UdpOptions, WebSocketUrl},
    payload::PayloadOptions,
    readiness::Readiness,
    reload::Reloads,
    tls::TlsOptions,
    ws::WebSocketOptions,
};
use hyper::header::{HeaderName, HeaderValue};
use std::{num::NonZeroUsize, path::PathBuf, sync::Arc, time::Duration};

/// Everything that a run depends on besides its addresses.
pub struct Config {
    /// Directions, and when sessions end.
    pub session: SessionOptions,
    /// How byte streams are split into messages.
    pub framing: FramingOptions,
    /// Overlays on messages.
    pub messages: MessageOptions,
    /// What is sent, expected, printed and recorded.
    pub scripting: ScriptingOptions,
    /// What is done to the payloads of WebSocket messages.
    pub payload: PayloadOptions,
    /// The opening handshake that clients send.
    pub client: ClientOptions,
    /// What is sent in place of standard input.
    pub execute: Option<Execute>,
    /// Proxies.
    pub proxy: ProxyOptions,
    /// Listeners.
    pub server: ServerOptions,
    /// The room server; `None` without `--broadcast`.
    pub rooms: Option<RoomOptions>,
    /// Both client and server WebSockets.
    pub websocket: WebSocketOptions,
    /// Certificates, and trusted CAs.
    pub tls: TlsOptions,
    /// What is made of files that a listener reads again on SIGHUP.
    pub reloads: Reloads,
    /// HTTP requests that are sent.
    pub http_request: HttpRequestOptions,
    /// UDP sockets.
    pub udp: UdpOptions,
    /// Programs that are run.
    pub programs: ProgramOptions,
    /// Standard input and output that are a terminal.
    pub terminal: TerminalOptions,
    /// The clients of `reuse:`.
    pub reuse: ReuseOptions,
    /// Initial reconnect delay of `autoreconnect:`.
    pub reconnect_delay: Duration,
    /// The longest one; not shorter than the initial one.
    pub max_reconnect_delay: Duration,
    /// Attempts of `autoreconnect:` in a row that may fail after the first; `None`: any number.
    pub max_retries: Option<u32>,
    /// Maximum time from the name lookup to the end of the opening handshake.
    pub connect_timeout: Duration,
    /// Maximum time for the whole run.
    pub max_time: Option<Duration>,
}

/// The directions of a session, and when it ends.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// The directions in which messages are copied.
    pub directions: Directions,
    /// What to do when one end has no more input.
    pub after_eof: AfterEof,
    /// What counts the sessions (`--metrics`).
    pub metrics: Option<Arc<SessionMetrics>>,
    /// Maximum number of messages from ADDR1 (`-1`); `None`: no maximum.
    pub max_sent: Option<u64>,
    /// Maximum number of messages to copy in each direction; further ones are dropped.
    pub max_messages: [Option<u64>; 2],
    /// The number of messages from ADDR2 that ends the session.
    pub replies: Replies,
    /// `-1` and `--replies`: maximum silence after the last message was sent; no limit without it.
    pub within: Option<Duration>,
    /// After the end of standard input: the time without a message after which the session ends.
    pub linger: Duration,
    /// The same while no message has come since the last one was sent, if it is longer.
    pub reply_wait: Duration,
    /// Maximum silence in one direction of a WebSocket session after the other direction has ended.
    pub close_timeout: Duration,
    /// The code of our close frames, unless one is passed on.
    pub close_code: u16,
    /// Maximum time for sessions to end after SIGINT or SIGTERM.
    pub grace: Duration,
}

/// `-x`: messages in place of standard input.
#[derive(Clone, Debug)]
pub struct Execute {
    /// The messages, each a line.
    pub messages: Vec<String>,
    /// Whether standard input follows.
    pub then_input: bool,
    /// How long the input stays open after the messages otherwise.
    pub silence: Duration,
}

/// The directions in which messages are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directions {
    /// Both directions.
    Both,
    /// `-u`: from ADDR1 to ADDR2.
    Forward,
    /// `-U`: from ADDR2 to ADDR1.
    Back,
    /// `-u -U`: none; the ends are opened and closed.
    Neither,
}

impl Directions {
    /// Whether messages are copied from ADDR1 to ADDR2, and from ADDR2 to ADDR1.
    pub fn copied(self) -> [bool; 2] {
        [matches!(self, Self::Both | Self::Forward), matches!(self, Self::Both | Self::Back)]
    }
}

/// What to do when one end has no more input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterEof {
    /// Wait for replies, then close the connection.
    Close,
    /// End the session (`-E`).
    End,
    /// Send no close frame (`-n`).
    KeepOpen,
}

/// The number of messages from ADDR2 that ends the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replies {
    /// Any number; it ends for another reason.
    Any,
    /// One (`-1`); it is not an error if the peer closes without one.
    One,
    /// This many (`--replies N`); fewer are an error.
    Exactly(u64),
}

impl Replies {
    /// The number that ends the session.
    pub fn enough(self) -> Option<u64> {
        match self {
            Self::Any => None,
            Self::One => Some(1),
            Self::Exactly(number) => Some(number),
        }
    }
}

/// Options of overlays on messages.
#[derive(Clone, Debug)]
pub struct MessageOptions {
    /// What is sent first to ADDR1 (`-P`) and to ADDR2 (`-p`).
    pub preamble: [Vec<String>; 2],
    /// `jsonrpc:` in front of ADDR1.
    pub jsonrpc: bool,
    /// Requests of `jsonrpc:` have the field `jsonrpc`.
    pub jsonrpc_version: bool,
    /// `timestamp:` counts from the start of the session.
    pub monotonic_timestamps: bool,
    /// `foreachmsg:` waits for replies without a limit.
    pub foreachmsg_waits: bool,
    /// The byte of `exit_on_specific_byte:`.
    pub exit_byte: u8,
    /// `reuse-raw:` sends an empty message when a session ends.
    pub reports_leaving: bool,
}

/// The opening handshake that clients send.
pub struct ClientOptions {
    /// Additional headers, in the order given; they replace default headers with the same name.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The subprotocols to offer, in order of preference.
    pub protocols: Vec<HeaderValue>,
    /// The `Authorization` header, unless the URL has credentials.
    pub basic_auth: Option<BasicAuth>,
    /// The URL that `ws-c:` requests; `None`: the root of localhost.
    pub ws_c_uri: Option<WebSocketUrl>,
    /// Headers of the request that a WebSocket listener at the other end received, which are sent, too.
    pub forward_headers: Vec<HeaderName>,
    /// How many redirects are followed.
    pub max_redirects: u16,
}

/// Options of listeners.
pub struct ServerOptions {
    /// Serve one connection, then exit.
    pub oneshot: bool,
    /// The number of threads that serve connections; `None`: one for each core that this process may use.
    pub threads: Option<NonZeroUsize>,
    /// Maximum number of concurrent connections.
    pub conncap: Option<u32>,
    /// Maximum number of connections from one address; `None` also for the room server, which counts members.
    pub max_per_address: Option<u32>,
    /// Maximum time that a connection lasts, from when it was accepted.
    pub max_lifetime: Option<Duration>,
    /// Print a `LISTEN` line on standard output when a listener is ready, as websocat does.
    pub announce: bool,
    /// Remove an existing socket at the path of a unix socket before listening.
    pub unlink: bool,
    /// The permissions of the path of a unix socket; `None`: those that the umask leaves.
    pub unix_mode: Option<u32>,
    /// The argument of a unix socket listener is the number of a descriptor.
    pub accept_from_fd: bool,
    /// The subprotocol to select if the client offers it.
    pub protocol: Option<HeaderValue>,
    /// Headers to add to every response.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The most memory that a listener holds for its clients, in bytes; by default a part of what there is.
    pub max_memory: Option<usize>,
    /// The longest request target that is accepted, in bytes; a longer one gets 414.
    pub max_url_length: usize,
    /// The longest head of a request that is read, in bytes, at least 8 KiB; a longer one gets 431.
    pub max_header_length: usize,
    /// The only path where WebSockets are accepted.
    pub restrict_uri: Option<RequestPath>,
    /// Files to serve to plain requests.
    pub files: Vec<StaticFile>,
    /// The address where the metrics of sessions are served; `None` also for the room server, which has its own.
    pub metrics: Option<HostPort>,
    /// The directory whose files are served to other plain requests.
    pub static_directory: Option<PathBuf>,
    /// Which clients are accepted.
    pub access: AccessOptions,
    /// The path at or below which rooms are served.
    pub room_prefix: Option<RequestPath>,
    /// What the health check at `/healthz` answers, if there is one.
    pub healthz: Option<Arc<Readiness>>,
}

/// `-F`: a file served at a path.
#[derive(Clone, Debug)]
pub struct StaticFile {
    /// The path of the request.
    pub uri: RequestPath,
    /// The `Content-Type`.
    pub content_type: HeaderValue,
    /// The file, read at each request.
    pub path: PathBuf,
}

/// Sessions that share one end (`reuse:`).
#[derive(Clone, Copy, Debug)]
pub struct ReuseOptions {
    /// Maximum number of bytes that are queued for one session, or for the shared end. Each message counts as at least 1 KiB.
    pub backlog: usize,
    /// The longest time in which a session whose queue is full may take nothing while others wait; no limit without it.
    pub slow_timeout: Option<Duration>,
}

/// Options of the room server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomOptions {
    /// Whether a message is also sent back to its sender.
    pub echo: bool,
    /// What to do with a member whose backlog is full.
    pub slow: SlowPolicy,
    /// Maximum number of bytes that are queued for one member.
    pub backlog: usize,
    /// The longest time in which a member may take nothing from its backlog; no limit without it.
    pub slow_timeout: Option<Duration>,
    /// Maximum number of rooms.
    pub max_rooms: Option<u32>,
    /// Maximum number of members per room.
    pub max_per_room: Option<u32>,
    /// Maximum number of members per client address.
    pub max_per_address: Option<u32>,
    /// The address where metrics are served.
    pub metrics: Option<HostPort>,
    /// What members receive that was sent before they joined; `None`: nothing.
    pub history: Option<HistoryOptions>,
    /// The other nodes; `None`: there are none.
    pub cluster: Option<ClusterOptions>,
}

/// What is kept of each room for members that join (`--history`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryOptions {
    /// Maximum number of messages, at least 1.
    pub messages: u64,
    /// Maximum number of bytes of their frames.
    pub bytes: usize,
    /// For how long they are kept after the last one.
    pub lifetime: Duration,
}

impl Default for RoomOptions {
    /// The options of `--broadcast` alone.
    fn default() -> Self {
        Self {
            echo: true,
            slow: SlowPolicy::Disconnect,
            backlog: 16 << 20,
            slow_timeout: Some(Duration::from_secs(10)),
            max_rooms: None,
            max_per_room: None,
            max_per_address: None,
            metrics: None,
            history: None,
            cluster: None,
        }
    }
}

/// What to do with a member whose backlog is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlowPolicy {
    /// Close it with code 1013.
    Disconnect,
    /// Drop the oldest messages in its backlog.
    DropOldest,
    /// Drop new messages.
    DropNewest,
    /// Pause its room until the backlog has shrunk.
    Block,
}

/// The path of a request. It starts with a slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestPath(String);

impl RequestPath {
    /// Checks that the path starts with a slash.
    ///
    /// # Errors
    /// A message with the corrected path, if it does not.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with('/') { Ok(Self(text.into())) } else { Err(format!("must start with a slash: /{text}")) }
    }

    /// Whether `path` equals this path.
    pub fn matches(&self, path: &str) -> bool {
        self.0 == path
    }

    /// Whether `path` equals this path or is below it: `/rooms` contains `/rooms` and `/rooms/a`, but not `/rooms-b`.
    pub fn contains(&self, path: &str) -> bool {
        let rest = path.strip_prefix(self.0.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.starts_with('/') || (rest.is_empty() && !self.0.ends_with('/')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_contains_itself_and_the_paths_below_it() {
        for (path, prefix, expected) in [
            ("/a", "/a", true),
            ("/a/", "/a", true),
            ("/a/b", "/a", true),
            ("/ab", "/a", false),
            ("/", "/a", false),
            ("/a", "/a/", false),
            ("/a/b", "/a/", true),
            ("/a", "/", true),
            ("/", "/", true),
        ] {
            let prefix = RequestPath::parse(prefix).expect("a path");
            assert_eq!(prefix.contains(path), expected, "{path} below {prefix:?}");
        }
    }
}
