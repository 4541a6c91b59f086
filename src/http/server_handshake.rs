//! The HTTP server of WebSocket listeners: responds to requests until one is a valid opening handshake.

use super::{
    Body, files,
    header_names::HeaderNames,
    lines,
    response_choice::{HEALTH_PATH, Route, route},
    show_headers,
    watched::Watched,
    write_timeout,
};
use crate::{
    access::AccessDenied,
    config::Config,
    endpoint::{Accept, UpgradeRequest},
    error::Error,
    flow::{ByteEnd, EndKind},
    memory,
    net::Peer,
    readiness::Readiness,
    report,
    ws::{Upgraded, accept_deflate, derive_accept_key},
};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{self, HeaderValue},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt,
    sync::oneshot,
    time::{Instant, sleep},
};

/// The body of the response to a health check.
const HEALTHY: &str = "ok";
/// Pause after `accept` has failed because no file descriptor is free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Maximum time for a client of [`serve_text`] to send its request, and maximum time without progress in reading the response.
const TEXT_TIMEOUT: Duration = Duration::from_secs(10);

/// The first phase of an opening handshake: serves HTTP on a connection until a client requests a WebSocket.
///
/// # Errors
/// [`Error::NoUpgrade`] if the connection ends without such a request, [`Error::BadRequest`] if the data is not HTTP.
pub async fn receive(end: ByteEnd, peer: &Peer, config: &Arc<Config>) -> Result<PendingUpgrade, Error> {
    let ByteEnd { io, kind, name, .. } = end;
    let (sender, mut receiver) = oneshot::channel();
    let service = Service {
        peer: peer.clone(),
        config: config.clone(),
        expires: config.server.max_lifetime.map(|lifetime| Instant::now() + lifetime),
        upgrade: Mutex::new(Some(sender)),
    };
    let service = Arc::new(service);
    let io = Watched::new(io, config.connect_timeout);
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(config.connect_timeout)
        .max_buf_size(config.server.max_header_length)
        // Clients such as `nc -N` close their direction after the request and still read the response.
        .half_close(true)
        .title_case_headers(true)
        .serve_connection(
            TokioIo::new(HeaderNames(io.clone())),
            service_fn(move |request| {
                let service = service.clone();
                async move { Ok::<_, Infallible>(service.answer(request).await) }
            }),
        );
    // Boxed, since its type cannot be named.
    let mut connection: Connection = Box::pin(async move { Ok(connection.without_shutdown().await?.read_buf) });
    tokio::select! {
        biased;
        ended = &mut connection => match ended {
            Ok(_) => {
                let _ = io.take().0.shutdown().await;
                Err(Error::NoUpgrade { from: name.to_string() })
            }
            Err(error) => Err(explain(&name, &error, config)),
        },
        Ok(received) = &mut receiver => {
            Ok(PendingUpgrade { received, connection, io, kind, name, config: config.clone() })
        }
    }
}

/// The future of a connection. It returns the bytes that hyper has read after the last request.
type Connection = Pin<Box<dyn Future<Output = hyper::Result<Bytes>> + Send>>;

/// An opening handshake, and the channel for the response.
struct Received {
    key: HeaderValue,
    request: Arc<UpgradeRequest>,
    answer: oneshot::Sender<Response<Body>>,
}

/// The second phase of an opening handshake: the client waits for the response.
pub struct PendingUpgrade {
    received: Received,
    connection: Connection,
    io: Watched,
    kind: EndKind,
    name: Arc<str>,
    config: Arc<Config>,
}

impl PendingUpgrade {
    /// What the client requests.
    pub fn request(&self) -> &Arc<UpgradeRequest> {
        &self.received.request
    }

    /// Waits until the client leaves. One that ends its direction of the connection leaves, too: it could not even answer a close
    /// frame. Nothing else may be called after that.
    pub async fn left(&mut self) -> Error {
        // hyper may have to write the end of an earlier response.
        poll_fn(|cx| match self.connection.as_mut().poll(cx) {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => self.io.poll_left(cx),
        })
        .await;
        report::event("disconnected before the opening handshake was answered");
        Error::NoUpgrade { from: self.name.to_string() }
    }

