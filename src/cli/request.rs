//! Options of the opening handshake of clients: headers, redirects, cookies and headers of another client.

use super::values;
use clap::Args;
use hyper::header::{self, HeaderName, HeaderValue};
use smart_default::SmartDefault;

/// The opening handshake of clients.
#[derive(Args, Debug, SmartDefault)]
#[command(next_help_heading = "WebSocket client")]
pub struct RequestArgs {
    /// Send this Origin header
    #[arg(long, value_name = "URL", value_parser = values::header_value)]
    pub origin: Option<HeaderValue>,
    /// Send this User-Agent header
    #[arg(short = 'A', long, visible_alias = "user-agent", value_name = "TEXT", value_parser = values::header_value)]
    pub ua: Option<HeaderValue>,
    /// Send this Sec-WebSocket-Version header instead of 13, to test a server
    #[arg(long, value_name = "NUMBER")]
    pub websocket_version: Option<u8>,
    /// Send a cookie; may be repeated
    #[arg(long = "cookie", value_name = "NAME=VALUE", value_parser = cookie)]
    pub cookies: Vec<String>,
    /// Between two WebSockets, send this header of the client's request to the server, too, such as Cookie, Authorization or
    /// Origin; may be repeated
    #[arg(long = "forward-header", value_name = "NAME", value_parser = forwarded)]
    pub forward_headers: Vec<HeaderName>,
    /// Follow redirects. Another host, port or scheme gets no Authorization header and no cookies
    #[arg(short = 'L', long, visible_alias = "location")]
    pub follow: bool,
    /// Maximum number of redirects to follow (exit 5)
    #[arg(long, visible_alias = "max-redirs", value_name = "N", default_value = "10")]
    #[default(10)]
    pub max_redirects: u16,
}

impl RequestArgs {
    /// The header for the cookies, if there are any.
    pub fn cookie_header(&self) -> Option<(HeaderName, HeaderValue)> {
        // Each was checked.
        let value = HeaderValue::from_str(&self.cookies.join("; ")).ok()?;
        (!self.cookies.is_empty()).then_some((header::COOKIE, value))
    }

    /// How many redirects are followed.
    pub fn redirects(&self) -> u16 {
        if self.follow { self.max_redirects } else { 0 }
    }
}

fn cookie(text: &str) -> Result<String, String> {
    if !text.contains('=') {
        return Err("expected NAME=VALUE; -H @FILE reads headers from a file".into());
    }
    values::header_value(text).map(|_| text.to_owned())
}

/// The name of a header that belongs to the request, and not to the connection or its handshake.
fn forwarded(text: &str) -> Result<HeaderName, String> {
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| "is not a header name".to_owned())?;
    let is_ours =
        [header::HOST, header::CONNECTION, header::UPGRADE, header::TRANSFER_ENCODING, header::CONTENT_LENGTH]
            .contains(&name)
            || name.as_str().starts_with("sec-websocket-");
    if is_ours { Err("belongs to the handshake itself, which is not forwarded".into()) } else { Ok(name) }
}
