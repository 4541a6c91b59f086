//! The upgrade request (RFC 6455 section 4.1).

use super::{Switched, has_token, lines, list, show_headers, take_back};
use crate::{
    config::{BasicAuth, Config, split_list},
    error::Error,
    flow::ByteEnd,
    plan::Setup,
    ws::{Agreed, Offers, Target, accept_key, request_key},
};
use http_body_util::{BodyExt, Empty};
use hyper::{
    Method, Request, Response, StatusCode, Uri,
    body::{Bytes, Incoming},
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use std::{convert::Infallible, error::Error as _, time::Duration};
use tokio::time::timeout;
use url::Url;

/// How much of a refusal's body is shown, in bytes.
const BODY_SHOWN: usize = 300;
/// How long a refusal's body is waited for.
const BODY_WAIT: Duration = Duration::from_secs(1);

/// Asks for the upgrade on a fresh connection.
pub async fn upgrade(end: ByteEnd, target: &Target, config: &Config, setup: &mut Setup<'_>) -> Result<Switched, Error> {
    let name = end.name.clone();
    let asked = setup.asked.as_ref();
    let offered = match asked {
        Some(asked) if config.client.protocols.is_empty() => asked.protocols.clone(),
        _ => config.client.protocols.clone(),
    };
    // `-H` replaces what the other options say.
    let written = |name: &'static str| {
        let headers = config.client.headers.iter().filter(move |(written, _)| written.eq_ignore_ascii_case(name));
        headers.map(|(_, value)| value.as_str())
    };
    let by_header: Vec<_> = written("sec-websocket-protocol").flat_map(split_list).collect();
    let offered = if by_header.is_empty() { offered } else { by_header };
    let extensions: Vec<_> = written("sec-websocket-extensions").map(str::as_bytes).collect();
    let deflate = &config.websocket.deflate;
    let (extensions, deflate_header) = match &extensions[..] {
        [] => Offers::ours(deflate),
        written => (Offers::written(written.iter().copied(), deflate), None),
    };
    let uri = request_target(target, asked.map(|asked| asked.target.as_str()));
    let key = request_key();
    let request = build(&target.url, uri, &key, &offered, deflate_header.as_deref(), config)?;
    let report = config.report;
    report.handshake('>', format_args!("GET {} HTTP/1.1", request.uri()));
    show_headers(report, '>', request.headers());

    let refused = |reason: String, hint: Option<String>| Error::Refused { from: name.to_string(), reason, hint };
    let ByteEnd { io, role, .. } = end;
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .title_case_headers(true)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(io))
        .await
        .map_err(|error| explain(&name, &error))?;
    let connection = connection.with_upgrades();
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| explain(&name, &error))?;
        report.handshake('<', format_args!("{:?} {}", response.version(), response.status()));
        show_headers(report, '<', response.headers());
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(refusal(&name, response).await);
        }
        let (agreed, deflate) = check(response.headers(), &key, &offered, &extensions)
            .map_err(|reason| refused(format!("it answered 101, but {reason}"), None))?;
        if deflate.is_none() && extensions.is_demanded() {
            let reason = "it does not compress messages (permessage-deflate)".into();
            return Err(refused(reason, Some("--deflate on insists on it; --deflate auto does without".into())));
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(|error| explain(&name, &error))?;
        Ok((upgraded, agreed, deflate))
    };
    let (upgraded, agreed, deflate) = tokio::select! {
        biased;
        done = exchange => done?,
        never = drive(connection) => match never {},
    };
    setup.agreed = agreed;
    let Some((io, early)) = take_back(upgraded) else { unreachable!("it is the stream that was handed in") };
    Ok(Switched { end: ByteEnd { io, role, name }, early, deflate })
}

/// Moves the connection along. Its errors reach the exchange by themselves.
pub(super) async fn drive(connection: impl Future<Output = Result<(), hyper::Error>>) -> Infallible {
    let _ = connection.await;
    std::future::pending().await
}

