//! What a request asks a listener for. Pure: a request's head in, a decision out.

use super::{has_token, list};
use crate::{
    access::Denied,
    config::{ServerOptions, StaticFile},
    plan::Asked,
    ws::is_request_key,
};
use hyper::{
    HeaderMap, Method, StatusCode, Version,
    header::{self, HeaderValue},
    http::request::Parts,
};

/// Where a room server says that it is well.
pub const HEALTH_PATH: &str = "/healthz";

/// The decision.
#[derive(Debug)]
pub enum Route<'a> {
    /// A correct upgrade request.
    Upgrade {
        /// `Sec-WebSocket-Key`.
        key: HeaderValue,
        /// Target and subprotocols.
        asked: Asked,
    },
    /// A plain GET or HEAD of a static file.
    File(&'a StaticFile),
    /// The health check of the room server.
    Healthy,
    /// An upgrade request that may not enter; the scheme for `WWW-Authenticate` is for those who may log in.
    Deny(Denied),
    /// Anything else, with a sentence for whoever sent it.
    Refuse(StatusCode, String),
}

/// Decides what to do with a request (RFC 6455 section 4.2.1).
pub fn route<'a>(head: &Parts, options: &'a ServerOptions) -> Route<'a> {
    let headers = &head.headers;
    let path = head.uri.path();
    if !has_token(headers, header::UPGRADE, "websocket") {
        if matches!(head.method, Method::GET | Method::HEAD)
            && let Some(file) = options.files.iter().find(|file| file.uri == path)
        {
            return Route::File(file);
        }
        if options.healthz && path == HEALTH_PATH {
            return Route::Healthy;
        }
        return Route::Refuse(
            StatusCode::UPGRADE_REQUIRED,
            "This is a WebSocket server: connect with a ws:// or wss:// URL.".into(),
        );
    }
    let refuse = |text: &str| Route::Refuse(StatusCode::BAD_REQUEST, text.into());
    if options.restrict_uri.as_deref().is_some_and(|only| only != path) {
        return Route::Refuse(StatusCode::NOT_FOUND, format!("There is no WebSocket at {path}."));
    }
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    if options.room_prefix.as_deref().is_some_and(|prefix| !is_below(path, prefix)) {
        return Route::Refuse(StatusCode::NOT_FOUND, format!("There is no room at {path}."));
    }
    if head.method != Method::GET || head.version != Version::HTTP_11 {
        return refuse("A WebSocket handshake is a GET request of HTTP/1.1.");
    }
    if !has_token(headers, header::CONNECTION, "upgrade") {
        return refuse("The header `Connection: Upgrade` is missing.");
    }
    if !has_token(headers, header::SEC_WEBSOCKET_VERSION, "13") {
        return Route::Refuse(StatusCode::UPGRADE_REQUIRED, "The only supported Sec-WebSocket-Version is 13.".into());
    }
    if headers.get_all(header::ORIGIN).iter().count() > 1 {
        return refuse("There is more than one Origin header.");
    }
    if has_body(headers) {
        // Its bytes would be taken for frames.
        return refuse("A WebSocket handshake has no body.");
    }
    let mut keys = headers.get_all(header::SEC_WEBSOCKET_KEY).into_iter();
    match (keys.next(), keys.next()) {
        (Some(key), None) if is_request_key(key.as_bytes()) => {
            if let Err(denied) = options.access.check(headers, head.uri.query()) {
                return Route::Deny(denied);
            }
            let target = options.access.room(target);
            let protocols = list(headers, header::SEC_WEBSOCKET_PROTOCOL).map(str::to_owned).collect();
            Route::Upgrade { key: key.clone(), asked: Asked { target, protocols } }
        }
        (None, _) => refuse("The header Sec-WebSocket-Key is missing."),
        _ => refuse("Sec-WebSocket-Key must be 16 bytes in base64, once."),
    }
}

