//! WebSocket URLs.

use super::HostPort;
use crate::access::BasicAuth;
use hyper::{header::HeaderValue, http::uri::PathAndQuery};
use std::fmt;
use url::Url;

/// A `ws://` or `wss://` URL (RFC 6455 section 3). `Display` hides the password.
#[derive(Clone)]
pub struct WebSocketUrl {
    /// The host and port to connect to.
    pub at: HostPort,
    /// The value of the `Host` header.
    pub host: HeaderValue,
    /// Path and query; `None` if the URL has neither, not even a slash after the host.
    pub target: Option<PathAndQuery>,
    /// From `USER:PASSWORD@`.
    pub credentials: Option<BasicAuth>,
    /// A redirect from another origin led to it, so that no secrets of the options are for it.
    pub is_foreign: bool,
    /// Without user name and password.
    url: Url,
    shown: String,
}

impl WebSocketUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// A message that says what is wrong. It does not contain the URL.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| error.to_string())?;
        if !matches!(url.scheme(), "ws" | "wss") {
            return Err("the scheme must be ws or wss".into());
        }
        let (host, at) = host_of(&url)?;
        if url.fragment().is_some() {
            // RFC 6455 section 3.
            return Err("a WebSocket URL must not have a fragment; write %23 for #".into());
        }
        let has_target = text.splitn(4, '/').nth(3).is_some() || text.contains('?');
        let target = if has_target { Some(target_of(&url)?) } else { None };
        let credentials = credentials_of(&url);
        let mut public = url.clone();
        // Fails only for URLs without a host.
        let _ = (public.set_username(""), public.set_password(None));
        Ok(Self { at, host, target, credentials, is_foreign: false, url: public, shown: without_password(url) })
    }

    /// The URL of a `Location` in the response to a request for this one. The schemes http and https stand for ws and wss.
    ///
    /// # Errors
    /// A message that says what is wrong.
    pub fn redirected(&self, location: &str) -> Result<Self, String> {
        let mut url = self.url.join(location).map_err(|error| error.to_string())?;
        let scheme = match url.scheme() {
            "http" => Some("ws"),
            "https" => Some("wss"),
            _ => None,
        };
        // Never fails between these.
        let _ = scheme.map(|scheme| url.set_scheme(scheme));
        // RFC 9110 section 10.2.2 allows a fragment, which is not for the server.
        url.set_fragment(None);
        let next = Self::parse(url.as_str())?;
        let is_foreign = self.is_foreign || next.url.origin() != self.url.origin();
        let credentials = next.credentials.clone().or_else(|| self.credentials.clone().filter(|_| !is_foreign));
        Ok(Self { is_foreign, credentials, ..next.with_target() })
    }

    /// The scheme: `ws` or `wss`.
    pub fn scheme(&self) -> &str {
        self.url.scheme()
    }

    /// The same URL, with the path `/` if it has none.
    #[must_use]
    pub fn with_target(mut self) -> Self {
        self.target.get_or_insert_with(|| PathAndQuery::from_static("/"));
        self
    }

    /// The same URL, which `Display` shows as `shown`, such as the path of a unix socket.
    #[must_use]
    pub fn shown_as(mut self, shown: impl Into<String>) -> Self {
        self.shown = shown.into();
        self
    }
}

impl fmt::Display for WebSocketUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// The value of the `Host` header, and the host and port to connect to.
pub(super) fn host_of(url: &Url) -> Result<(HeaderValue, HostPort), String> {
    let name = url.host_str().unwrap_or_default();
    if name.is_empty() {
        return Err("the host is missing".into());
    }
    if url.port() == Some(0) {
        return Err("cannot connect to port 0".into());
    }
    let host = url.port().map_or(name.to_owned(), |port| format!("{name}:{port}"));
    let host = HeaderValue::from_str(&host).map_err(|_| format!("`{name}` is not a host name"))?;
    let port = url.port_or_known_default().unwrap_or(80);
    Ok((host, HostPort { host: name.trim_matches(['[', ']']).to_owned(), port }))
}

/// Path and query.
pub(super) fn target_of(url: &Url) -> Result<PathAndQuery, String> {
    let target = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    PathAndQuery::try_from(target).map_err(|error| format!("invalid path: {error}"))
}

fn credentials_of(url: &Url) -> Option<BasicAuth> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    Some(BasicAuth::new(&format!("{}:{}", decode(url.username()), decode(url.password().unwrap_or_default()))))
}

/// A user name or a password without its percent-encoding.
pub(super) fn decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn without_password(mut url: Url) -> String {
    if url.password().is_some() {
        let _ = url.set_password(Some("…"));
    }
    url.to_string().replace("%E2%80%A6", "…")
}
