//! Access control for listeners: origins, passwords, tokens, and the client addresses that trusted proxies report. No I/O,
//! except in [`Secrets::read`].

use crate::{error::Error, reload::Reloadable};
use anyhow::Context;
use base64::{Engine, prelude::BASE64_STANDARD};
use hyper::{
    HeaderMap,
    header::{self, HeaderValue},
};
use ipnet::IpNet;
use ring::digest;
use std::{
    borrow::Cow,
    fs,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
};
use subtle::{Choice, ConstantTimeEq};
use url::Url;

/// Passwords or tokens from a file. Only their hashes are kept, which all have one length, so that a comparison takes constant
/// time.
pub struct Secrets(Vec<digest::Digest>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

impl Secrets {
    /// Reads a file with one secret per line. Skips empty lines and lines that start with `#`.
    ///
    /// # Errors
    /// [`Error::Setup`] if the file cannot be read or has no secrets.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path)
            .map_err(|error| anyhow::anyhow!("{}", crate::error::io_message(&error)))
            .with_context(|| format!("cannot read {}", path.display()))
            .map_err(Error::Setup)?;
        let hashes: Vec<_> = text
            .lines()
            .map(str::trim_end)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| digest::digest(&digest::SHA256, line.as_bytes()))
            .collect();
        if hashes.is_empty() {
            return Err(Error::Setup(anyhow::anyhow!("{} has no entries; write one per line", path.display())));
        }
        Ok(Self(hashes))
    }

    /// A single secret, of no file.
    #[cfg(any(fuzzing, test))]
    pub fn one(secret: &str) -> Arc<Reloadable<Self>> {
        Arc::new(Self(vec![digest::digest(&digest::SHA256, secret.as_bytes())]).into())
    }

    /// Whether `given` is one of them. Always compares it with all of them.
    fn contains(&self, given: &[u8]) -> bool {
        let given = digest::digest(&digest::SHA256, given);
        let found = self.0.iter().fold(Choice::from(0), |found, known| found | known.as_ref().ct_eq(given.as_ref()));
        found.into()
    }
}

/// A user name and a password as the value of an `Authorization` header (RFC 7617). It has no `Debug`, so that it cannot be
/// logged.
#[derive(Clone)]
pub struct BasicAuth(HeaderValue);

impl BasicAuth {
    /// Encodes `user:password`.
    pub fn new(user_and_password: &str) -> Self {
        let encoded = format!("Basic {}", BASE64_STANDARD.encode(user_and_password));
        // Always valid: base64 consists of visible ASCII characters.
        let mut value = HeaderValue::from_str(&encoded).unwrap_or(HeaderValue::from_static(""));
        value.set_sensitive(true);
        Self(value)
    }

    /// The header's value.
    pub fn header_value(&self) -> &HeaderValue {
        &self.0
    }
}

/// Which clients a listener accepts.
#[derive(Clone, Debug, Default)]
pub struct AccessOptions {
    /// Accepted `Origin` headers; empty: all. Requests without the header are accepted, since they do not come from browsers.
    pub origins: Vec<String>,
    /// Whether the origin must have the host and port of the `Host` header.
    pub same_origin: bool,
    /// Accepted `user:password` pairs for Basic authentication.
    pub basic_auth: Option<Arc<Reloadable<Secrets>>>,
    /// Accepted bearer tokens.
    pub tokens: Option<Arc<Reloadable<Secrets>>>,
    /// Networks of proxies whose `X-Forwarded-For` header is trusted.
    pub trusted_proxies: Vec<IpNet>,
}

