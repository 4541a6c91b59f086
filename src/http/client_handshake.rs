//! The opening handshake of a client (RFC 6455 section 4.1).

use super::{
    body_start::{body_start, in_one_line},
    has_token,
    header_names::HeaderNames,
    lines, list, members,
    response_head::ResponseHead,
    show_headers, shown_headers,
};
use crate::{
    access::BasicAuth,
    config::Config,
    endpoint::UpgradeRequest,
    error::{Error, Refusal},
    flow::ByteEnd,
    net::WebSocketUrl,
    report::{self, millis},
    ws::{Agreed, Offers, Upgraded, derive_accept_key, generate_key},
};
use http_body_util::Empty;
use hyper::{
    Request, Response, StatusCode, Uri,
    body::{Bytes, Incoming},
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use std::{
    error::Error as _,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::Poll,
    time::Instant,
};

/// Headers that identify the user, and `Host`, which belongs to one URL.
const SECRET: [HeaderName; 4] = [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION, header::HOST];

/// Performs the opening handshake on a new connection. Also returns the subprotocol that the server selected.
///
/// # Errors
/// [`Error::Handshake`] if the response is not a valid 101, [`Error::Lost`] or [`Error::Tls`] if the connection fails.
pub async fn upgrade(
    end: ByteEnd,
    url: &WebSocketUrl,
    config: &Config,
    request: Option<&UpgradeRequest>,
) -> Result<(Upgraded, Option<String>), Error> {
    let ByteEnd { io, kind, name, .. } = end;
    let handshake = Handshake::new(url, config, request)?;
    let request = handshake.request(url, config, request);
    report::handshake('>', &name, format_args!("GET {} HTTP/1.1", request.uri()));
    show_headers('>', &name, request.headers());

    let failed = |reason: String, hint: Option<String>| Error::Handshake {
        with: name.to_string(),
        reason,
        hint,
        refusal: Box::default(),
    };
    let started = Instant::now();
    let (io, head) = ResponseHead::new(HeaderNames(io));
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .title_case_headers(true)
        // A refusal is shown all the same.
        .ignore_invalid_headers_in_responses(true)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(io))
        .await
        .map_err(|error| explain(&name, &error))?;
    let mut connection = Driven::new(connection.without_shutdown());
    let answer = connection.drive(sender.send_request(request)).await;
    let response = answer.map_err(|error| match head.invalid_header(&error) {
        Some(reason) => failed(reason, None),
        None => explain(&name, &error),
    })?;
    report::handshake('<', &name, format_args!("{:?} {}", response.version(), response.status()));
    show_headers('<', &name, response.headers());
    report::handshake('*', &name, format_args!("handshake answered ({})", millis(started.elapsed())));
    let invalid = head.has_invalid_header();
    if let Some(reason) = &invalid {
        report::handshake('*', &name, reason);
    }
    if let Some(to) = redirection(&response, url) {
        let status = response.status().to_string();
        return Err(Error::Redirected { with: name.to_string(), status, location: to.0, shown: to.1 });
    }
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let Unexpected { reason, hint, mut refusal } =
            connection.drive(describe_unexpected(StatusCode::SWITCHING_PROTOCOLS, response)).await;
        if let Some(remark) = invalid {
            let head = refusal.lines.iter().take_while(|line| !line.is_empty()).count();
            refusal.lines.insert(head, format!("({remark})"));
        }
        return Err(Error::Handshake { with: name.to_string(), reason, hint, refusal: Box::new(refusal) });
    }
    if let Some(reason) = invalid {
        return Err(failed(reason, None));
    }
    let (subprotocol, deflate) =
        check(response.headers(), &handshake.key, &handshake.subprotocols, &handshake.extensions)
            .map_err(|reason| failed(format!("invalid 101 response: {reason}"), None))?;
    if deflate.is_none() && handshake.extensions.is_required() {
        let reason = "the server does not support compression (permessage-deflate)".into();
        return Err(failed(reason, Some("--deflate on requires it, --deflate auto does not".into())));
    }
    let parts = connection.end().await.map_err(|error| explain(&name, &error))?;
    let end = ByteEnd { io: parts.io.into_inner().into_inner().0, kind, name, on_empty_message: None };
    Ok((Upgraded { end, early: parts.read_buf.into(), deflate }, subprotocol))
}

