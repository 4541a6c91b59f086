//! The heads of HTTP/1.1 messages, as text. A test sees every header as it was sent, and can send any header.

use super::support::{connect, one_connection};
use base64::{Engine, prelude::BASE64_STANDARD};
use ring::digest;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    thread::JoinHandle,
};

/// A correct opening handshake of a client, for `/`.
pub const UPGRADE_REQUEST: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A correct opening handshake for this target. `headers` are further lines, each ended by CR LF.
pub fn upgrade_request(target: &str, headers: &str) -> String {
    UPGRADE_REQUEST.replacen("GET /", &format!("GET {target}"), 1).replace("\r\n\r\n", &format!("\r\n{headers}\r\n"))
}

/// The `Sec-WebSocket-Accept` that answers a `Sec-WebSocket-Key` (RFC 6455 section 4.2.2).
pub fn accept_key(key: &str) -> String {
    let input = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    BASE64_STANDARD.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, input.as_bytes()))
}

/// A correct answer to this request. `headers` are further lines, each ended by CR LF.
pub fn switching_protocols(request: &Head, headers: &str) -> String {
    let key = request.get("Sec-WebSocket-Key").unwrap_or_else(|| panic!("no key in {request:?}"));
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n{headers}\r\n",
        accept_key(key)
    )
}

/// The lines of a head, without the empty one at its end.
#[derive(Clone, Debug)]
pub struct Head(pub Vec<String>);

impl Head {
    /// Reads up to the empty line, or to the end of the connection. It takes single bytes, so that nothing behind the
    /// head is lost where the reader has no buffer.
    pub fn read(reader: &mut impl Read) -> Self {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") && reader.read_exact(&mut byte).is_ok() {
            head.push(byte[0]);
        }
        Self(String::from_utf8_lossy(&head).trim_end().lines().map(str::to_owned).collect())
    }

    /// `GET /path HTTP/1.1` or `HTTP/1.1 101 Switching Protocols`; empty where nothing was read.
    pub fn first(&self) -> &str {
        self.0.first().map(String::as_str).unwrap_or_default()
    }

    /// The status of an answer.
    #[track_caller]
    pub fn status(&self) -> u16 {
        let status = self.first().strip_prefix("HTTP/1.1 ").and_then(|rest| rest.split(' ').next()?.parse().ok());
        status.unwrap_or_else(|| panic!("no status in {self:?}"))
    }

    /// The values of a header, one a line.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let headers = self.0.iter().skip(1).filter_map(|line| line.split_once(':'));
        headers.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    /// The first value of a header.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }
}

/// A connection on which the other side has sent a head.
pub struct Exchange {
    /// Reads what follows the head.
    pub reader: BufReader<TcpStream>,
    /// What the other side sent last.
    pub head: Head,
}

impl Exchange {
    /// Reads a request.
    pub fn accept(stream: TcpStream) -> Self {
        Self::request(stream, "")
    }

    /// Connects to this port on loopback, sends this request and reads the head of the answer.
    pub fn connect(port: u16, request: &str) -> Self {
        Self::request(connect(port), request)
    }

    /// Sends this request and reads the head of the answer, whatever it is.
    pub fn request(mut stream: TcpStream, request: &str) -> Self {
        stream.write_all(request.as_bytes()).expect("the request can be written");
        let mut reader = BufReader::new(stream);
        let head = Head::read(&mut reader);
        Self { reader, head }
    }

    /// Sends a further request on the same connection.
    pub fn again(mut self, request: &str) -> Self {
        self.reader.get_mut().write_all(request.as_bytes()).expect("the request can be written");
        self.head = Head::read(&mut self.reader);
        self
    }

    /// The body of an answer, by its `Content-Length`.
    pub fn body(&mut self) -> String {
        let length = self.head.get("Content-Length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).expect("the body can be read");
        String::from_utf8_lossy(&body).into_owned()
    }

    /// Reads to the end of the connection; whether it ended without an error.
    pub fn ends(&mut self) -> bool {
        self.reader.read_to_end(&mut Vec::new()).is_ok()
    }

    /// Accepts the WebSocket that was asked for. `headers` are further lines, each ended by CR LF.
    pub fn switch(mut self, headers: &str) -> Self {
        let answer = switching_protocols(&self.head, headers);
        self.reader.get_mut().write_all(answer.as_bytes()).expect("the answer can be written");
        self
    }

    /// Fails unless the answer is 101.
    #[track_caller]
    pub fn switched(self) -> Self {
        assert_eq!(self.head.status(), 101, "{:?}", self.head);
        self
    }

    /// The connection, and the bytes after the head that have been read already.
    pub fn into_parts(mut self) -> (TcpStream, Vec<u8>) {
        let buffered = self.reader.buffer().to_vec();
        self.reader.consume(buffered.len());
        (self.reader.into_inner(), buffered)
    }
}

/// A server for one connection: its port, and what `serve` gives, which gets the request.
pub fn http_server<T: Send + 'static>(serve: impl FnOnce(Exchange) -> T + Send + 'static) -> (u16, JoinHandle<T>) {
    one_connection(|stream| serve(Exchange::accept(stream)))
}
