//! HTTP requests whose bodies are byte streams: what is written is the body of the request, what is read that of the response.

use super::{
    Body,
    client_handshake::{Unexpected, describe_unexpected, explain},
    response_head::ResponseHead,
    show_headers,
};
use crate::{
    config::HttpRequestOptions,
    error::Error,
    flow::{BoxFuture, ByteEnd},
    report,
};
use futures_util::{Stream, TryStreamExt};
use http_body_util::{BodyDataStream, BodyExt, Empty, StreamBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Frame, Incoming},
    header::{self, HeaderMap, HeaderValue},
    http::uri::PathAndQuery,
};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex},
    select,
    sync::oneshot,
    task::AbortHandle,
    time::sleep,
};
use tokio_util::io::{ReaderStream, StreamReader};

/// How much of the body of a request may wait, in bytes.
const BODY_QUEUE: usize = 64 * 1024;

/// Sends a request over a new connection. The head of the response must arrive within `limit` after the request has been sent.
///
/// # Errors
/// If the connection fails. A response that reports a failure is an error of the returned end when it is read.
pub async fn request(
    end: ByteEnd,
    target: &PathAndQuery,
    host: &HeaderValue,
    options: &HttpRequestOptions,
    limit: Duration,
) -> Result<ByteEnd, Error> {
    let ByteEnd { io, kind, name, on_empty_message } = end;
    let (is_sending, sending) = oneshot::channel::<Infallible>();
    let (body, sent) = match options.method {
        Method::POST | Method::PUT | Method::PATCH => {
            let (ours, theirs) = duplex(BODY_QUEUE);
            (
                Body::new(StreamBody::new(ReaderStream::new(theirs).map_ok(Frame::data))),
                Some(SentBody { io: ours, _is_sending: is_sending }),
            )
        }
        _ => (Body::new(Empty::new().map_err(|never| match never {})), None),
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, host.clone());
    // `extend` replaces default headers, and keeps repeated headers of the user.
    headers.extend(options.headers.iter().cloned().collect::<HeaderMap>());
    let mut request = Request::new(body);
    *request.method_mut() = options.method.clone();
    *request.uri_mut() = target.clone().into();
    *request.headers_mut() = headers;
    report::handshake('>', &name, format_args!("{} {target} HTTP/1.1", request.method()));
    show_headers('>', &name, request.headers());
    let (io, arrived) = ResponseHead::new(io);
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .title_case_headers(true)
        .handshake::<_, Body>(TokioIo::new(io))
        .await
        .map_err(|error| failed(&name, &error))?;
    let connection = tokio::spawn(connection).abort_handle();
    let response = {
        let name = name.clone();
        async move {
            let too_late = async {
                // Ends when the body has ended.
                let _ = sending.await;
                sleep(limit).await;
            };
            let response = select! {
                biased;
                response = sender.send_request(request) => response.map_err(|error| match arrived.invalid_header(&error) {
                    Some(reason) => Error::HttpRequest { with: name.to_string(), reason, hint: None },
                    None => failed(&name, &error),
                })?,
                () = too_late => {
                    let doing = format!("waiting for the response of {name}");
                    return Err(Error::TimedOut { doing, limit, option: "--connect-timeout" });
                }
            };
            arrived.report();
            check(&name, response).await
        }
    };
    let exchange = Exchange { name: name.clone(), sent, received: Received::Waiting(Box::pin(response)), connection };
    Ok(ByteEnd { on_empty_message, ..ByteEnd::new(exchange, kind, name) })
}

/// Converts an error of hyper.
fn failed(name: &str, error: &hyper::Error) -> Error {
    match explain(name, error) {
        Error::Handshake { with, reason, .. } => Error::HttpRequest { with, reason, hint: None },
        other => other,
    }
}

/// Checks the status of a response.
async fn check(name: &str, response: Response<Incoming>) -> Result<Response<Incoming>, Error> {
    report::handshake('<', name, format_args!("{:?} {}", response.version(), response.status()));
    show_headers('<', name, response.headers());
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
    let hint = match (status, location) {
        (StatusCode::UPGRADE_REQUIRED, _) => Some("it is a WebSocket server: use ws://".into()),
        (status, Some(location)) if status.is_redirection() => Some(format!("redirected to {location}")),
        _ => None,
    };
    let Unexpected { reason, refusal, .. } = describe_unexpected(StatusCode::OK, response).await;
    Err(Error::HttpRequest { with: name.to_owned(), reason: reason + &refusal.body, hint })
}

type BodyReader = StreamReader<Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>, Bytes>;

/// The response.
enum Received {
    /// It has not arrived.
    Waiting(BoxFuture<'static, Result<Response<Incoming>, Error>>),
    /// Its body is read.
    Body(BodyReader),
}

/// The body of a request, while it is written.
struct SentBody {
    io: DuplexStream,
    /// Dropped at its end.
    _is_sending: oneshot::Sender<Infallible>,
}

struct Exchange {
    name: Arc<str>,
    /// The body of the request; `None` at its end.
    sent: Option<SentBody>,
    received: Received,
    connection: AbortHandle,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl AsyncRead for Exchange {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            match &mut self.received {
                Received::Waiting(response) => {
                    let body = BodyDataStream::new(ready!(response.as_mut().poll(cx))?.into_body());
                    let name = self.name.clone();
                    let body = body.map_err(move |error| io::Error::from(failed(&name, &error)));
                    self.received = Received::Body(StreamReader::new(Box::pin(body)));
                }
                Received::Body(body) => return Pin::new(body).poll_read(cx, buf),
            }
        }
    }
}

impl AsyncWrite for Exchange {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Some(sent) = &mut self.sent else { return Poll::Ready(Ok(buf.len())) };
        match ready!(Pin::new(&mut sent.io).poll_write(cx, buf)) {
            // The server has responded before it has read all. Its response says whether that is an error.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.sent = None;
                Poll::Ready(Ok(buf.len()))
            }
            written => Poll::Ready(written),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Dropping it ends the body.
        self.sent = None;
        Poll::Ready(Ok(()))
    }
}
