//! Who may enter: origins, passwords, tokens, and whom a proxy speaks for. Pure, except for [`Secrets::read`].

use crate::error::Error;
use anyhow::Context;
use base64::{Engine, prelude::BASE64_STANDARD};
use hyper::{
    HeaderMap,
    header::{self, HeaderValue},
};
use ipnet::IpNet;
use ring::digest;
use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::Path,
};
use subtle::{Choice, ConstantTimeEq};
use url::Url;

/// Passwords or tokens, one a line of a file. Only their hashes are kept, so that they have one length and comparing them
/// takes the same time whatever was guessed.
#[derive(Clone)]
pub struct Secrets(Vec<digest::Digest>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

impl Secrets {
    /// Reads a file: a secret a line; empty lines and those that start with # do not count.
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

    /// One that is known beforehand.
    #[cfg(any(fuzzing, test))]
    pub fn one(secret: &str) -> Self {
        Self(vec![digest::digest(&digest::SHA256, secret.as_bytes())])
    }

    /// Whether one of them was given. Looks at all of them in any case.
    fn contains(&self, given: &[u8]) -> bool {
        let given = digest::digest(&digest::SHA256, given);
        let found = self.0.iter().fold(Choice::from(0), |found, known| found | known.as_ref().ct_eq(given.as_ref()));
        found.into()
    }
}

/// A user's name and password as the value of an `Authorization` header (RFC 7617). Without `Debug`, so that it cannot be logged.
#[derive(Clone)]
pub struct BasicAuth(HeaderValue);

impl BasicAuth {
    /// From `user:password` in clear text.
    pub fn new(user_and_password: &str) -> Self {
        let encoded = format!("Basic {}", BASE64_STANDARD.encode(user_and_password));
        // Base64 has visible ASCII characters only.
        let mut value = HeaderValue::from_str(&encoded).unwrap_or(HeaderValue::from_static(""));
        value.set_sensitive(true);
        Self(value)
    }

    /// The header's value.
    pub fn header_value(&self) -> &HeaderValue {
        &self.0
    }
}

/// What a client must show.
#[derive(Clone, Debug, Default)]
pub struct AccessOptions {
    /// `Origin` headers that are let in; empty: any. A request without one is no browser's and is let in.
    pub origins: Vec<String>,
    /// The origin must be the host that was asked for.
    pub same_origin: bool,
    /// `user:password` pairs.
    pub basic_auth: Option<Secrets>,
    /// Bearer tokens.
    pub tokens: Option<Secrets>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// Why a client is not let in.
#[derive(Debug, PartialEq, Eq)]
pub enum AccessDenied {
    /// 403.
    Origin,
    /// 401, with the scheme for `WWW-Authenticate`.
    Credentials(&'static str),
}

impl AccessOptions {
    /// Decides on an upgrade request with these headers and this query.
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
            if !given.is_some_and(|given| known.contains(&given)) {
                return Err(AccessDenied::Credentials("Basic realm=\"wsplice\", charset=\"UTF-8\""));
            }
        }
        if let Some(known) = &self.tokens {
            let given = credentials(headers, "bearer").or_else(|| query.and_then(token_of_query));
            if !given.is_some_and(|given| known.contains(given.as_bytes())) {
                return Err(AccessDenied::Credentials("Bearer"));
            }
        }
        Ok(())
    }

    /// The client behind trusted proxies: the last address of `X-Forwarded-For` that is none of theirs. Each proxy
    /// appends whom it heard from, so what stands further left may be invented.
    pub fn client_behind(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        let trusts = |address: IpAddr| self.trusted_proxies.iter().any(|net| net.contains(&address));
        let peer = peer.map(|peer| peer.to_canonical());
        // A peer without an address came over a unix socket, as proxies on the same machine do.
        let mut client = peer;
        if self.trusted_proxies.is_empty() || peer.is_some_and(|peer| !trusts(peer)) {
            return client;
        }
        // Split as bytes: what a client sent to the left must not hide what a proxy has appended.
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

    /// The room that a target names: the target itself, without the token that let the client in, which would otherwise
    /// give every client a room of its own.
    pub fn room(&self, target: &str) -> String {
        match (target.split_once('?'), &self.tokens) {
            (Some((path, query)), Some(_)) => {
                let kept: Vec<_> = query.split('&').filter(|part| !part.starts_with(TOKEN_PARAMETER)).collect();
                if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) }
            }
            _ => target.to_owned(),
        }
    }
}

/// The address that a proxy names: `192.0.2.1`, `2001:db8::1`, `[2001:db8::1]`, or one of them with a port.
fn address_of(hop: &str) -> Option<IpAddr> {
    let with_port = || hop.parse::<SocketAddr>().map(|at| at.ip());
    let address = hop.trim_matches(['[', ']']).parse().or_else(|_| with_port()).ok()?;
    Some(IpAddr::to_canonical(&address))
}

/// RFC 6750 section 2.3: for browsers, whose WebSockets cannot send headers.
const TOKEN_PARAMETER: &str = "access_token=";

/// A request target, or any text that may hold one, as it may be logged.
pub fn without_token(text: &str) -> String {
    let mut parts = text.split(TOKEN_PARAMETER);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // A token ends where the parameter, or the URL, does.
        let end = part.find(['&', '#', ' ', '"', '\'', '<', '>', ',', ';']).unwrap_or(part.len());
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

    fn secrets(text: &str) -> Option<Secrets> {
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
        assert_eq!(options.check(&headers(&[]), None), Ok(()), "no browser");
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
    fn a_token_in_the_query_is_no_part_of_the_room() {
        let tokens = AccessOptions { tokens: secrets("x"), ..AccessOptions::default() };
        assert_eq!(tokens.room("/a?access_token=x"), "/a");
        assert_eq!(tokens.room("/a?b=1&access_token=x&c"), "/a?b=1&c");
        assert_eq!(AccessOptions::default().room("/a?access_token=x"), "/a?access_token=x");
    }

    #[test]
    fn tokens_are_hidden_wherever_they_stand() {
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
    fn only_a_trusted_proxy_s_word_counts_and_only_its_own() {
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
