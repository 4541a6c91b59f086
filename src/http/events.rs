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
    flow::{ByteEnd, EndKind, Incoming, MessageEnd, MessageStream},
    memory::{self, Account},
    message::{Close, Kind, Message},
    report,
};
use futures_util::{stream, task::AtomicWaker};
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{self, Body as _, Bytes, Frame},
    header::{self, HeaderValue},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

/// When so many bytes of messages wait for a client that reads slowly, the other end of the session waits.
const MAX_QUEUED: usize = 64 * 1024;
/// A shorter message counts as so many bytes of them, so that no more than 16 wait.
const LEAST_QUEUED: usize = 4 * 1024;
/// Events are made from about so many bytes of a message at a time: an event can be seven times as long as its message.
const EVENT_PART: usize = 16 * 1024;
/// A body may take a second more for each part of this length, in bytes, as a message of a WebSocket.
const PART: usize = 16 * 1024;

/// What a client requested.
enum Exchange {
    /// GET: it receives events, until it leaves or we have no more.
    Events(Option<mpsc::UnboundedSender<Queued>>, Arc<Unsent>),
    /// POST: it sends a message, and waits for the response.
    Post(Option<Message>, Option<oneshot::Sender<()>>),
}

/// The channel to the session: what the client requested, or why there is no session.
type Requested = oneshot::Sender<Result<Exchange, Error>>;

/// Receives a request, and makes a message stream of it: a GET request receives messages, a POST request sends one.
///
/// # Errors
/// [`Error::BadRequest`] if there is no such request, [`Error::OutOfMemory`] if its body exceeds the limit on memory, and
/// [`Error::NoUpgrade`] if the client left without a request, or was refused.
pub async fn receive_events(end: ByteEnd, config: &Arc<Config>) -> Result<MessageEnd, Error> {
    let ByteEnd { io, name, .. } = end;
    let (sender, receiver) = oneshot::channel();
    let has_requested = Arc::new(AtomicBool::new(false));
    let service = Arc::new(Service {
        name: name.clone(),
        config: config.clone(),
        exchange: Mutex::new(Some(sender)),
        has_requested: has_requested.clone(),
    });
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
    let mut connection = Connection(Some(tokio::spawn(connection)));
    match receiver.await {
        Ok(Ok(exchange)) => {
            let kind = match exchange {
                // Who leaves is gone, as after a close frame: nothing can be sent any more.
                Exchange::Events(..) => EndKind::WebSocket,
                Exchange::Post(..) => EndKind::Peer,
            };
            let stream = EventStream { exchange, connection, account: Account::default(), name: name.clone() };
            Ok(MessageEnd::new(stream, kind, name))
        }
        Ok(Err(error)) => {
            let _ = connection.ended().await;
            Err(error)
        }
        Err(_) => match connection.ended().await {
            Err(error) if error.is_parse() => {
                let reason = format!("the data is not HTTP ({error})");
                Err(Error::BadRequest { from: name.to_string(), reason, hint: None })
            }
            _ if has_requested.load(Relaxed) => {
                let reason = LEFT.into();
                Err(Error::BadRequest { from: name.to_string(), reason, hint: None })
            }
            _ => {
                report::event("disconnected before a request");
                Err(Error::NoUpgrade { from: name.to_string() })
            }
        },
    }
}

const LEFT: &str = "the client left in the middle of the body";

struct Service {
    name: Arc<str>,
    config: Arc<Config>,
    exchange: Mutex<Option<Requested>>,
    /// There was a request, whatever became of it.
    has_requested: Arc<AtomicBool>,
}