    /// Responds with 101 and this subprotocol.
    ///
    /// # Errors
    /// [`Error::NoUpgrade`] if the client has disconnected.
    pub async fn accept(self, protocol: Option<HeaderValue>) -> Result<Upgraded, Error> {
        let Self { received: Received { key, request, answer }, connection, io, kind, name, config } = self;
        let offers = lines(&request.headers, header::SEC_WEBSOCKET_EXTENSIONS);
        let (deflate, extension) = accept_deflate(offers, &config.websocket.deflate).unzip();
        // Sending fails only if the connection has ended; then awaiting it returns the error.
        let _ = answer.send(switching_protocols(&key, protocol, extension.as_deref()));
        let mut early = Vec::from(connection.await.map_err(|error| explain(&name, &error, &config))?);
        let (io, ahead) = io.take();
        early.extend_from_slice(&ahead);
        Ok(Upgraded { end: ByteEnd { io, kind, name, on_empty_message: None }, early, deflate })
    }

    /// Responds with the HTTP status for `error`, and closes the connection.
    pub async fn refuse(self, error: &Error) {
        let (status, text) = match error {
            Error::Full { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "A limit on rooms, members or connections is reached.")
            }
            Error::EngineAway { .. } => (StatusCode::SERVICE_UNAVAILABLE, "The engine of the cluster is away."),
            Error::NoProgram { .. } => (StatusCode::NOT_FOUND, "There is no program at this path."),
            _ => (StatusCode::BAD_GATEWAY, "The other end cannot be reached."),
        };
        let mut response = text_response(status, text);
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        let _ = self.received.answer.send(response);
        if self.connection.await.is_ok() {
            let _ = self.io.take().0.shutdown().await;
        }
    }
}

/// Converts an error of a connection that ended before an opening handshake. Only data that is not HTTP is reported as an error:
/// browsers open connections in advance and keep them, and health checks disconnect.
fn explain(name: &str, error: &hyper::Error, config: &Config) -> Error {
    let from = name.to_owned();
    if error.is_parse_too_large() {
        let reason = format!("the request head is longer than {} bytes", config.server.max_header_length);
        return Error::BadRequest { from, reason, hint: Some("--max-header-length BYTES sets this limit") };
    }
    if error.is_parse() {
        let hint = "clients that speak TLS need a TLS listener: wss-l: or tls-a:";
        return Error::BadRequest { from, reason: "the data is not HTTP".into(), hint: Some(hint) };
    }
    let event = if error.is_timeout() {
        format!("no request for {} s", config.connect_timeout.as_secs_f64())
    } else {
        format!("disconnected before the opening handshake ({error})")
    };
    report::event(event);
    Error::NoUpgrade { from }
}

/// Responds to the requests of one connection.
struct Service {
    peer: Peer,
    config: Arc<Config>,
    /// The connection ends with the first response after this.
    expires: Option<Instant>,
    /// Receives the opening handshake, which is the last request of its connection.
    upgrade: Mutex<Option<oneshot::Sender<Received>>>,
}

