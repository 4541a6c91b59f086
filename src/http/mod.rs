//! The HTTP/1.1 part of a WebSocket's life, on hyper: the upgrade request and its answer, and plain requests to listeners.

pub mod client;
mod files;
pub(crate) mod route;
mod server;
mod write_timeout;

pub use route::{HEALTH_PATH, choose_protocol};
pub use server::{PendingUpgrade, receive, serve_text};

use crate::report;
use hyper::{
    HeaderMap,
    header::{self, HeaderName, HeaderValue},
};

/// Whether a header that is a comma-separated list, possibly on several lines, holds a token. Case does not matter
/// (RFC 9110 section 5.6.1), so `Connection: keep-alive, Upgrade` holds `upgrade`.
pub(crate) fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    list(headers, name).any(|member| member.eq_ignore_ascii_case(token))
}

/// The members of a header that is a comma-separated list, in their order.
pub(crate) fn list(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers.get_all(name).into_iter().flat_map(members)
}

/// The members of one line of such a header.
fn members(line: &HeaderValue) -> impl Iterator<Item = &str> {
    line.to_str().unwrap_or_default().split(',').map(str::trim).filter(|member| !member.is_empty())
}

/// The lines of a header, as they are.
fn lines(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    headers.get_all(name).into_iter().map(HeaderValue::as_bytes)
}

/// `-v`: headers as curl shows them.
fn show_headers(mark: char, headers: &HeaderMap) {
    for (name, value) in headers {
        let is_secret = [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE].contains(name);
        let value = match is_secret {
            true => "(hidden)".to_owned(),
            // Such as a Referer, an Origin or a Location.
            false => crate::access::without_token(&String::from_utf8_lossy(value.as_bytes())),
        };
        report::handshake(mark, format_args!("{}: {value}", title_case(name.as_str())));
    }
}

/// hyper knows header names in lower case; on the wire and for people the words are capitalised.
fn title_case(name: &str) -> String {
    let mut start = true;
    name.chars()
        .map(|letter| {
            let shown = if start { letter.to_ascii_uppercase() } else { letter };
            start = letter == '-';
            shown
        })
        .collect()
}
