//! Decides how a listener responds to a request. No I/O.

use super::{has_token, list};
use crate::{
    access::AccessDenied,
    config::{ServerOptions, StaticFile},
    endpoint::UpgradeRequest,
    flow::{EndKind, MessageEnd},
    net::Peer,
    ws::is_request_key,
};
use hyper::{
    HeaderMap, Method, StatusCode, Uri, Version,
    header::{self, HeaderValue},
    http::{request::Parts, uri::PathAndQuery},
};
use std::{path::Path, sync::Arc};

/// The path of the health check of a room server.
pub const HEALTH_PATH: &str = "/healthz";

/// How to respond to a request.
#[derive(Debug)]
pub enum Route<'a> {
    /// It is a valid opening handshake.
    Upgrade {
        /// `Sec-WebSocket-Key`.
        key: HeaderValue,
        /// What the client requests.
        request: Arc<UpgradeRequest>,
    },
    /// It is a plain GET or HEAD request for a static file.
    File(&'a StaticFile),
    /// It is a plain GET or HEAD request, for a file in this directory if there is one.
    Directory(&'a Path, Uri),
    /// It is a health check.
    HealthCheck,
    /// It is an opening handshake, or a request for a static file, of a client that is not accepted.
    Deny(AccessDenied),
    /// It is anything else; respond with this status and text.
    Refuse(StatusCode, String),
}

/// Decides how to respond to a request from `peer` (RFC 6455 section 4.2.1).
pub fn route<'a>(head: Parts, peer: &Peer, options: &'a ServerOptions) -> Route<'a> {
    let headers = &head.headers;
    let path = head.uri.path();
    if let Err((status, text)) = check_request(&head.uri, head.version, headers, options) {
        return Route::Refuse(status, text);
    }
    if !has_token(headers, header::UPGRADE, "websocket") {
        let is_get = matches!(head.method, Method::GET | Method::HEAD);
        let file = options.files.iter().find(|file| is_get && file.uri.matches(path)).map(Route::File);
        let is_health_check = options.healthz.is_some() && path == HEALTH_PATH;
        let route = match (file, &options.static_directory) {
            (Some(file), _) => Some(file),
            (None, Some(directory)) if is_get && !is_health_check => {
                Some(Route::Directory(directory, head.uri.clone()))
            }
            _ => None,
        };
        if let Some(route) = route {
            return match options.access.check(headers, head.uri.query()) {
                Ok(()) => route,
                Err(denied) => Route::Deny(denied),
            };
        }
        if is_health_check {
            return Route::HealthCheck;
        }
        return Route::Refuse(
            StatusCode::UPGRADE_REQUIRED,
            "This is a WebSocket server: connect with a ws:// or wss:// URL.".into(),
        );
    }
    let refuse = |text: &str| Route::Refuse(StatusCode::BAD_REQUEST, text.into());
    if options.restrict_uri.as_ref().is_some_and(|only| !only.matches(path)) {
        return Route::Refuse(StatusCode::NOT_FOUND, format!("There is no WebSocket at {path}."));
    }
    if options.room_prefix.as_ref().is_some_and(|prefix| !prefix.contains(path)) {
        return Route::Refuse(StatusCode::NOT_FOUND, format!("There is no room at {path}."));
    }
    if head.method != Method::GET || head.version != Version::HTTP_11 {
        return refuse("A WebSocket handshake must be an HTTP/1.1 GET request.");
    }
    if !has_token(headers, header::CONNECTION, "upgrade") {
        return refuse("The header `Connection: Upgrade` is missing.");
    }
    if !has_token(headers, header::SEC_WEBSOCKET_VERSION, "13") {
        return Route::Refuse(StatusCode::UPGRADE_REQUIRED, "The only supported Sec-WebSocket-Version is 13.".into());
    }
    if headers.get_all(header::ORIGIN).iter().count() > 1 {
        return refuse("The request has more than one Origin header.");
    }
    if has_body(headers) {
        // The body would be read as frames.
        return refuse("A WebSocket handshake must not have a body.");
    }
    let mut keys = headers.get_all(header::SEC_WEBSOCKET_KEY).into_iter();
    match (keys.next(), keys.next()) {
        (Some(key), None) if is_request_key(key.as_bytes()) => {
            if let Err(denied) = options.access.check(headers, head.uri.query()) {
                return Route::Deny(denied);
            }
            let root = PathAndQuery::from_static("/");
            let target = head.uri.path_and_query().unwrap_or(&root);
            let room = options.access.room(target.as_str());
            let unchanged = (room == target.as_str()).then(|| target.clone());
            let Some(target) = unchanged.or_else(|| PathAndQuery::try_from(&*room).ok()) else {
                return refuse("The path is invalid.");
            };
            let protocols = list(headers, header::SEC_WEBSOCKET_PROTOCOL);
            let protocols = protocols.filter_map(|protocol| HeaderValue::from_str(protocol).ok()).collect();
            let client = options.access.client_behind(peer.ip, headers);
            let peer = match client.filter(|_| client != peer.ip) {
                Some(address) => format!("{address} (through {})", peer.name).into(),
                None => peer.name.clone(),
            };
            let key = key.clone();
            let request = UpgradeRequest { target, protocols, peer, client, headers: head.headers };
            Route::Upgrade { key, request: Arc::new(request) }
        }
        (None, _) => refuse("The header Sec-WebSocket-Key is missing."),
        _ => refuse("There must be one Sec-WebSocket-Key header, with 16 bytes in base64."),
    }
}