/// Why a client is rejected.
#[derive(Debug, PartialEq, Eq)]
pub enum AccessDenied {
    /// Its origin is not accepted: 403.
    Origin,
    /// Its credentials are missing or wrong: 401, with this `WWW-Authenticate` header.
    Credentials(&'static str),
}

impl AccessOptions {
    /// Checks the headers and the query of an opening handshake.
    ///
    /// # Errors
    /// If the client is rejected.
    pub fn check(&self, headers: &HeaderMap, query: Option<&str>) -> Result<(), AccessDenied> {
        let origin = headers.get(header::ORIGIN).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        if let Some(origin) = origin {
            let is_listed = self.origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(&origin));
            let is_same = self.same_origin && is_same_host(&origin, headers);
            if (self.same_origin || !self.origins.is_empty()) && !is_listed && !is_same {
                return Err(AccessDenied::Origin);
            }
        }
        if let Some(known) = &self.basic_auth {
            let given = credentials(headers, "basic").and_then(|value| BASE64_STANDARD.decode(value).ok());
            if !given.is_some_and(|given| known.current().contains(&given)) {
                return Err(AccessDenied::Credentials("Basic realm=\"wsplice\", charset=\"UTF-8\""));
            }
        }
        if let Some(known) = &self.tokens {
            let given = credentials(headers, "bearer").or_else(|| query.and_then(token_of_query));
            if !given.is_some_and(|given| known.current().contains(given.as_bytes())) {
                return Err(AccessDenied::Credentials("Bearer"));
            }
        }
        Ok(())
    }

    /// The address of the client: behind trusted proxies the last address in `X-Forwarded-For` that is not a trusted proxy.
    /// Each proxy appends the address of its peer, so addresses before that one can be forged.
    pub fn client_behind(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        let trusts = |address: IpAddr| self.trusted_proxies.iter().any(|net| net.contains(&address));
        let peer = peer.map(|peer| peer.to_canonical());
        // A peer without an address is connected over a unix socket, so it is a proxy on the same machine.
        let mut client = peer;
        if self.trusted_proxies.is_empty() || peer.is_some_and(|peer| !trusts(peer)) {
            return client;
        }
        // Split the bytes, not a string: invalid bytes from a client must not hide the address that a proxy appended.
        let lines = headers.get_all("x-forwarded-for").into_iter().map(|line| line.as_bytes());
        let hops: Vec<_> = lines.flat_map(|line| line.split(|byte| *byte == b',')).collect();
        for hop in hops.iter().rev() {
            let Some(address) = address_of(str::from_utf8(hop).unwrap_or_default().trim()) else { break };
            client = Some(address);
            if !trusts(address) {
                break;
            }
        }
        client
    }

    /// The room for a request target: the target without the access token. With the token, each client would get a room of its
    /// own.
    pub fn room<'a>(&self, target: &'a str) -> Cow<'a, str> {
        match (target.split_once('?'), &self.tokens) {
            (Some((path, query)), Some(_)) => {
                let kept: Vec<_> = query.split('&').filter(|part| !part.starts_with(TOKEN_PARAMETER)).collect();
                if kept.is_empty() { path.into() } else { format!("{path}?{}", kept.join("&")).into() }
            }
            _ => target.into(),
        }
    }
}

/// Parses an address in `X-Forwarded-For`: `192.0.2.1`, `2001:db8::1`, `[2001:db8::1]`, or one of them with a port.
fn address_of(hop: &str) -> Option<IpAddr> {
    let with_port = || hop.parse::<SocketAddr>().map(|at| at.ip());
    let address = hop.trim_matches(['[', ']']).parse().or_else(|_| with_port()).ok()?;
    Some(IpAddr::to_canonical(&address))
}

/// RFC 6750 section 2.3. Browsers need it, since their WebSocket API cannot set headers.
const TOKEN_PARAMETER: &str = "access_token=";

/// Replaces the passwords of URLs and the access tokens in a text that is shown: a line of a log, an error, a plan.
pub fn without_secrets(text: &str) -> String {
    without_token(&without_passwords(text))
}