impl Service {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let options = &self.config.server;
        let (method, target, version) = (request.method(), request.uri(), request.version());
        report::handshake('<', &self.peer.name, format_args!("{method} {target} {version:?}"));
        show_headers('<', &self.peer.name, request.headers());
        let (head, _) = request.into_parts();
        let mut response = match route(head, &self.peer, options) {
            Route::Refuse(status, text) => text_response(status, &text),
            Route::File(file) => {
                files::serve(file).await.unwrap_or_else(|status| text_response(status, "The file cannot be read."))
            }
            Route::Directory(directory, target) => files::serve_from(directory, &target)
                .await
                .unwrap_or_else(|status| text_response(status, "There is no file at this path.")),
            Route::HealthCheck => health(options.healthz.as_deref()),
            Route::Deny(denied) => deny(&denied),
            Route::Upgrade { .. } if !memory::admits() => {
                text_response(StatusCode::SERVICE_UNAVAILABLE, "The server is short of memory.")
            }
            Route::Upgrade { key, request } => {
                if request.peer != self.peer.name {
                    report::rename_peer(&request.peer);
                }
                self.answer_upgrade(key, request).await
            }
        };
        for (name, value) in &options.headers {
            response.headers_mut().append(name, value.clone());
        }
        if response.status() != StatusCode::SWITCHING_PROTOCOLS
            && self.expires.is_some_and(|expires| Instant::now() >= expires)
        {
            response.headers_mut().append(header::CONNECTION, HeaderValue::from_static("close"));
        }
        report::handshake('>', &self.peer.name, format_args!("HTTP/1.1 {}", response.status()));
        show_headers('>', &self.peer.name, response.headers());
        response
    }

    /// Passes on an opening handshake, and waits for the response to it.
    async fn answer_upgrade(&self, key: HeaderValue, request: Arc<UpgradeRequest>) -> Response<Body> {
        let (answer, answered) = oneshot::channel();
        let upgrade = self.upgrade.lock().unwrap_or_else(PoisonError::into_inner).take();
        let received = Received { key, request, answer };
        let is_taken = upgrade.is_some_and(|upgrade| upgrade.send(received).is_ok());
        match answered.await {
            Ok(response) if is_taken => response,
            _ => text_response(StatusCode::SERVICE_UNAVAILABLE, "The server is shutting down."),
        }
    }
}

/// The response to a health check.
fn health(readiness: Option<&Readiness>) -> Response<Body> {
    match readiness.and_then(Readiness::problem) {
        None => text_response(StatusCode::OK, HEALTHY),
        Some(problem) => text_response(StatusCode::SERVICE_UNAVAILABLE, &problem),
    }
}

/// The response to a client that is not accepted.
pub(super) fn deny(denied: &AccessDenied) -> Response<Body> {
    match denied {
        AccessDenied::Origin => text_response(StatusCode::FORBIDDEN, "This origin is not allowed."),
        AccessDenied::Credentials(scheme) => {
            let mut response = text_response(StatusCode::UNAUTHORIZED, "Authentication is required.");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
            response
        }
    }
}

/// Serves a text at `path`, and the health check, on a listener until the process ends.
pub async fn serve_text(
    mut listener: Box<dyn Accept<ByteEnd>>,
    path: &'static str,
    content_type: &'static str,
    text: impl Fn() -> String + Send + Sync + 'static,
    readiness: Option<Arc<Readiness>>,
) {
    let text = Arc::new(text);
    loop {
        let Ok((end, _)) = listener.accept().await else {
            // No free file descriptor; that may pass.
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (text, readiness) = (text.clone(), readiness.clone());
        tokio::spawn(async move {
            let answer = |request: Request<Incoming>| {
                let requested = request.uri().path();
                let mut response = match requested {
                    // Works also while the main listener has its maximum number of connections.
                    HEALTH_PATH => health(readiness.as_deref()),
                    _ if requested == path => text_response(StatusCode::OK, text().trim_end()),
                    _ => text_response(StatusCode::NOT_FOUND, &format!("There are only {path} and {HEALTH_PATH}.")),
                };
                if requested == path {
                    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
                }
                async { Ok::<_, Infallible>(response) }
            };
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(TEXT_TIMEOUT)
                .serve_connection(TokioIo::new(write_timeout::limit(end.io, TEXT_TIMEOUT)), service_fn(answer))
                .await;
        });
    }
}

/// A response with a text of one line.
pub(super) fn text_response(status: StatusCode, text: &str) -> Response<Body> {
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

/// The 101 response (RFC 6455 section 4.2.2).
fn switching_protocols(key: &HeaderValue, protocol: Option<HeaderValue>, extension: Option<&str>) -> Response<Body> {
    let mut response = Response::new(UnsyncBoxBody::new(Full::default().map_err(|never| match never {})));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::try_from(derive_accept_key(key.as_bytes())) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(protocol) = protocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    if let Some(Ok(extension)) = extension.map(HeaderValue::from_str) {
        headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, extension);
    }
    response
}
