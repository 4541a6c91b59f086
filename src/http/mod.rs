//! The HTTP/1.1 part of a WebSocket's life, on hyper: the upgrade request and its answer, and plain requests to listeners.

pub mod client;
mod files;
#[cfg(fuzzing)]
pub mod fuzzing;
mod health;
mod patience;
mod route;
pub mod server;

pub use health::check as check_health;
pub use server::serve_text;

use crate::{flow::ByteEnd, report::Report, ws::Agreed};
use hyper::{
    HeaderMap,
    header::{self, HeaderName, HeaderValue},
    upgrade::Upgraded,
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// A connection after the handshake.
pub struct Switched {
    /// The raw stream.
    pub end: ByteEnd,
    /// What came with the upgrade.
    pub early: Vec<u8>,
    /// What was agreed on about permessage-deflate.
    pub deflate: Option<Agreed>,
}

/// Takes the raw stream back out of hyper, with what it had read beyond the handshake.
fn take_back<T: AsyncRead + AsyncWrite + Send + Unpin + 'static>(upgraded: Upgraded) -> Option<(T, Vec<u8>)> {
    let parts = upgraded.downcast::<TokioIo<T>>().ok()?;
    Some((parts.io.into_inner(), parts.read_buf.to_vec()))
}

/// Whether a header that is a comma-separated list, possibly on several lines, holds a token. Case does not matter
/// (RFC 9110 section 5.6.1), so `Connection: keep-alive, Upgrade` holds `upgrade`.
fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    list(headers, name).any(|member| member.eq_ignore_ascii_case(token))
}

/// The members of a header that is a comma-separated list, in their order.
fn list(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|member| !member.is_empty())
}

/// The lines of a header, as they are.
fn lines(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    headers.get_all(name).into_iter().map(HeaderValue::as_bytes)
}

/// `-v`: headers as curl shows them.
fn show_headers(report: Report, mark: char, headers: &HeaderMap) {
    for (name, value) in headers {
        let is_secret = [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE].contains(name);
        let value = match is_secret {
            true => "(hidden)".to_owned(),
            // Such as a Referer, an Origin or a Location.
            false => crate::access::without_token(&String::from_utf8_lossy(value.as_bytes())),
        };
        report.handshake(mark, format_args!("{}: {value}", title_case(name.as_str())));
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