/// Replaces the passwords of URLs: `ws://user:…@host`.
fn without_passwords(text: &str) -> String {
    const SCHEME_END: &str = "://";
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(SCHEME_END) {
        let (before, behind) = rest.split_at(at + SCHEME_END.len());
        shown.push_str(before);
        rest = behind;
        let is_outside = |letter: char| letter.is_whitespace() || "\"<>`".contains(letter);
        let word = rest.split(is_outside).next().unwrap_or_default();
        let authority = word.split(['/', '?', '#']).next().unwrap_or_default();
        // A password may contain a slash that is not encoded. Then what seems to be a port is not a number.
        let is_port = |port: &str| port.ends_with(']') || port.bytes().all(|byte| byte.is_ascii_digit());
        let end = match authority.rsplit_once(':') {
            Some((_, port)) if !authority.contains('@') && !is_port(port) => word.rfind('@'),
            _ => authority.rfind('@'),
        };
        if let Some((login, host)) = end.and_then(|end| rest.split_at_checked(end))
            && let Some((user, _)) = login.split_once(':')
        {
            shown.extend([user, ":…"]);
            rest = host;
        }
    }
    shown.push_str(rest);
    shown
}

/// Replaces access tokens in a text that may contain request targets, so that it can be logged.
pub fn without_token(text: &str) -> String {
    let mut parts = text.split(TOKEN_PARAMETER);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // A token ends at the end of the parameter or of the URL.
        let ends = |letter: char| letter.is_whitespace() || "&#\"'<>,;".contains(letter);
        let end = part.find(ends).unwrap_or(part.len());
        shown.push_str(TOKEN_PARAMETER);
        shown.push_str("(hidden)");
        shown.push_str(&part[end..]);
    }
    shown
}

pub(crate) fn token_of_query(query: &str) -> Option<String> {
    let value = query.split('&').find_map(|part| part.strip_prefix(TOKEN_PARAMETER))?;
    Some(percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned())
}

fn credentials(headers: &HeaderMap, scheme: &str) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (given, credentials) = value.split_once(' ')?;
    given.eq_ignore_ascii_case(scheme).then(|| credentials.trim().to_owned())
}