/// Checks what holds for every request.
///
/// # Errors
/// The status and the text to respond with.
pub fn check_request(
    uri: &Uri,
    version: Version,
    headers: &HeaderMap,
    options: &ServerOptions,
) -> Result<(), (StatusCode, String)> {
    if uri.path_and_query().is_some_and(|target| target.as_str().len() > options.max_url_length) {
        let text = format!("The request target is longer than {} bytes.", options.max_url_length);
        return Err((StatusCode::URI_TOO_LONG, text));
    }
    // RFC 9112 section 3.2. Two of them could mean one host to a proxy and another one here.
    let hosts = headers.get_all(header::HOST).iter().count();
    if hosts > 1 || (hosts == 0 && version == Version::HTTP_11) {
        return Err((StatusCode::BAD_REQUEST, "A request has exactly one Host header.".into()));
    }
    Ok(())
}

/// Whether a body follows the head (RFC 9112 section 6.3).
fn has_body(headers: &HeaderMap) -> bool {
    let lengths = headers.get_all(header::CONTENT_LENGTH);
    headers.contains_key(header::TRANSFER_ENCODING) || lengths.iter().any(|length| length.as_bytes() != b"0")
}

/// The subprotocol to select. With `--server-protocol`, that one if the client offers it. Otherwise the one that the WebSocket
/// server on the other side selected or, if the other side is not a WebSocket, the first that the client offers: browsers close
/// the connection if they offer subprotocols and none is selected.
pub fn choose_protocol(
    offers: &[HeaderValue],
    far: Option<&MessageEnd>,
    options: &ServerOptions,
) -> Option<HeaderValue> {
    match (&options.protocol, far) {
        (Some(wanted), _) => offers.iter().find(|offer| *offer == wanted).cloned(),
        (None, Some(MessageEnd { subprotocol: Some(agreed), .. })) => {
            offers.iter().find(|offer| *offer == agreed).cloned()
        }
        (None, Some(MessageEnd { kind: EndKind::WebSocket, .. })) => None,
        (None, _) => offers.first().cloned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{access::AccessOptions, config::RequestPath};
    use hyper::Request;

    fn options() -> ServerOptions {
        ServerOptions {
            max_memory: None,
            oneshot: false,
            threads: None,
            conncap: None,
            max_per_address: None,
            max_lifetime: None,
            announce: false,
            unlink: false,
            unix_mode: None,
            accept_from_fd: false,
            protocol: None,
            headers: Vec::new(),
            max_url_length: 8 << 10,
            max_header_length: 64 << 10,
            restrict_uri: RequestPath::parse("/ws").ok(),
            metrics: None,
            static_directory: None,
            access: AccessOptions::default(),
            room_prefix: None,
            healthz: Some(Arc::default()),
            files: vec![StaticFile {
                uri: RequestPath::parse("/").expect("a path"),
                content_type: HeaderValue::from_static("text/html"),
                path: "x".into(),
            }],
        }
    }

    fn head(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::get(uri).header("host", "example.com");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    fn decide<'a>(uri: &str, headers: &[(&str, &str)], options: &'a ServerOptions) -> Route<'a> {
        route(head(uri, headers), &Peer::named("client"), options)
    }

    const GOOD: [(&str, &str); 5] = [
        ("upgrade", "websocket"),
        ("connection", "keep-alive, Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "chat, superchat"),
    ];

    #[test]
    fn a_browser_s_request_is_an_upgrade() {
        let options = options();
        let Route::Upgrade { request, .. } = decide("/ws?x=%20", &GOOD, &options) else { panic!("no upgrade") };
        assert_eq!(request.target, "/ws?x=%20");
        assert_eq!(request.protocols, ["chat", "superchat"]);
        assert_eq!(choose_protocol(&request.protocols, None, &options), Some(HeaderValue::from_static("chat")));
    }

    #[test]
    fn a_missing_header_is_refused() {
        for (missing, _) in GOOD.into_iter().take(4) {
            let headers: Vec<_> = GOOD.into_iter().filter(|(name, _)| *name != missing).collect();
            assert!(matches!(decide("/ws", &headers, &options()), Route::Refuse(..)), "without {missing}");
        }
    }

    #[test]
    fn a_body_or_a_second_origin_is_refused() {
        for more in [
            &[("content-length", "5")][..],
            &[("transfer-encoding", "chunked")],
            &[("origin", "https://a.example"), ("origin", "https://b.example")],
        ] {
            let headers = [&GOOD[..], more].concat();
            assert!(matches!(decide("/ws", &headers, &options()), Route::Refuse(StatusCode::BAD_REQUEST, _)));
        }
        let none = [&GOOD[..], &[("content-length", "0"), ("origin", "https://a.example")]].concat();
        assert!(matches!(decide("/ws", &none, &options()), Route::Upgrade { .. }));
    }

    #[test]
    fn plain_requests_get_a_file_or_426() {
        assert!(matches!(decide("/", &[], &options()), Route::File(_)));
        assert!(matches!(decide("/x", &[], &options()), Route::Refuse(StatusCode::UPGRADE_REQUIRED, _)));
    }

    #[test]
    fn paths_other_than_restrict_uri_are_not_found() {
        assert!(matches!(decide("/other", &GOOD, &options()), Route::Refuse(StatusCode::NOT_FOUND, _)));
    }
}
