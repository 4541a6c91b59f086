//! The front of every listening WebSocket: reads requests until one is a correct upgrade.

use super::{
    Switched, files, lines,
    patience::Patience,
    route::{HEALTH_PATH, Route, choose_protocol, route},
    show_headers, take_back,
};
use crate::{
    access::{Denied, without_token},
    config::Config,
    error::Error,
    flow::{ByteEnd, ByteIo},
    plan::Setup,
    registry::Accept,
    ws::{Agreed, accept_deflate, accept_key},
};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{self, HeaderName, HeaderValue},
    service::service_fn,
    upgrade::OnUpgrade,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, io, sync::Arc, time::Duration};
use tokio::{sync::Mutex, time::sleep};

/// The body of any answer.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What the health check answers.
const HEALTHY: &str = "ok";
/// How long to wait when the system has no descriptor for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a scraper may take to send its request, and to read any of the answer.
const TEXT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest request head that is read, in bytes; a longer one gets 431 (or 414).
const MAX_HEAD: usize = 64 * 1024;

/// Answers requests on a connection until one is an upgrade whose far end could be opened.
pub async fn upgrade(end: ByteEnd, config: &Config, setup: &mut Setup<'_>) -> Result<Switched, Error> {
    let ByteEnd { io, role, name } = end;
    let outcome = Mutex::new(Outcome { setup, upgraded: None, deflate: None, failed: None });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(config.connect_timeout)
        .max_buf_size(MAX_HEAD)
        // `nc -N` and such end their direction behind the request and still want the answer.
        .half_close(true)
        .title_case_headers(true)
        .serve_connection(
            TokioIo::new(Patience::new(io, config.connect_timeout)),
            service_fn(|request| async { Ok::<_, Infallible>(answer(request, config, &outcome).await) }),
        )
        .with_upgrades();
    let served = connection.await;
    let Outcome { upgraded, deflate, failed, .. } = outcome.into_inner();
    if let Some(error) = failed {
        return Err(error);
    }
    let upgraded = match (upgraded, served) {
        (Some(upgraded), Ok(())) => upgraded.await,
        (None, Ok(())) => return Err(Error::NoUpgrade { from: name.to_string() }),
        (_, Err(error)) => Err(error),
    };
    let upgraded = upgraded.map_err(|error| explain(&name, &error, config))?;
    let Some((io, early)) = take_back::<Patience<Box<dyn ByteIo>>>(upgraded) else {
        unreachable!("it is the stream that was handed in")
    };
    Ok(Switched { end: ByteEnd { io: io.into_inner(), role, name }, early, deflate })
}

/// Why a connection ended before it was upgraded. What is not even HTTP is an error; a client that leaves or falls silent
/// is none, for browsers connect ahead and keep connections, and health checks hang up.
fn explain(name: &str, error: &hyper::Error, config: &Config) -> Error {
    let from = name.to_owned();
    if error.is_parse_too_large() {
        let reason = format!("its head is longer than {} KiB", MAX_HEAD / 1024);
        return Error::BadRequest { from, reason, hint: None };
    }
    if error.is_parse() {
        let hint = "a client that speaks TLS needs a listener that does: wss-l: or tls-a:";
        return Error::BadRequest { from, reason: "it is not HTTP".into(), hint: Some(hint) };
    }
    let event = if error.is_timeout() {
        format!("{name}: no request for {} s", config.connect_timeout.as_secs_f64())
    } else {
        format!("{name}: gone before it was upgraded ({error})")
    };
    config.report.event(event);
    Error::NoUpgrade { from }
}

struct Outcome<'a, 'b> {
    setup: &'a mut Setup<'b>,
    upgraded: Option<OnUpgrade>,
    deflate: Option<Agreed>,
    failed: Option<Error>,
}

