//! Which engine, and what happens without it.

use crate::net::HostPort;
use std::{fmt, path::PathBuf, time::Duration};
use url::{Host, Url};

/// Options of a node (`--cluster`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterOptions {
    /// The engine.
    pub engine: EngineUrl,
    /// Nodes with the same name share their rooms. All keys or subjects at the engine begin with it.
    pub name: String,
    /// CA certificates to trust for the engine (PEM); `None`: those of the system.
    pub ca: Option<PathBuf>,
    /// Maximum time without the engine in which members stay connected.
    pub wait: Duration,
    /// What happens after that.
    pub when_down: WhenDown,
    /// The engine keeps the last publications of a room for this long after the last of them.
    pub kept: Duration,
}

/// What happens when the engine has been away for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenDown {
    /// Members are closed with code 1013, and new ones are refused.
    Close,
    /// Each node serves its members alone, and closes them with code 1012 when the engine is back.
    Local,
}

/// The kinds of engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// Redis, or a server that speaks its protocol.
    Redis,
    /// NATS with JetStream.
    Nats,
}

/// A user and a password. Their `Debug` shows neither.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user, unless there is only a password or a token.
    pub user: Option<String>,
    /// The password or the token.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

impl Credentials {
    /// Parses `USER:PASSWORD`, or a password or token alone.
    pub fn parse(text: &str) -> Self {
        match text.split_once(':') {
            Some((user, password)) => {
                Self { user: Some(user.to_owned()).filter(|user| !user.is_empty()), password: password.to_owned() }
            }
            None => Self { user: None, password: text.to_owned() },
        }
    }
}

/// The address of an engine. It is displayed without its credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineUrl {
    /// Which engine.
    pub kind: EngineKind,
    /// Whether the connection is encrypted from its first byte.
    pub tls: bool,
    /// Where.
    pub at: HostPort,
    /// From the URL, or from `--cluster-auth`.
    pub credentials: Option<Credentials>,
    /// The number of the database, if the path of the URL names one (Redis).
    pub database: Option<u32>,
}

impl EngineUrl {
    /// Parses `redis://`, `rediss://`, `nats://` or `tls://`, with `[[USER]:PASSWORD@]HOST[:PORT]`, and for Redis `[/DATABASE]`.
    ///
    /// # Errors
    /// A message that says what is wrong, without the credentials.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some((scheme, _)) = text.split_once("://") else {
            return Err("expected a URL, such as redis://127.0.0.1:6379".into());
        };
        let (kind, tls, port) = match scheme {
            "redis" => (EngineKind::Redis, false, 6379),
            "rediss" => (EngineKind::Redis, true, 6379),
            "nats" => (EngineKind::Nats, false, 4222),
            "tls" => (EngineKind::Nats, true, 4222),
            _ => return Err("the scheme must be redis, rediss, nats or tls".into()),
        };
        let url = Url::parse(text).map_err(|error| format!("not a valid URL: {error}"))?;
        let host = match url.host() {
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(host) if !host.to_string().is_empty() => host.to_string(),
            _ => return Err("the host is missing".into()),
        };
        if url.query().is_some() || url.fragment().is_some() {
            return Err("a query or a fragment has no meaning here".into());
        }
        let path = url.path().trim_start_matches('/');
        let database = match (path, kind) {
            ("", _) => None,
            (number, EngineKind::Redis) => {
                Some(number.parse().map_err(|_| "the path must be the number of a database, such as /0")?)
            }
            (_, EngineKind::Nats) => return Err("a path has no meaning here".into()),
        };
        let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let user = Some(decode(url.username())).filter(|user| !user.is_empty());
        let credentials = match (user, url.password().map(decode)) {
            (user, Some(password)) => Some(Credentials { user, password }),
            // A token of NATS stands alone.
            (Some(token), None) => Some(Credentials { user: None, password: token }),
            (None, None) => None,
        };
        Ok(Self { kind, tls, at: HostPort { host, port: url.port().unwrap_or(port) }, credentials, database })
    }
}

impl fmt::Display for EngineUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match (self.kind, self.tls) {
            (EngineKind::Redis, false) => "redis",
            (EngineKind::Redis, true) => "rediss",
            (EngineKind::Nats, false) => "nats",
            (EngineKind::Nats, true) => "tls",
        };
        write!(f, "{scheme}://{}", self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_s_url_has_a_default_port_and_hides_its_password() {
        let url = EngineUrl::parse("redis://:se%20cret@[::1]/3").expect("a URL");
        assert_eq!(url.to_string(), "redis://[::1]:6379");
        assert_eq!(url.credentials, Some(Credentials { user: None, password: "se cret".into() }));
        assert_eq!(url.database, Some(3));
        let url = EngineUrl::parse("tls://token@nats.example").expect("a URL");
        assert_eq!((url.tls, url.to_string()), (true, "tls://nats.example:4222".into()));
        assert_eq!(url.credentials, Some(Credentials { user: None, password: "token".into() }));
        for wrong in [
            "redis",
            "http://host",
            "redis://",
            "redis://host/name",
            "nats://host/1",
            "redis://host:99999",
            "redis://h?x",
        ] {
            assert!(EngineUrl::parse(wrong).is_err(), "{wrong}");
        }
    }
}