/// Whether a body follows the head (RFC 9112 section 6.3).
fn has_body(headers: &HeaderMap) -> bool {
    let lengths = headers.get_all(header::CONTENT_LENGTH);
    headers.contains_key(header::TRANSFER_ENCODING) || lengths.iter().any(|length| length.as_bytes() != b"0")
}

/// Whether a path is this one or below it: `/rooms` holds `/rooms` and `/rooms/a`, but not `/rooms-of-others`.
fn is_below(path: &str, prefix: &str) -> bool {
    let rest = path.strip_prefix(prefix.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.starts_with('/') || (rest.is_empty() && !prefix.ends_with('/')))
}

/// The subprotocol of the answer: what the far server chose, else the one that the command line names if it is offered,
/// else the first offer. Browsers give a connection up when none of their offers is chosen.
pub fn choose_protocol(
    asked: &Asked,
    agreed: Option<String>,
    far_is_websocket: bool,
    options: &ServerOptions,
) -> Option<String> {
    match (&options.protocol, agreed) {
        (Some(wanted), _) => asked.protocols.iter().find(|offer| *offer == wanted).cloned(),
        (None, Some(agreed)) => Some(agreed),
        (None, None) if far_is_websocket => None,
        (None, None) => asked.protocols.first().cloned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::AccessOptions;
    use hyper::Request;

    fn options() -> ServerOptions {
        ServerOptions {
            oneshot: false,
            conncap: None,
            announce: false,
            unlink: false,
            protocol: None,
            headers: Vec::new(),
            restrict_uri: Some("/ws".into()),
            access: AccessOptions::default(),
            room_prefix: None,
            healthz: true,
            files: vec![StaticFile { uri: "/".into(), content_type: "text/html".into(), path: "x".into() }],
        }
    }

    fn head(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
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
        let Route::Upgrade { asked, .. } = route(&head("/ws?x=%20", &GOOD), &options) else { panic!("no upgrade") };
        assert_eq!(asked.target, "/ws?x=%20");
        assert_eq!(asked.protocols, ["chat", "superchat"]);
        assert_eq!(choose_protocol(&asked, None, false, &options), Some("chat".into()));
        assert_eq!(choose_protocol(&asked, None, true, &options), None);
    }

    #[test]
    fn each_missing_header_is_refused() {
        for (missing, _) in GOOD.into_iter().take(4) {
            let headers: Vec<_> = GOOD.into_iter().filter(|(name, _)| *name != missing).collect();
            assert!(matches!(route(&head("/ws", &headers), &options()), Route::Refuse(..)), "without {missing}");
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
            assert!(matches!(route(&head("/ws", &headers), &options()), Route::Refuse(StatusCode::BAD_REQUEST, _)));
        }
        let none = [&GOOD[..], &[("content-length", "0"), ("origin", "https://a.example")]].concat();
        assert!(matches!(route(&head("/ws", &none), &options()), Route::Upgrade { .. }));
    }

    #[test]
    fn plain_requests_get_a_file_or_426() {
        assert!(matches!(route(&head("/", &[]), &options()), Route::File(_)));
        assert!(matches!(route(&head("/x", &[]), &options()), Route::Refuse(StatusCode::UPGRADE_REQUIRED, _)));
    }

    #[test]
    fn a_prefix_holds_itself_and_what_is_below() {
        for (path, prefix, expected) in [
            ("/a", "/a", true),
            ("/a/", "/a", true),
            ("/a/b", "/a", true),
            ("/ab", "/a", false),
            ("/", "/a", false),
            ("/a", "/a/", false),
            ("/a/b", "/a/", true),
            ("/a", "/", true),
            ("/", "/", true),
        ] {
            assert_eq!(is_below(path, prefix), expected, "{path} below {prefix}");
        }
    }

    #[test]
    fn another_path_than_the_only_one_is_not_found() {
        assert!(matches!(route(&head("/other", &GOOD), &options()), Route::Refuse(StatusCode::NOT_FOUND, _)));
    }
}
