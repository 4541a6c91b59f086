//! `http-request:`, an HTTP request over any byte stream.

use crate::{
    config::Config,
    endpoint::{Build, ConnectContext, Entry, Layer, Overlay, OverlayRow, Transform},
    error::Error,
    flow::{BoxFuture, ByteEnd},
    http,
    net::HttpUrl,
};
use hyper::{header::HeaderValue, http::uri::PathAndQuery};
use std::sync::Arc;

pub(super) static HTTP_REQUEST: Entry = Entry {
    names: &["http-request"],
    arg: None,
    summary: "HTTP request",
    details: "As http:, over any transport, such as TLS. --request-uri is the URL to request.",
    example: "- http-request:tls:example.com:443 --request-uri https://example.com/",
    flags: &[&["request-method", "request-header", "request-uri", "connect-timeout"]],
    build: Build::Overlay(
        OverlayRow::new(|inner, config| {
            let layer = match &config.http_request.url {
                Some(url) => http_request(url, config),
                None => {
                    let host = inner.about.host.as_deref().unwrap_or("localhost");
                    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
                    let host = HeaderValue::from_str(&host)
                        .map_err(|_| Error::usage(format!("`{host}` is not a host name; --request-uri names one")))?;
                    let target = PathAndQuery::from_static("/");
                    Box::new(HttpRequest { target, host, name: None, config: config.clone() })
                }
            };
            Ok(Overlay::Around(Layer::OnBytes(layer)))
        })
        .over_tcp(),
    ),
};

/// A request for this URL.
pub fn http_request(url: &HttpUrl, config: &Arc<Config>) -> Box<dyn Transform<ByteEnd, ByteEnd>> {
    let name = Some(url.to_string().into());
    Box::new(HttpRequest { target: url.target.clone(), host: url.host.clone(), name, config: config.clone() })
}

struct HttpRequest {
    target: PathAndQuery,
    host: HeaderValue,
    /// `None`: as the connection.
    name: Option<Arc<str>>,
    config: Arc<Config>,
}

impl Transform<ByteEnd, ByteEnd> for HttpRequest {
    fn apply<'a>(&'a self, mut inner: ByteEnd, _: &'a mut ConnectContext) -> BoxFuture<'a, Result<ByteEnd, Error>> {
        Box::pin(async {
            if let Some(name) = &self.name {
                inner.name = name.clone();
            }
            let limit = self.config.connect_timeout;
            http::request(inner, &self.target, &self.host, &self.config.http_request, limit).await
        })
    }
}
