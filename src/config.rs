//! What the options mean.

use crate::{access::AccessOptions, framing::Framing, report::Report, tls::TlsOptions, ws::WebSocketOptions};
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

/// What happens to a member for which more than `--backlog` bytes wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlowPolicy {
    /// It is closed with code 1013
    Disconnect,
    /// It misses the oldest messages
    DropOldest,
    /// It misses the newest messages
    DropNewest,
    /// Its room waits for it
    Block,
}

/// The members of a comma-separated list.
pub fn split_list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}