/// Path and query of the request. A URL that was written without a path takes those that the other end's client asked for.
fn request_target(target: &Target, asked: Option<&str>) -> String {
    match asked {
        Some(asked) if !target.path_was_given => asked.to_owned(),
        _ => match target.url.query() {
            Some(query) => format!("{}?{query}", target.url.path()),
            None => target.url.path().to_owned(),
        },
    }
}

fn build(
    url: &Url,
    uri: String,
    key: &str,
    offered: &[String],
    extensions: Option<&str>,
    config: &Config,
) -> Result<Request<Empty<Bytes>>, Error> {
    let uri: Uri = uri.parse().map_err(|error| Error::usage(format!("cannot ask for `{uri}`: {error}")))?;
    let mut headers = HeaderMap::new();
    let mut set = |name: HeaderName, value: &str| -> Result<(), Error> {
        let value =
            HeaderValue::from_str(value).map_err(|_| Error::usage(format!("wrong value for the header {name}")))?;
        headers.insert(name, value);
        Ok(())
    };
    let host = url.host_str().unwrap_or_default();
    set(header::HOST, &url.port().map_or(host.to_owned(), |port| format!("{host}:{port}")))?;
    set(header::CONNECTION, "Upgrade")?;
    set(header::UPGRADE, "websocket")?;
    set(header::SEC_WEBSOCKET_VERSION, "13")?;
    set(header::SEC_WEBSOCKET_KEY, key)?;
    if !offered.is_empty() {
        set(header::SEC_WEBSOCKET_PROTOCOL, &offered.join(", "))?;
    }
    if let Some(extensions) = extensions {
        set(header::SEC_WEBSOCKET_EXTENSIONS, extensions)?;
    }
    if let Some(auth) = url_auth(url).as_ref().or(config.client.basic_auth.as_ref()) {
        set(header::AUTHORIZATION, auth.header_value())?;
    }
    let mut given = HeaderMap::new();
    for (name, value) in &config.client.headers {
        let parsed = HeaderName::try_from(name.as_str()).ok().zip(HeaderValue::from_str(value).ok());
        let (name, value) = parsed.ok_or_else(|| Error::usage(format!("wrong header `{name}: {value}`")))?;
        given.append(name, value);
    }
    // `extend` replaces a header of ours and keeps several of the user's own.
    headers.extend(given);
    let mut request = Request::new(Empty::new());
    *request.method_mut() = Method::GET;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

/// `ws://user:password@host`.
fn url_auth(url: &Url) -> Option<BasicAuth> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    Some(BasicAuth::new(&format!("{}:{}", decode(url.username()), decode(url.password().unwrap_or_default()))))
}

/// What RFC 6455 section 4.1 demands of a 101. Gives the subprotocol that the server chose, and what it says about
/// permessage-deflate.
pub(super) fn check(
    headers: &HeaderMap,
    key: &str,
    offered: &[String],
    extensions: &Offers,
) -> Result<(Option<String>, Option<Agreed>), String> {
    if !has_token(headers, header::UPGRADE, "websocket") {
        return Err("without `Upgrade: websocket`".into());
    }
    if !has_token(headers, header::CONNECTION, "upgrade") {
        return Err("without `Connection: Upgrade`".into());
    }
    match headers.get(header::SEC_WEBSOCKET_ACCEPT) {
        Some(accept) if accept.as_bytes() == accept_key(key.as_bytes()).as_bytes() => {}
        Some(_) => return Err("its Sec-WebSocket-Accept does not fit our key".into()),
        None => return Err("without Sec-WebSocket-Accept".into()),
    }
    let deflate = extensions.check(lines(headers, header::SEC_WEBSOCKET_EXTENSIONS))?;
    let mut chosen = list(headers, header::SEC_WEBSOCKET_PROTOCOL);
    match (chosen.next(), chosen.next()) {
        (None, _) => Ok((None, deflate)),
        (Some(name), None) if offered.iter().any(|offer| offer == name) => Ok((Some(name.to_owned()), deflate)),
        (Some(name), None) => Err(format!("with the subprotocol `{name}`, which was not offered")),
        _ => Err("with more than one subprotocol".into()),
    }
}

