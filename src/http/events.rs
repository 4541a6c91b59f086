//! Server-sent events, and POST requests: one message stream for clients that speak only HTTP.

use super::{
    Body,
    response_choice::check_request,
    server_handshake::{deny, text_response},
    show_headers,
};
use crate::{
    access::without_token,
    config::Config,
    error::Error,
    flow::{ByteEnd, ControlFrame, ControlObserver, EndKind, Incoming, MessageEnd, MessageStream},
    message::{Close, Kind, Message},
    report,
};
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{self, Bytes, Frame},
    header::{self, HeaderValue},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::PollSender;

/// Events that wait for a client that reads slowly.
const MAX_QUEUED: usize = 16;
/// A body may take a second more for each part of this length, in bytes, as a message of a WebSocket.
const PART: usize = 16 * 1024;

/// What a client requested.
enum Exchange {
    /// GET: it receives events, until it leaves or we have no more.
    Events(Option<PollSender<Bytes>>),
    /// POST: it sends a message, and waits for the response.
    Post(Option<Message>, Option<oneshot::Sender<()>>),
}

/// Receives a request, and makes a message stream of it: a GET request receives messages, a POST request sends one.
///
/// # Errors
/// [`Error::BadRequest`] if there is no such request.
pub async fn receive_events(end: ByteEnd, config: &Arc<Config>) -> Result<MessageEnd, Error> {
    let ByteEnd { io, name, .. } = end;
    let (sender, receiver) = oneshot::channel();
    let service = Arc::new(Service { name: name.clone(), config: config.clone(), exchange: Mutex::new(Some(sender)) });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(config.connect_timeout)
        .max_buf_size(config.server.max_header_length)
        // Each connection is a session.
        .keep_alive(false)
        .title_case_headers(true)
        .serve_connection(
            TokioIo::new(io),
            service_fn(move |request| {
                let service = service.clone();
                async move { Ok::<_, Infallible>(service.answer(request).await) }
            }),
        );
    let mut connection = Connection(Some(tokio::spawn(async move { _ = connection.await })));
    match receiver.await {
        Ok(exchange) => {
            let kind = match exchange {
                // Who leaves is gone, as after a close frame: nothing can be sent any more.
                Exchange::Events(_) => EndKind::WebSocket,
                Exchange::Post(..) => EndKind::Peer,
            };
            Ok(MessageEnd::new(EventStream { exchange, connection }, kind, name))
        }
        Err(_) => {
            connection.ended().await;
            let hint = Some("it answers GET with events, and sends on the bodies of POST requests");
            Err(Error::BadRequest { from: name.to_string(), reason: "neither GET nor POST".into(), hint })
        }
    }
}

struct Service {
    name: Arc<str>,
    config: Arc<Config>,
    exchange: Mutex<Option<oneshot::Sender<Exchange>>>,
}

impl Service {
    async fn answer(&self, request: Request<body::Incoming>) -> Response<Body> {
        let target = without_token(&request.uri().to_string());
        report::handshake('<', &self.name, format_args!("{} {target} {:?}", request.method(), request.version()));
        show_headers('<', &self.name, request.headers());
        let response = match (self.refusal(&request), request.method()) {
            (Some(refusal), _) => {
                self.take();
                refusal
            }
            (None, &Method::GET) => self.answer_get(),
            (None, &Method::POST) => self.answer_post(request.into_body()).await,
            (None, _) => {
                self.take();
                let mut response = text_response(StatusCode::METHOD_NOT_ALLOWED, "Only GET and POST are supported.");
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, POST"));
                response
            }
        };
        report::handshake('>', &self.name, format_args!("HTTP/1.1 {}", response.status()));
        show_headers('>', &self.name, response.headers());
        response
    }

    /// The response to a client that is not accepted.
    fn refusal(&self, request: &Request<body::Incoming>) -> Option<Response<Body>> {
        let (options, uri, headers) = (&self.config.server, request.uri(), request.headers());
        if let Err((status, text)) = check_request(uri, request.version(), headers, options) {
            return Some(text_response(status, &text));
        }
        options.access.check(headers, uri.query()).err().map(|denied| deny(&denied))
    }

