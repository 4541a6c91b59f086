//! `HOST:PORT` of `tcp:`, `tls:` and listeners. A bare `HOST:PORT` is a WebSocket URL: see `spec` and `url`.

use std::{fmt, net::SocketAddr};

/// A host name or IP address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// A name, an IPv4 address, or an IPv6 address without its brackets.
    pub host: String,
    /// 0 to 65535; 0 asks a listener for any free port.
    pub port: u16,
}

impl HostPort {
    /// Parses `HOST:PORT` or `[IPV6]:PORT`.
    ///
    /// # Errors
    /// A message that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once("]:").ok_or("write an IPv6 address as [::1]:PORT")?,
            None => text.rsplit_once(':').ok_or("the port is missing: write HOST:PORT")?,
        };
        if host.is_empty() {
            return Err("the host is missing: write HOST:PORT".into());
        }
        if host.contains(':') && !text.starts_with('[') {
            return Err("write an IPv6 address as [::1]:PORT".into());
        }
        if host.contains(|c: char| c.is_whitespace() || c == '/') {
            return Err(format!("`{host}` is not a host name"));
        }
        let port = port.parse().map_err(|_| format!("`{port}` is not a port number (0 to 65535)"))?;
        Ok(Self { host: host.into(), port })
    }

    /// Parses the address of a listener: as [`parse`](Self::parse), or `PORT` or `:PORT` for 127.0.0.1.
    ///
    /// # Errors
    /// A message that says what is wrong.
    pub fn parse_listen(text: &str) -> Result<Self, String> {
        let port = text.strip_prefix(':').unwrap_or(text);
        // A name that lacks its port begins with a letter, an IPv4 address has dots.
        if port.starts_with(|c: char| c.is_ascii_digit() || "+-".contains(c)) && !port.contains([':', '.']) {
            return Self::parse(&format!("127.0.0.1:{port}"));
        }
        Self::parse(text)
    }
}

impl From<SocketAddr> for HostPort {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: address.port() }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_ip_versions_and_names_are_parsed() {
        for text in ["127.0.0.1:80", "[::1]:80", "example.com:0"] {
            assert_eq!(HostPort::parse(text).map(|at| at.to_string()), Ok(text.into()));
        }
    }

    #[test]
    fn errors_say_what_is_wrong() {
        for (text, part) in [
            ("host", "port is missing"),
            (":80", "host is missing"),
            ("::1:80", "[::1]:PORT"),
            ("host:99999", "not a port"),
            ("host:", "not a port"),
            ("a b:1", "not a host name"),
        ] {
            assert!(HostPort::parse(text).is_err_and(|error| error.contains(part)), "{text}");
        }
    }

    #[test]
    fn the_port_of_a_listener_is_missing_only_where_there_is_none() {
        for (text, part) in [
            ("localhost", "port is missing"),
            ("1.2.3.4", "port is missing"),
            ("80x", "`80x` is not a port"),
            ("-1", "`-1` is not a port"),
            ("99999", "`99999` is not a port"),
            (":99999", "`99999` is not a port"),
            ("localhost:x", "`x` is not a port"),
        ] {
            let parsed = HostPort::parse_listen(text);
            assert!(parsed.as_ref().is_err_and(|error| error.contains(part)), "{text}: {parsed:?}");
        }
    }

    #[test]
    fn a_listener_needs_only_a_port() {
        assert_eq!(HostPort::parse_listen("80").map(|at| at.host), Ok("127.0.0.1".into()));
        assert_eq!(HostPort::parse_listen(":80").map(|at| at.host), Ok("127.0.0.1".into()));
    }
}
