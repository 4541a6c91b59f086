//! The client of a proxy that speaks HTTP: a tunnel with CONNECT (RFC 9110 section 9.3.6).

use super::{
    body_start::{body_start, in_one_line},
    client_handshake::Driven,
    response_head::{Arrived, ResponseHead},
    show_headers,
};
use crate::{
    access::BasicAuth,
    error::{Error, io_message},
    flow::ByteEnd,
    net::{HostPort, ProxyLogin},
    report,
};
use http_body_util::Empty;
use hyper::{
    Method, Request, Response, StatusCode, Uri,
    body::{Bytes, Incoming},
    header::{self, HeaderValue},
};
use hyper_util::rt::TokioIo;
use std::{error::Error as _, io};

/// The longest head of a response that is read, in bytes.
const MAX_HEAD: usize = 64 << 10;

/// Asks the proxy at the other side of `end` for a connection to `target`. `proxy` is its URL, for errors.
///
/// # Errors
/// [`Error::Connect`] if the proxy cannot reach the target, [`Error::Proxy`] if it refuses or does not speak HTTP.
pub async fn connect(
    end: ByteEnd,
    target: &HostPort,
    login: Option<&ProxyLogin>,
    proxy: &str,
) -> Result<ByteEnd, Error> {
    let ByteEnd { io, kind, name, on_empty_message } = end;
    let request = request(target, login)?;
    report::handshake('>', &name, format_args!("CONNECT {target} HTTP/1.1"));
    show_headers('>', &name, request.headers());
    let (io, arrived) = ResponseHead::new(io);
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .title_case_headers(true)
        .max_buf_size(MAX_HEAD)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(io))
        .await
        .map_err(|error| explain(proxy, &arrived, &error))?;
    let mut connection = Driven::new(connection.with_upgrades());
    let answer = connection.drive(sender.send_request(request)).await;
    let response = answer.map_err(|error| explain(proxy, &arrived, &error))?;
    arrived.report();
    report::handshake('<', &name, format_args!("{:?} {}", response.version(), response.status()));
    show_headers('<', &name, response.headers());
    if !response.status().is_success() {
        return Err(connection.drive(refused(response, target, proxy, login.is_some())).await);
    }
    let upgraded = connection.drive(hyper::upgrade::on(response)).await;
    let upgraded = upgraded.map_err(|error| explain(proxy, &arrived, &error))?;
    // It also has the bytes of the target that came together with the response.
    Ok(ByteEnd { on_empty_message, ..ByteEnd::new(TokioIo::new(upgraded), kind, target.to_string()) })
}

fn request(target: &HostPort, login: Option<&ProxyLogin>) -> Result<Request<Empty<Bytes>>, Error> {
    let authority = target.to_string();
    let wrong = |_| Error::usage(format!("`{}` is not a host name", target.host));
    let uri = Uri::builder().authority(authority.as_str()).build().map_err(wrong)?;
    let host = HeaderValue::from_str(&authority).map_err(|_| Error::usage("the host name is not valid in HTTP"))?;
    let mut request = Request::new(Empty::new());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = uri;
    request.headers_mut().insert(header::HOST, host);
    if let Some(login) = login.map(ProxyLogin::basic_auth) {
        request.headers_mut().insert(header::PROXY_AUTHORIZATION, BasicAuth::header_value(&login).clone());
    }
    Ok(request)
}

/// The error for a response that is not a success.
async fn refused(response: Response<Incoming>, target: &HostPort, proxy: &str, has_login: bool) -> Error {
    let status = response.status();
    let text = in_one_line(&body_start(response.into_body()).await);
    // Error pages are HTML, of which nothing can be read in one line.
    let text = if text.is_empty() || text.starts_with('<') { String::new() } else { format!(": {text}") };
    let hint = match status {
        // What proxies answer if the target cannot be reached; the status 500 is that of tinyproxy.
        StatusCode::INTERNAL_SERVER_ERROR
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => {
            let source = io::Error::other(format!("the proxy {proxy} answered {status}{text}"));
            return Error::Connect { to: target.to_string(), source };
        }
        StatusCode::PROXY_AUTHENTICATION_REQUIRED if has_login => Some("the user name or the password is wrong"),
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => Some("log in with --proxy http://USER:PASSWORD@HOST:PORT"),
        StatusCode::FORBIDDEN => Some("the proxy may allow only some hosts and ports"),
        StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::BAD_REQUEST
        | StatusCode::NOT_FOUND
        | StatusCode::NOT_IMPLEMENTED => Some("it may be a web server, or a proxy without CONNECT"),
        _ => None,
    };
    Error::Proxy { proxy: proxy.into(), reason: format!("it answered {status}{text}"), hint: hint.map(str::to_owned) }
}

/// Converts an error of hyper.
fn explain(proxy: &str, arrived: &Arrived, error: &hyper::Error) -> Error {
    if let Some(reason) = arrived.invalid_header(error) {
        return Error::Proxy { proxy: proxy.into(), reason, hint: None };
    }
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    let (reason, hint) = match source {
        _ if error.is_parse_too_large() => (format!("its response is longer than {} KiB", MAX_HEAD >> 10), None),
        _ if error.is_parse() => {
            let hint = "if it is a SOCKS proxy, write socks5h://HOST:PORT; if it speaks TLS, https://HOST:PORT";
            ("its response is not HTTP".to_owned(), Some(hint.to_owned()))
        }
        Some(io) => match io.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            // hyper keeps its error, so this one is copied.
            Some(Error::Tls { with, reason, hint }) => {
                return Error::Tls { with: with.clone(), reason: reason.clone(), hint: hint.clone() };
            }
            _ => (io_message(io), None),
        },
        None => ("it closed the connection before it answered".to_owned(), None),
    };
    Error::Proxy { proxy: proxy.into(), reason, hint }
}