    /// The channel to the session. Without it there is no session.
    fn take(&self) -> Option<oneshot::Sender<Exchange>> {
        self.exchange.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn answer_get(&self) -> Response<Body> {
        let (sender, mut receiver) = mpsc::channel(MAX_QUEUED);
        let exchange = Exchange::Events(Some(PollSender::new(sender)));
        if self.take().is_none_or(|session| session.send(exchange).is_err()) {
            return unavailable();
        }
        let events = stream::poll_fn(move |cx| receiver.poll_recv(cx).map(|event| Some(Ok(Frame::data(event?)))));
        let mut response = Response::new(Body::new(StreamBody::new(events)));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }

    async fn answer_post(&self, body: body::Incoming) -> Response<Body> {
        let session = self.take();
        let payload = match self.read(body).await {
            Ok(payload) => payload,
            Err((status, text)) => return text_response(status, text),
        };
        let is_text = match self.config.framing.kind {
            Some(Kind::Binary) => false,
            _ => std::str::from_utf8(&payload).is_ok(),
        };
        let kind = if is_text { Kind::Text } else { Kind::Binary };
        let (taken, is_taken) = oneshot::channel();
        let exchange = Exchange::Post(Some(Message { kind, payload: payload.into() }), Some(taken));
        if session.is_none_or(|session| session.send(exchange).is_err()) {
            return unavailable();
        }
        match is_taken.await {
            Ok(()) => {
                let mut response =
                    Response::new(Body::new(http_body_util::Empty::new().map_err(|never| match never {})));
                *response.status_mut() = StatusCode::NO_CONTENT;
                response
            }
            Err(_) => text_response(StatusCode::BAD_GATEWAY, "The other end cannot be reached."),
        }
    }

    /// Reads a body, which has a limit of length and of time.
    async fn read(&self, mut body: body::Incoming) -> Result<Vec<u8>, (StatusCode, &'static str)> {
        let (started, mut payload) = (Instant::now(), Vec::new());
        loop {
            let parts = Duration::from_secs((payload.len() / PART) as u64);
            let limit = self.config.websocket.message_timeout.map(|limit| limit + parts);
            let left = limit.map_or(Duration::MAX, |limit| limit.saturating_sub(started.elapsed()));
            match timeout(left, body.frame()).await {
                Err(_) => return Err((StatusCode::REQUEST_TIMEOUT, "The body did not arrive in time.")),
                Ok(Some(Err(_))) => return Err((StatusCode::BAD_REQUEST, "The body is not complete.")),
                Ok(None) => return Ok(payload),
                Ok(Some(Ok(frame))) => payload.extend(frame.into_data().unwrap_or_default()),
            }
            if payload.len() > self.config.framing.max_length {
                return Err((StatusCode::PAYLOAD_TOO_LARGE, "The body is too long."));
            }
        }
    }
}

fn unavailable() -> Response<Body> {
    text_response(StatusCode::SERVICE_UNAVAILABLE, "The server is shutting down.")
}

/// The task of a connection; `None` when it has ended.
struct Connection(Option<JoinHandle<()>>);

impl Connection {
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(task) = &mut self.0 else { return Poll::Ready(()) };
        Pin::new(task).poll(cx).map(|_| self.0 = None)
    }

    async fn ended(&mut self) {
        std::future::poll_fn(|cx| self.poll_ended(cx)).await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

struct EventStream {
    exchange: Exchange,
    connection: Connection,
}

impl Drop for EventStream {
    fn drop(&mut self) {
        // The client of a POST request still gets a response, which is short.
        if let Exchange::Post(..) = self.exchange {
            self.connection.0 = None;
        }
    }
}

/// A message as an event: each of its lines is a line of data.
fn event(message: &Message) -> Bytes {
    let text = String::from_utf8_lossy(&message.payload).replace("\r\n", "\n").replace('\r', "\n");
    let mut event: String = text.split('\n').flat_map(|line| ["data: ", line, "\n"]).collect();
    event.push('\n');
    event.into()
}

impl MessageStream for EventStream {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        match &mut self.exchange {
            Exchange::Events(_) => self.connection.poll_ended(cx).map(|()| Ok(Incoming::End(None))),
            Exchange::Post(message, taken) => Poll::Ready(Ok(match message.take() {
                Some(message) => Incoming::Message(message),
                None => {
                    // It fails if the client has left.
                    taken.take().into_iter().for_each(|taken| _ = taken.send(()));
                    Incoming::End(None)
                }
            })),
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match &mut self.exchange {
            Exchange::Events(Some(events)) => {
                if ready!(events.poll_reserve(cx)).is_err() {
                    // A client that has left is an end, not an error: `poll_next` reports it.
                    self.exchange = Exchange::Events(None);
                }
                Poll::Ready(Ok(()))
            }
            Exchange::Events(None) | Exchange::Post(..) => Poll::Ready(Ok(())),
        }
    }

    fn start_send(&mut self, message: Message) -> Result<(), Error> {
        if let Exchange::Events(Some(events)) = &mut self.exchange {
            let _ = events.send_item(event(&message));
        }
        Ok(())
    }

    fn send_control(&mut self, _: ControlFrame) {}

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_finish(&mut self, _: &mut Context<'_>, _: Option<&Close>) -> Poll<Result<(), Error>> {
        if let Exchange::Events(events) = &mut self.exchange {
            *events = None;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_confirmed(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn progress(&self) -> u64 {
        0
    }

    fn observe_control(&mut self, _: ControlObserver) {}

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.connection.poll_ended(cx)
    }
}
