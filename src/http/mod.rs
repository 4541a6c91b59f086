//! HTTP/1.1, with hyper: the opening handshake of both sides, and plain requests to listeners.

mod body_start;
pub mod client_handshake;
mod connect;
mod events;
mod files;
mod header_names;
mod request;
pub(crate) mod response_choice;
pub mod response_head;
mod server_handshake;
mod watched;
mod write_timeout;

pub use connect::connect;
pub use events::receive_events;
pub use request::request;
pub use response_choice::{HEALTH_PATH, choose_protocol};
pub use server_handshake::{PendingUpgrade, receive, serve_text};

use crate::report;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::{
    HeaderMap,
    body::Bytes,
    header::{self, HeaderName, HeaderValue},
};
use std::io;

/// The body of a response.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Whether a header, a comma-separated list on one or more lines, contains a token. Case is ignored (RFC 9110 section 5.6.1), so
/// `Connection: keep-alive, Upgrade` contains `upgrade`.
pub(crate) fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    list(headers, name).any(|member| member.eq_ignore_ascii_case(token))
}

/// The members of a header that is a comma-separated list, in order, from all of its lines.
pub(crate) fn list(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers.get_all(name).into_iter().flat_map(members)
}

/// The members of one line of a comma-separated list.
fn members(line: &HeaderValue) -> impl Iterator<Item = &str> {
    line.to_str().unwrap_or_default().split(',').map(str::trim).filter(|member| !member.is_empty())
}

/// The lines of a header, not split.
fn lines(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    headers.get_all(name).into_iter().map(HeaderValue::as_bytes)
}

/// Logs headers in the format of curl (`-v`).
fn show_headers(mark: char, end: &str, headers: &HeaderMap) {
    if !report::shows_handshakes() {
        return;
    }
    for line in shown_headers(headers) {
        report::handshake(mark, end, line);
    }
}

/// Headers as lines, without secrets.
fn shown_headers(headers: &HeaderMap) -> impl Iterator<Item = String> {
    headers.iter().map(|(name, value)| {
        let is_secret = [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE].contains(name);
        let value = if is_secret { "(hidden)".into() } else { String::from_utf8_lossy(value.as_bytes()) };
        format!("{}: {value}", header_names::capitalised(name.as_str()))
    })
}