/// Whether an origin is the host and port of the `Host` header.
fn is_same_host(origin: &str, headers: &HeaderMap) -> bool {
    let Ok(origin) = Url::parse(origin) else { return false };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let Ok(asked) = Url::parse(&format!("{}://{host}", origin.scheme())) else { return false };
    origin.host().is_some()
        && origin.host() == asked.host()
        && origin.port_or_known_default() == asked.port_or_known_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderName;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value")))
            .collect()
    }

    fn secrets(text: &str) -> Option<Arc<Reloadable<Secrets>>> {
        Some(Secrets::one(text))
    }

    #[test]
    fn an_origin_must_be_listed_or_the_same_host() {
        let options =
            AccessOptions { origins: vec!["https://a.example".into()], same_origin: true, ..AccessOptions::default() };
        let check = |origin: &str| options.check(&headers(&[("host", "b.example:8080"), ("origin", origin)]), None);
        assert_eq!(check("https://a.example"), Ok(()));
        assert_eq!(check("http://b.example:8080"), Ok(()));
        assert_eq!(check("http://b.example"), Err(AccessDenied::Origin));
        assert_eq!(check("null"), Err(AccessDenied::Origin));
        assert_eq!(options.check(&headers(&[]), None), Ok(()), "not a browser");
    }

    #[test]
    fn passwords_and_tokens_are_checked_whole() {
        let basic = AccessOptions { basic_auth: secrets("me:pass:word"), ..AccessOptions::default() };
        let with = |text: &str| headers(&[("authorization", &format!("basic {}", BASE64_STANDARD.encode(text)))]);
        assert_eq!(basic.check(&with("me:pass:word"), None), Ok(()));
        assert!(basic.check(&with("me:pass"), None).is_err());
        assert!(basic.check(&headers(&[]), None).is_err());
        let tokens = AccessOptions { tokens: secrets("s3cret+"), ..AccessOptions::default() };
        assert_eq!(tokens.check(&headers(&[("authorization", "Bearer s3cret+")]), None), Ok(()));
        assert_eq!(tokens.check(&headers(&[]), Some("a=b&access_token=s3cret%2B")), Ok(()));
        assert!(tokens.check(&headers(&[]), Some("access_token=")).is_err());
    }

    #[test]
    fn a_token_in_the_query_is_not_part_of_the_room() {
        let tokens = AccessOptions { tokens: secrets("x"), ..AccessOptions::default() };
        assert_eq!(tokens.room("/a?access_token=x"), "/a");
        assert_eq!(tokens.room("/a?b=1&access_token=x&c"), "/a?b=1&c");
        assert_eq!(AccessOptions::default().room("/a?access_token=x"), "/a?access_token=x");
    }

    #[test]
    fn tokens_are_hidden_in_any_position() {
        for (text, shown) in [
            ("/a?b=1&access_token=secret", "/a?b=1&access_token=(hidden)"),
            ("/a?access_token=secret&b", "/a?access_token=(hidden)&b"),
            ("https://a.example/?access_token=s#x", "https://a.example/?access_token=(hidden)#x"),
            ("<a?access_token=s>, <b?access_token=t>", "<a?access_token=(hidden)>, <b?access_token=(hidden)>"),
            ("/a?access_token=", "/a?access_token=(hidden)"),
            ("/a?b=1", "/a?b=1"),
        ] {
            assert_eq!(without_token(text), shown);
        }
    }

    #[test]
    fn passwords_of_urls_are_hidden() {
        for (text, shown) in [
            ("ws://me:secret@h/", "ws://me:…@h/"),
            ("`http://me:a@b:c@h:99999/x@y`: bad", "`http://me:…@h:99999/x@y`: bad"),
            ("ws://me:se/cr?et@h", "ws://me:…@h"),
            ("reuse:ws://:secret@h", "reuse:ws://:…@h"),
            ("ws://a:80/ to wss://b:c@d?access_token=t", "ws://a:80/ to wss://b:…@d?access_token=(hidden)"),
            ("ws://me@h:80/a:b@c", "ws://me@h:80/a:b@c"),
            ("ws://[::1]/a@b ws://[::1]:80/a@b", "ws://[::1]/a@b ws://[::1]:80/a@b"),
            ("://", "://"),
        ] {
            assert_eq!(without_secrets(text), shown);
            assert_eq!(without_secrets(shown), shown, "a second time changes nothing");
        }
    }

    #[test]
    fn only_addresses_that_trusted_proxies_append_are_used() {
        let net = |text: &str| text.parse().expect("a network");
        let options = AccessOptions { trusted_proxies: vec![net("10.0.0.0/8")], ..AccessOptions::default() };
        let ip = |text: &str| Some(text.parse::<IpAddr>().expect("an address"));
        let forged = headers(&[("x-forwarded-for", "1.1.1.1, 2.2.2.2, 10.0.0.9")]);
        assert_eq!(options.client_behind(ip("10.0.0.1"), &forged), ip("2.2.2.2"));
        assert_eq!(options.client_behind(ip("3.3.3.3"), &forged), ip("3.3.3.3"));
        assert_eq!(options.client_behind(ip("10.0.0.1"), &headers(&[])), ip("10.0.0.1"));
        assert_eq!(options.client_behind(ip("::ffff:10.0.0.1"), &forged), ip("2.2.2.2"));
        for (hop, address) in [
            ("1.2.3.4:567", "1.2.3.4"),
            ("[::1]:80", "::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[::ffff:1.2.3.4]:80", "1.2.3.4"),
        ] {
            assert_eq!(
                options.client_behind(ip("10.0.0.1"), &headers(&[("x-forwarded-for", hop)])),
                ip(address),
                "{hop}"
            );
        }
        let mut garbage = HeaderMap::new();
        garbage.insert("x-forwarded-for", HeaderValue::from_bytes(b"\xff, 9.9.9.9").expect("a value"));
        assert_eq!(options.client_behind(ip("10.0.0.1"), &garbage), ip("9.9.9.9"));
    }
}