/// A connection of hyper together with its result. It makes progress only while [`drive`](Self::drive) is awaited.
pub struct Driven<F: Future> {
    connection: Pin<Box<F>>,
    ended: Option<F::Output>,
}

impl<F: Future> Driven<F> {
    /// Wraps the future of a connection.
    pub fn new(connection: F) -> Self {
        Self { connection: Box::pin(connection), ended: None }
    }

    /// Awaits `work`, and polls the connection meanwhile. `work` also receives the errors of the connection.
    pub async fn drive<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(done);
            }
            if self.ended.is_none()
                && let Poll::Ready(ended) = self.connection.as_mut().poll(cx)
            {
                self.ended = Some(ended);
                // The last data that the connection has read may complete the work.
                return work.as_mut().poll(cx);
            }
            Poll::Pending
        })
        .await
    }

    /// Waits for the end of the connection.
    async fn end(self) -> F::Output {
        match self.ended {
            Some(ended) => ended,
            None => self.connection.await,
        }
    }
}

/// What the client requests and offers in the opening handshake.
struct Handshake {
    target: Uri,
    key: HeaderValue,
    subprotocols: Vec<HeaderValue>,
    /// `None` if there are no subprotocols, or if the user set the header.
    subprotocol_header: Option<HeaderValue>,
    extensions: Offers,
    /// `None` if there are no extensions, or if the user set the header.
    extension_header: Option<HeaderValue>,
}

impl Handshake {
    /// Uses the options that the user gave, and otherwise the request that the left end of the session received.
    fn new(url: &WebSocketUrl, config: &Config, request: Option<&UpgradeRequest>) -> Result<Self, Error> {
        // Headers of `-H` replace those of other options.
        let written = |name: HeaderName| {
            let headers = config.client.headers.iter().filter(move |(written, _)| *written == name);
            headers.map(|(_, value)| value)
        };
        let mut subprotocols: Vec<_> =
            written(header::SEC_WEBSOCKET_PROTOCOL).flat_map(|value| members(value).filter_map(parsed)).collect();
        let mut subprotocol_header = None;
        if subprotocols.is_empty() {
            subprotocols = match request {
                Some(request) if config.client.protocols.is_empty() => request.protocols.clone(),
                _ => config.client.protocols.clone(),
            };
            if !subprotocols.is_empty() {
                let list: Vec<_> = subprotocols.iter().map(HeaderValue::as_bytes).collect();
                let list = HeaderValue::from_bytes(&list.join(&b", "[..]));
                subprotocol_header = Some(list.map_err(|error| Error::usage(format!("invalid subprotocol: {error}")))?);
            }
        }
        let deflate = &config.websocket.deflate;
        let extensions: Vec<_> = written(header::SEC_WEBSOCKET_EXTENSIONS).map(HeaderValue::as_bytes).collect();
        let (extensions, extension_header) = match &extensions[..] {
            [] => Offers::ours(deflate),
            written => (Offers::written(written.iter().copied(), deflate), None),
        };
        let key =
            HeaderValue::from_str(&generate_key()).map_err(|error| Error::usage(format!("invalid key: {error}")))?;
        let target = url.target.as_ref().or(request.map(|request| &request.target)).cloned();
        Ok(Self {
            target: target.map_or(Uri::from_static("/"), Uri::from),
            key,
            subprotocols,
            subprotocol_header,
            extensions,
            extension_header: extension_header.as_deref().and_then(parsed),
        })
    }

