//! `http:`, an HTTP request.

use super::tcp;
use crate::{
    endpoint::{Build, Entry},
    error::Error,
    net::HttpUrl,
    overlay,
};

pub(super) static HTTP: Entry = Entry {
    names: &["http", "http-client"],
    arg: Some("//HOST[:PORT][/PATH]"),
    summary: "Send an HTTP request, and read the body of its response",
    details: "What is written to it is the body of the request with -X POST, PUT or PATCH, and discarded otherwise. \
              A status other than 2xx is exit code 5. For HTTPS, see http-request:.",
    example: "http://127.0.0.1:8080/events ws://127.0.0.1:8081/",
    flags: &[&["request-method", "request-header", "connect-timeout"], tcp::PROXIES],
    build: Build::Dial(|arg, config| {
        let wrong = |reason| Error::Argument { reason, example: "http://127.0.0.1:8080/".into() };
        let text = format!("http://{}", arg.strip_prefix("//").unwrap_or(arg));
        let url = HttpUrl::parse(&text).map_err(wrong)?;
        let transport = tcp::connect(&url.at, Some("http"), config)?;
        let mut endpoint = transport.layer("http-request", overlay::http_request(&url, config));
        endpoint.about.title = url.to_string();
        Ok(endpoint.into())
    }),
};
