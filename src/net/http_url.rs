//! HTTP URLs.

use super::{
    HostPort,
    url::{host_of, target_of},
};
use hyper::{header::HeaderValue, http::uri::PathAndQuery};
use std::fmt;
use url::Url;

/// An `http://` or `https://` URL.
#[derive(Clone, Debug)]
pub struct HttpUrl {
    /// The host and port to connect to.
    pub at: HostPort,
    /// The value of the `Host` header.
    pub host: HeaderValue,
    /// Path and query.
    pub target: PathAndQuery,
    shown: String,
}

impl HttpUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// A message that says what is wrong. It does not contain the URL.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut url = Url::parse(text).map_err(|error| error.to_string())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("the scheme must be http or https".into());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("credentials belong in --request-header 'Authorization: …'".into());
        }
        url.set_fragment(None);
        let (host, at) = host_of(&url)?;
        let target = target_of(&url)?;
        Ok(Self { at, host, target, shown: url.into() })
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}