    fn request(&self, url: &WebSocketUrl, config: &Config, received: Option<&UpgradeRequest>) -> Request<Empty<Bytes>> {
        let own = &config.client;
        // What identifies the user is not for a host that a redirect led to.
        let may_send = |name: &HeaderName| !(url.is_foreign && SECRET.contains(name));
        let may_see = |_: &&BasicAuth| !url.is_foreign;
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, url.host.clone());
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        headers.insert(header::SEC_WEBSOCKET_KEY, self.key.clone());
        let optional = [
            (header::SEC_WEBSOCKET_PROTOCOL, self.subprotocol_header.as_ref()),
            (header::SEC_WEBSOCKET_EXTENSIONS, self.extension_header.as_ref()),
            (
                header::AUTHORIZATION,
                url.credentials.as_ref().or(own.basic_auth.as_ref().filter(may_see)).map(BasicAuth::header_value),
            ),
        ];
        headers.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value?.clone()))));
        for name in own.forward_headers.iter().filter(|name| may_send(name)) {
            let values = received.map(|request| request.headers.get_all(name)).into_iter().flatten();
            headers.extend(values.map(|value| (name.clone(), value.clone())).collect::<HeaderMap>());
        }
        // `extend` replaces default headers, and keeps repeated headers of the user.
        let written = own.headers.iter().filter(|(name, _)| may_send(name)).cloned();
        headers.extend(written.collect::<HeaderMap>());
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = self.target.clone();
        *request.headers_mut() = headers;
        request
    }
}

/// Where a response redirects to: the URL, and the same as it is shown. `None` if it is not a redirect, or one to another protocol.
fn redirection(response: &Response<Incoming>, url: &WebSocketUrl) -> Option<(String, String)> {
    let location = response.headers().get(header::LOCATION).filter(|_| response.status().is_redirection())?;
    let location = location.to_str().ok()?.to_owned();
    let shown = url.redirected(&location).ok()?.to_string();
    Some((location, shown))
}

fn parsed(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(text).ok()
}

/// Checks the headers of a 101 response (RFC 6455 section 4.1). Returns the subprotocol that the server selected, and the agreed
/// parameters of permessage-deflate.
///
/// # Errors
/// The requirement that the response does not meet.
pub(crate) fn check(
    headers: &HeaderMap,
    key: &HeaderValue,
    offered: &[HeaderValue],
    extensions: &Offers,
) -> Result<(Option<String>, Option<Agreed>), String> {
    if !has_token(headers, header::UPGRADE, "websocket") {
        return Err("no `Upgrade: websocket` header".into());
    }
    if !has_token(headers, header::CONNECTION, "upgrade") {
        return Err("no `Connection: Upgrade` header".into());
    }
    match headers.get(header::SEC_WEBSOCKET_ACCEPT) {
        Some(accept) if accept.as_bytes() == derive_accept_key(key.as_bytes()).as_bytes() => {}
        Some(_) => return Err("Sec-WebSocket-Accept does not match the key sent".into()),
        None => return Err("no Sec-WebSocket-Accept header".into()),
    }
    let deflate = extensions.check(lines(headers, header::SEC_WEBSOCKET_EXTENSIONS))?;
    let mut chosen = list(headers, header::SEC_WEBSOCKET_PROTOCOL);
    match (chosen.next(), chosen.next()) {
        (None, _) => Ok((None, deflate)),
        (Some(name), None) if offered.iter().any(|offer| offer == name) => Ok((Some(name.to_owned()), deflate)),
        (Some(name), None) => Err(format!("subprotocol `{name}`, which was not offered")),
        _ => Err("more than one subprotocol".into()),
    }
}

/// A response with another status than the expected one.
pub struct Unexpected {
    /// The status.
    pub reason: String,
    /// What to try instead.
    pub hint: Option<String>,
    /// The response.
    pub refusal: Refusal,
}

/// The longest line of a body that is shown in one, in characters.
const MAX_BODY_LINE: usize = 1000;

