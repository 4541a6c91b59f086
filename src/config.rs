//! What the options mean.

use crate::{
    access::{AccessOptions, BasicAuth},
    framing::FramingOptions,
    net::{HostPort, WebSocketUrl},
    tls::TlsOptions,
    ws::WebSocketOptions,
};
use hyper::header::{HeaderName, HeaderValue};
use std::{ffi::OsString, path::PathBuf, time::Duration};

/// Everything that a run depends on besides its addresses.
pub struct Config {
    /// When sessions end.
    pub session: SessionOptions,
    /// How bytes become messages.
    pub framing: FramingOptions,
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
}

/// Which directions a session has and when it ends.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Which way messages are copied.
    pub directions: Directions,
    /// What follows the end of an end's input.
    pub after_eof: AfterEof,
    /// `-1`: how many messages ADDR1 may send.
    pub max_sent: Option<u64>,
    /// Whether a number of messages from ADDR2 ends the session.
    pub replies: Replies,
    /// `--linger`.
    pub linger: Duration,
    /// `--close-timeout`.
    pub close_timeout: Duration,
    /// `--grace`.
    pub grace: Duration,
}

/// Which way messages are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directions {
    /// Both ways.
    Both,
    /// `-u`: from ADDR1 to ADDR2.
    Forward,
    /// `-U`: from ADDR2 to ADDR1.
    Back,
}

impl Directions {
    /// Whether messages are copied from ADDR1 to ADDR2, and from ADDR2 to ADDR1.
    pub fn copied(self) -> [bool; 2] {
        [self != Self::Back, self != Self::Forward]
    }
}

/// What follows the end of an end's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterEof {
    /// Replies are waited for, then the connection is closed.
    Close,
    /// `-E`: the session ends.
    End,
    /// `-n`: no close frame is sent.
    KeepOpen,
}

/// How many messages of ADDR2 end the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replies {
    /// No number does.
    Any,
    /// `-1`: one does; none is fine too.
    One,
    /// `--replies N`: so many do; fewer are an error.
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

/// The upgrade request.
pub struct ClientOptions {
    /// In the order given; they replace headers of ours with the same name.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The subprotocols that are offered, in order of preference.
    pub protocols: Vec<HeaderValue>,
    /// `Authorization`.
    pub basic_auth: Option<BasicAuth>,
    /// What `ws-c:` requests.
    pub ws_c_uri: WebSocketUrl,
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
    pub protocol: Option<HeaderValue>,
    /// Added to every response.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The only path where WebSockets are accepted.
    pub restrict_uri: Option<RequestPath>,
    /// Files for plain requests.
    pub files: Vec<StaticFile>,
    /// Who may enter.
    pub access: AccessOptions,
    /// The path that every room's target begins with.
    pub room_prefix: Option<RequestPath>,
    /// Whether `GET /healthz` is answered.
    pub healthz: bool,
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

/// The room server.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Where metrics are served.
    pub metrics: Option<HostPort>,
}

impl Default for RoomOptions {
    /// What `--broadcast` means without other options.
    fn default() -> Self {
        Self {
            echo: true,
            slow: SlowPolicy::Disconnect,
            backlog: 16 << 20,
            max_rooms: None,
            max_per_room: None,
            max_per_address: None,
            metrics: None,
        }
    }
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

/// The path of a request; it begins with a slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestPath(String);

impl RequestPath {
    /// Checks that it begins with a slash.
    ///
    /// # Errors
    /// The path as it should be written.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with('/') { Ok(Self(text.into())) } else { Err(format!("must start with a slash: /{text}")) }
    }

    /// Whether a request's path is this one.
    pub fn matches(&self, path: &str) -> bool {
        self.0 == path
    }

    /// Whether a request's path is this one or below it: `/rooms` holds `/rooms` and `/rooms/a`, but not `/rooms-b`.
    pub fn contains(&self, path: &str) -> bool {
        let rest = path.strip_prefix(self.0.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.starts_with('/') || (rest.is_empty() && !self.0.ends_with('/')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_holds_itself_and_what_is_below() {
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