impl Service {
    async fn answer(&self, request: Request<body::Incoming>) -> Response<Body> {
        let target = without_token(&request.uri().to_string());
        report::handshake('<', &self.name, format_args!("{} {target} {:?}", request.method(), request.version()));
        show_headers('<', &self.name, request.headers());
        let response = match (self.refusal(&request), request.method()) {
            (Some(refusal), _) => {
                // It fails if the session has been ended.
                if let Some(session) = self.take() {
                    let _ = session.send(Err(Error::NoUpgrade { from: self.name.to_string() }));
                }
                refusal
            }
            (None, &(Method::GET | Method::POST)) if !memory::admits() => {
                Refusal::no_memory(Error::NoUpgrade { from: self.name.to_string() }).answer(self.take())
            }
            (None, &Method::GET) => self.answer_get(),
            (None, &Method::POST) => self.answer_post(request.into_body()).await,
            (None, _) => {
                let text = "Only GET and POST are supported.";
                let hint = Some("it answers GET with events, and sends on the bodies of POST requests");
                let refusal = self.invalid(StatusCode::METHOD_NOT_ALLOWED, text, "neither GET nor POST", hint);
                let mut response = refusal.answer(self.take());
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
    fn take(&self) -> Option<Requested> {
        self.has_requested.store(true, Relaxed);
        self.exchange.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn answer_get(&self) -> Response<Body> {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let exchange = Exchange::Events(Some(sender), Arc::default());
        if self.take().is_none_or(|session| session.send(Ok(exchange)).is_err()) {
            return unavailable();
        }
        let mut event = None::<Event>;
        let events = stream::poll_fn(move |cx| {
            loop {
                if let Some(part) = event.as_mut().and_then(Event::next_part) {
                    return Poll::Ready(Some(Ok(Frame::data(part))));
                }
                event = None;
                let Some(queued) = ready!(receiver.poll_recv(cx)) else { return Poll::Ready(None) };
                event = Some(Event { queued, at: 0, is_at_line_start: true, has_ended: false });
            }
        });
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
            Err(refusal) => return refusal.answer(session),
        };
        let is_text = match self.config.framing.kind {
            Some(Kind::Binary) => false,
            _ => std::str::from_utf8(&payload).is_ok(),
        };
        let kind = if is_text { Kind::Text } else { Kind::Binary };
        let (taken, is_taken) = oneshot::channel();
        let exchange = Exchange::Post(Some(Message { kind, payload }), Some(taken));
        if session.is_none_or(|session| session.send(Ok(exchange)).is_err()) {
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

    /// Reads a body, which has a limit of length, of time and of memory.
    async fn read(&self, mut body: body::Incoming) -> Result<Bytes, Refusal> {
        let (started, mut payload, mut account) = (Instant::now(), Vec::new(), Account::default());
        loop {
            let parts = Duration::from_secs((payload.len() / PART) as u64);
            let limit = self.config.websocket.message_timeout.map(|limit| limit + parts);
            let left = limit.map_or(Duration::MAX, |limit| limit.saturating_sub(started.elapsed()));
            let frame = poll_fn(|cx| {
                let pauses = memory::pauses(payload.len());
                account.set_own(payload.len());
                if account.poll_must_close(cx, pauses) {
                    let error = Error::OutOfMemory { with: self.name.to_string(), held: account.held() };
                    return Poll::Ready(Err(Refusal::no_memory(error)));
                }
                if pauses { Poll::Pending } else { Pin::new(&mut body).poll_frame(cx).map(Ok) }
            });
            match timeout(left, frame).await {
                Err(_) => {
                    let hint = Some("--message-timeout SECONDS sets this limit");
                    let text = "The body did not arrive in time.";
                    return Err(self.invalid(
                        StatusCode::REQUEST_TIMEOUT,
                        text,
                        "the body did not arrive in time",
                        hint,
                    ));
                }
                Ok(frame) => match frame? {
                    Some(Err(_)) => {
                        return Err(self.invalid(StatusCode::BAD_REQUEST, "The body is not complete.", LEFT, None));
                    }
                    Some(Ok(frame)) => payload.extend(frame.into_data().unwrap_or_default()),
                    None => break,
                },
            }
            if payload.len() > self.config.framing.max_length {
                let reason = format!("the body is longer than {} bytes", self.config.framing.max_length);
                let hint = Some("--max-ws-message-length BYTES sets this limit");
                return Err(self.invalid(StatusCode::PAYLOAD_TOO_LARGE, "The body is too long.", reason, hint));
            }
        }
        let payload = Bytes::from(payload);
        Ok(if payload.len() > memory::LONG_MESSAGE { memory::counted(payload) } else { payload })
    }

    fn invalid(
        &self,
        status: StatusCode,
        text: &'static str,
        reason: impl Into<String>,
        hint: Option<&'static str>,
    ) -> Refusal {
        let error = Error::BadRequest { from: self.name.to_string(), reason: reason.into(), hint };
        Refusal { status, text, error }
    }
}

/// Why a request makes no session.
struct Refusal {
    status: StatusCode,
    /// What the client is told.
    text: &'static str,
    error: Error,
}

impl Refusal {
    fn no_memory(error: Error) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, text: "The server is short of memory.", error }
    }

    /// Tells the session, and the client.
    fn answer(self, session: Option<Requested>) -> Response<Body> {
        // It fails if the session has been ended.
        if let Some(session) = session {
            let _ = session.send(Err(self.error));
        }
        text_response(self.status, self.text)
    }
}

fn unavailable() -> Response<Body> {
    text_response(StatusCode::SERVICE_UNAVAILABLE, "The server is shutting down.")
}

/// The task of a connection; `None` when it has ended.
struct Connection(Option<JoinHandle<hyper::Result<()>>>);

impl Connection {
    /// `Ok`, too, where its error has been told already.
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        let Some(task) = &mut self.0 else { return Poll::Ready(Ok(())) };
        let ended = ready!(Pin::new(task).poll(cx));
        self.0 = None;
        Poll::Ready(ended.unwrap_or(Ok(())))
    }

    async fn ended(&mut self) -> hyper::Result<()> {
        poll_fn(|cx| self.poll_ended(cx)).await
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// The messages that wait for a client.
#[derive(Default)]
struct Unsent {
    bytes: AtomicUsize,
    /// The session, which is woken when there are fewer.
    task: AtomicWaker,
}

/// A message that waits for a client.
struct Queued {
    payload: Vec<u8>,
    unsent: Arc<Unsent>,
}

impl Queued {
    /// Copies the message, which may be a part of something longer.
    fn new(message: &Message, unsent: &Arc<Unsent>) -> Self {
        let queued = Self { payload: message.payload.to_vec(), unsent: unsent.clone() };
        unsent.bytes.fetch_add(queued.size(), Relaxed);
        queued
    }

    fn size(&self) -> usize {
        self.payload.len().max(LEAST_QUEUED)
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.unsent.bytes.fetch_sub(self.size(), Relaxed);
        self.unsent.task.wake();
    }
}

/// A message as an event: each of its lines is a line of data.
struct Event {
    queued: Queued,
    /// Where the rest of the message starts.
    at: usize,
    is_at_line_start: bool,
    has_ended: bool,
}

impl Event {
    /// The next part of the event; `None` after the last.
    fn next_part(&mut self) -> Option<Bytes> {
        let mut part = String::new();
        while !self.has_ended && part.len() < EVENT_PART {
            if std::mem::take(&mut self.is_at_line_start) {
                part.push_str("data: ");
            }
            let rest = self.queued.payload.get(self.at..).unwrap_or_default();
            let next = rest.get(..EVENT_PART).unwrap_or(rest);
            if let Some((text, end)) = memchr::memchr2(b'\r', b'\n', next).and_then(|at| rest.split_at_checked(at)) {
                part.push_str(&String::from_utf8_lossy(text));
                part.push('\n');
                self.is_at_line_start = true;
                self.at += text.len() + if end.starts_with(b"\r\n") { 2 } else { 1 };
            } else if next.len() == rest.len() {
                part.push_str(&String::from_utf8_lossy(rest));
                part.push_str("\n\n");
                self.has_ended = true;
            } else {
                // A character is not cut in two.
                let starts = |at: &usize| rest.get(*at).is_some_and(|byte| byte & 0xC0 != 0x80);
                let cut = (EVENT_PART - 3..=EVENT_PART).rev().find(starts).unwrap_or(EVENT_PART);
                part.push_str(&String::from_utf8_lossy(rest.get(..cut).unwrap_or_default()));
                self.at += cut;
            }
        }
        (!part.is_empty()).then(|| part.into())
    }
}

struct EventStream {
    exchange: Exchange,
    connection: Connection,
    account: Account,
    name: Arc<str>,
}

impl EventStream {
    /// Ready when the client takes another message.
    ///
    /// # Errors
    /// The connection must close to free memory.
    fn poll_room(&mut self, cx: &Context<'_>) -> Poll<Result<(), Error>> {
        let Exchange::Events(_, unsent) = &self.exchange else { return Poll::Ready(Ok(())) };
        unsent.task.register(cx.waker());
        let held = unsent.bytes.load(Relaxed);
        self.account.set_own(held);
        if self.account.poll_must_close(cx, false) {
            self.connection = Connection(None);
            return Poll::Ready(Err(Error::OutOfMemory { with: self.name.to_string(), held }));
        }
        if held < MAX_QUEUED { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        // The client of a POST request still gets a response, which is short.
        if let Exchange::Post(..) = self.exchange {
            self.connection.0 = None;
        }
    }
}

impl MessageStream for EventStream {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        if let Poll::Ready(room) = self.poll_room(cx) {
            room?;
        }
        match &mut self.exchange {
            // A client that has left is an end, not an error.
            Exchange::Events(..) => self.connection.poll_ended(cx).map(|_| Ok(Incoming::End(None))),
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
        self.poll_room(cx)
    }

    fn start_send(&mut self, message: Message) -> Result<(), Error> {
        if let Exchange::Events(Some(events), unsent) = &self.exchange {
            // It fails if the client has left: `poll_next` reports it.
            let _ = events.send(Queued::new(&message, unsent));
        }
        Ok(())
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_finish(&mut self, _: &mut Context<'_>, _: Option<&Close>) -> Poll<Result<(), Error>> {
        if let Exchange::Events(events, _) = &mut self.exchange {
            *events = None;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.connection.0.is_some()
            && let Poll::Ready(Err(error)) = self.poll_room(cx)
        {
            report::session_error(&self.name, &error);
        }
        self.connection.poll_ended(cx).map(|_| ())
    }
}