/// Describes a response with another status than the expected one.
pub async fn describe_unexpected(expected: StatusCode, response: Response<Incoming>) -> Unexpected {
    let status = response.status();
    let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut lines = vec![format!("{:?} {status}", response.version())];
    lines.extend(shown_headers(response.headers()));
    let start = body_start(response.into_body()).await;
    if !start.is_empty() {
        lines.push(String::new());
        lines.extend(start.lines().flat_map(pieces));
    }
    let text = in_one_line(&start);
    let body = if text.is_empty() { String::new() } else { format!(": {text}") };
    let hint = match (status.as_u16(), location) {
        (300..=399, Some(location)) => Some(format!("redirected to {location}: use that address with ws:// or wss://")),
        (401, _) => Some("log in with --basic-auth USER:PASSWORD or -H 'Authorization: …'".into()),
        (403, _) => Some("the server may require another --origin, or a login".into()),
        (404, _) => Some("check the path".into()),
        (200..=299, _) => Some("it is a plain HTTP server, or there is no WebSocket at this path".into()),
        (400, _) if text.contains("HTTPS") => Some("it speaks TLS: use wss://".into()),
        (400, _) if text.contains("Sec-WebSocket-Extensions") => {
            Some("try another --deflate-window-bits, or --deflate off".into())
        }
        _ => None,
    };
    let reason = format!("expected {}, got {status}", expected.as_u16());
    Unexpected { reason, hint, refusal: Refusal { body, lines } }
}

/// A line in pieces that are not too long for the log.
fn pieces(line: &str) -> Vec<String> {
    let letters: Vec<char> = line.chars().collect();
    match letters.is_empty() {
        true => vec![String::new()],
        false => letters.chunks(MAX_BODY_LINE).map(|piece| piece.iter().collect()).collect(),
    }
}

/// Converts an error of hyper.
pub fn explain(name: &str, error: &hyper::Error) -> Error {
    let lost = |reason: &str| Error::Lost { with: name.to_owned(), reason: reason.to_owned() };
    if error.is_parse() {
        let reason = "the response is not HTTP".to_owned();
        let hint = "if the server speaks TLS, use wss://; otherwise it is not a WebSocket server".to_owned();
        return Error::Handshake { with: name.to_owned(), reason, hint: Some(hint), refusal: Box::default() };
    }
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return lost("the server closed it before it sent a response");
    }
    match error.source().and_then(|source| source.downcast_ref::<std::io::Error>()) {
        Some(io) => match io.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            // hyper keeps its error, so this one is copied.
            Some(Error::Tls { with, reason, hint }) => {
                Error::Tls { with: with.clone(), reason: reason.clone(), hint: hint.clone() }
            }
            Some(Error::Child { program, reason }) => Error::Child { program: program.clone(), reason: reason.clone() },
            _ => lost(&crate::error::io_message(io)),
        },
        None => lost(&error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ws::DeflateOptions;

    fn answer(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value")))
            .collect()
    }

    const KEY: HeaderValue = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
    const GOOD: [(&str, &str); 3] = [
        ("upgrade", "WebSocket"),
        ("connection", "keep-alive, Upgrade"),
        ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ];

    fn nothing() -> Offers {
        Offers::written([], &DeflateOptions::default())
    }

    #[test]
    fn an_answer_with_keep_alive_is_accepted() {
        assert_eq!(check(&answer(&GOOD), &KEY, &[], &nothing()), Ok((None, None)));
    }

    #[test]
    fn an_extension_or_subprotocol_that_was_not_offered_fails_the_handshake() {
        for extra in [("sec-websocket-extensions", "permessage-deflate"), ("sec-websocket-protocol", "chat")] {
            let answer = answer(&[&GOOD[..], &[extra]].concat());
            assert!(
                check(&answer, &KEY, &[HeaderValue::from_static("other")], &nothing())
                    .is_err_and(|reason| reason.contains("not offered"))
            );
        }
    }

    #[test]
    fn each_missing_header_is_named() {
        for missing in 0..3 {
            let mut lines = GOOD.to_vec();
            let (name, _) = lines.remove(missing);
            let reason = check(&answer(&lines), &KEY, &[], &nothing()).expect_err(name);
            assert!(reason.to_lowercase().contains(name), "{name}: {reason}");
        }
    }
}