async fn answer(request: Request<Incoming>, config: &Config, outcome: &Mutex<Outcome<'_, '_>>) -> Response<Body> {
    let report = config.report;
    let target = without_token(&request.uri().to_string());
    report.handshake('<', format_args!("{} {target} {:?}", request.method(), request.version()));
    show_headers(report, '<', request.headers());
    let (head, body) = request.into_parts();
    let mut response = match route(&head, &config.server) {
        Route::Refuse(status, text) => sentence(status, &text),
        Route::File(file) => {
            files::serve(file).await.unwrap_or_else(|status| sentence(status, "The file cannot be read."))
        }
        Route::Healthy => sentence(StatusCode::OK, HEALTHY),
        Route::Deny(denied) => deny(&denied),
        Route::Upgrade { key, asked } => {
            let mut outcome = outcome.lock().await;
            outcome.setup.meet_proxy(&config.server.access, &head.headers);
            outcome.setup.asked = Some(asked.clone());
            match outcome.setup.open_far().await {
                Ok(far_is_websocket) => {
                    let agreed = outcome.setup.agreed.clone();
                    let offers = lines(&head.headers, header::SEC_WEBSOCKET_EXTENSIONS);
                    let (deflate, extension) = accept_deflate(offers, &config.websocket.deflate).unzip();
                    outcome.deflate = deflate;
                    outcome.upgraded = Some(hyper::upgrade::on(Request::from_parts(head, body)));
                    let protocol = choose_protocol(&asked, agreed, far_is_websocket, &config.server);
                    switching_protocols(&key, protocol.as_deref(), extension.as_deref())
                }
                Err(error) => {
                    let (status, text) = match error {
                        Error::Full { .. } => (StatusCode::SERVICE_UNAVAILABLE, "There is no place left here."),
                        _ => (StatusCode::BAD_GATEWAY, "The other end cannot be reached."),
                    };
                    let mut response = sentence(status, text);
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                    outcome.failed = Some(error);
                    response
                }
            }
        }
    };
    for (name, value) in &config.server.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::from_str(value)) {
            response.headers_mut().append(name, value);
        }
    }
    report.handshake('>', format_args!("HTTP/1.1 {}", response.status()));
    show_headers(report, '>', response.headers());
    response
}

/// The answer for those who may not enter.
fn deny(denied: &Denied) -> Response<Body> {
    match denied {
        Denied::Origin => sentence(StatusCode::FORBIDDEN, "Pages of this origin may not connect here."),
        Denied::Credentials(scheme) => {
            let mut response = sentence(StatusCode::UNAUTHORIZED, "Log in to connect here.");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
            response
        }
    }
}

/// Serves a text at one path of a listener of its own, and the health check, until the process ends.
pub async fn serve_text(
    mut listener: Box<dyn Accept>,
    path: &'static str,
    content_type: &'static str,
    text: impl Fn() -> String + Send + Sync + 'static,
) {
    let text = Arc::new(text);
    loop {
        let Ok((end, _)) = listener.accept().await else {
            // Out of descriptors, which passes.
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let text = text.clone();
        tokio::spawn(async move {
            let answer = |request: Request<Incoming>| {
                let asked = request.uri().path();
                let mut response = match asked {
                    // Here it is answered also when the server itself has all the connections that it may have.
                    HEALTH_PATH => sentence(StatusCode::OK, HEALTHY),
                    _ if asked == path => sentence(StatusCode::OK, text().trim_end()),
                    _ => sentence(StatusCode::NOT_FOUND, &format!("Only {path} and {HEALTH_PATH} are here.")),
                };
                if asked == path {
                    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
                }
                async { Ok::<_, Infallible>(response) }
            };
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(TEXT_TIMEOUT)
                .serve_connection(TokioIo::new(Patience::new(end.io, TEXT_TIMEOUT)), service_fn(answer))
                .await;
        });
    }
}

/// An answer of one sentence.
fn sentence(status: StatusCode, text: &str) -> Response<Body> {
    let body = Full::from(format!("{text}\n")).map_err(|never| match never {});
    let mut response = Response::new(UnsyncBoxBody::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if status == StatusCode::UPGRADE_REQUIRED {
        // RFC 9110 section 15.5.22 and RFC 6455 section 4.4.
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    response
}

/// The 101 (RFC 6455 section 4.2.2).
fn switching_protocols(key: &HeaderValue, protocol: Option<&str>, extension: Option<&str>) -> Response<Body> {
    let mut response = Response::new(UnsyncBoxBody::new(Full::default().map_err(|never| match never {})));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&accept_key(key.as_bytes())) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(Ok(protocol)) = protocol.map(HeaderValue::from_str) {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    if let Some(Ok(extension)) = extension.map(HeaderValue::from_str) {
        headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, extension);
    }
    response
}