/// The error for an answer that is no 101: its status, where it points, and the start of what it says.
pub(super) async fn refusal(name: &str, response: Response<Incoming>) -> Error {
    let status = response.status();
    let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut body = response.into_body();
    let mut start = Vec::new();
    let _ = timeout(BODY_WAIT, async {
        while start.len() < BODY_SHOWN {
            match body.frame().await {
                Some(Ok(frame)) => start.extend(frame.into_data().unwrap_or_default()),
                _ => break,
            }
        }
    })
    .await;
    start.truncate(BODY_SHOWN);
    let text = String::from_utf8_lossy(&start).split_whitespace().collect::<Vec<_>>().join(" ");
    let said = if text.is_empty() { String::new() } else { format!(": {}", without_controls(&text)) };
    let hint = match (status.as_u16(), location) {
        (300..=399, Some(location)) => Some(format!("it points to {location}: use that address, as ws:// or wss://")),
        (401, _) => Some("--basic-auth USER:PASSWORD or -H 'Authorization: …' logs in".into()),
        (403, _) => Some("it may want another --origin, or a login".into()),
        (404, _) => Some("check the path".into()),
        (200..=299, _) => Some("it is a plain HTTP server, or this path is no WebSocket".into()),
        (400, _) if text.contains("HTTPS") => Some("it speaks TLS: use wss://".into()),
        (400, _) if text.contains("Sec-WebSocket-Extensions") => {
            Some("it may want another --deflate-window-bits, or --deflate off, which offers nothing".into())
        }
        _ => None,
    };
    Error::Refused { from: name.to_owned(), reason: format!("HTTP {status}{said}"), hint }
}

/// A server's words must not move the cursor of the user's terminal.
fn without_controls(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).collect()
}

/// hyper's errors in words.
pub(super) fn explain(name: &str, error: &hyper::Error) -> Error {
    let lost = |reason: &str| Error::Lost { with: name.to_owned(), reason: reason.to_owned() };
    if error.is_parse() {
        let reason = "the answer is not HTTP".to_owned();
        let hint = "if the server speaks TLS, use wss://; else it is no WebSocket server".to_owned();
        return Error::Refused { from: name.to_owned(), reason, hint: Some(hint) };
    }
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return lost("it ended before it answered the WebSocket handshake");
    }
    match error.source().and_then(|source| source.downcast_ref::<std::io::Error>()) {
        Some(io) => match io.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            // hyper does not let go of it, so it is made again.
            Some(Error::Tls { with, reason, hint }) => {
                Error::Tls { with: with.clone(), reason: reason.clone(), hint: hint.clone() }
            }
            Some(Error::Child { program, reason }) => Error::Child { program: program.clone(), reason: reason.clone() },
            _ => lost(&crate::error::plain(io)),
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

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
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
        assert_eq!(check(&answer(&GOOD), KEY, &[], &nothing()), Ok((None, None)));
    }

    #[test]
    fn what_was_not_offered_fails_the_handshake() {
        for extra in [("sec-websocket-extensions", "permessage-deflate"), ("sec-websocket-protocol", "chat")] {
            let answer = answer(&[&GOOD[..], &[extra]].concat());
            assert!(
                check(&answer, KEY, &["other".into()], &nothing()).is_err_and(|reason| reason.contains("not offered"))
            );
        }
    }

    #[test]
    fn each_missing_header_is_named() {
        for missing in 0..3 {
            let mut lines = GOOD.to_vec();
            let (name, _) = lines.remove(missing);
            let reason = check(&answer(&lines), KEY, &[], &nothing()).expect_err(name);
            assert!(reason.to_lowercase().contains(name), "{name}: {reason}");
        }
    }
}
