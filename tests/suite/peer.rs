//! A WebSocket peer written by hand on a raw socket: it can say what no library would, at the moment that a test needs.

use crate::support::{connect, one_connection};
use base64::{Engine, prelude::BASE64_STANDARD};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    thread::JoinHandle,
};

pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// One frame as it was on the wire, unmasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub is_final: bool,
    pub opcode: u8,
    pub masked: bool,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }

    /// The code and reason of a close frame; 1005 where it has none.
    #[track_caller]
    pub fn close(&self) -> (u16, String) {
        assert_eq!(self.opcode, CLOSE, "no close frame: {self:?}");
        match &self.payload[..] {
            [high, low, reason @ ..] => {
                (u16::from_be_bytes([*high, *low]), String::from_utf8_lossy(reason).into_owned())
            }
            _ => (1005, String::new()),
        }
    }
}

/// One end of a connection, after the handshake.
pub struct Peer {
    reader: BufReader<TcpStream>,
    masks: bool,
    /// The head of the request or of the answer that the other side sent.
    pub head: Head,
}

/// The lines of an HTTP head.
#[derive(Clone, Debug)]
pub struct Head(pub Vec<String>);

impl Head {
    fn read(reader: &mut impl BufRead) -> Self {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let read = reader.read_line(&mut line).expect("the head can be read");
            let line = line.trim_end();
            if read == 0 || line.is_empty() {
                return Self(lines);
            }
            lines.push(line.to_owned());
        }
    }

    /// `GET /path HTTP/1.1` or `HTTP/1.1 101 Switching Protocols`.
    pub fn first(&self) -> &str {
        self.0.first().map(String::as_str).unwrap_or_default()
    }

    /// The values of a header, one a line.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.0[1..]
            .iter()
            .filter_map(|line| line.split_once(':'))
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }
}

impl Peer {
    /// Reads an upgrade request and grants it.
    pub fn accept(stream: TcpStream) -> Self {
        Self::accept_with(stream, "")
    }

    /// The same with further header lines, each ended by CR LF.
    pub fn accept_with(stream: TcpStream, more: &str) -> Self {
        let mut reader = BufReader::new(stream);
        let head = Head::read(&mut reader);
        let key = head.get("Sec-WebSocket-Key").unwrap_or_else(|| panic!("no key in {head:?}"));
        let accept = accept_key(key);
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n{more}\r\n"
        );
        reader.get_mut().write_all(answer.as_bytes()).expect("the answer can be written");
        Self { reader, masks: false, head }
    }

    /// Asks for an upgrade of this target and gets it.
    #[track_caller]
    pub fn connect(port: u16, target: &str) -> Self {
        Self::connect_with(port, target, "")
    }

    /// The same with further header lines, each ended by CR LF.
    #[track_caller]
    pub fn connect_with(port: u16, target: &str, more: &str) -> Self {
        let peer = Self::request(connect(port), &upgrade_request(target, more));
        assert!(peer.head.first().starts_with("HTTP/1.1 101 "), "{:?}", peer.head);
        peer
    }

    /// Sends this request and reads the head of the answer, whatever it is.
    pub fn request(mut stream: TcpStream, request: &str) -> Self {
        stream.write_all(request.as_bytes()).expect("the request can be written");
        let mut reader = BufReader::new(stream);
        let head = Head::read(&mut reader);
        Self { reader, masks: true, head }
    }

    /// Sends a further request on the same connection.
    pub fn again(mut self, request: &str) -> Self {
        self.stream().write_all(request.as_bytes()).expect("the request can be written");
        self.head = Head::read(&mut self.reader);
        self
    }

    /// The body of an answer, by its Content-Length.
    pub fn body(&mut self) -> String {
        let length = self.head.get("Content-Length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).expect("the body can be read");
        String::from_utf8_lossy(&body).into_owned()
    }

    pub fn stream(&mut self) -> &mut TcpStream {
        self.reader.get_mut()
    }

    pub fn send_frame(&mut self, is_final: bool, opcode: u8, payload: &[u8]) {
        let bytes = encode(is_final, opcode, self.masks, payload);
        self.reader.get_mut().write_all(&bytes).expect("the frame can be written");
    }

    pub fn send(&mut self, opcode: u8, payload: impl AsRef<[u8]>) {
        self.send_frame(true, opcode, payload.as_ref());
    }

    pub fn say(&mut self, text: &str) {
        self.send(TEXT, text);
    }

    /// Sends a close frame; 1005 makes it empty.
    pub fn close(&mut self, code: u16, reason: &str) {
        let payload = if code == 1005 { Vec::new() } else { [&code.to_be_bytes(), reason.as_bytes()].concat() };
        self.send(CLOSE, payload);
    }

    /// The next frame, or the end of the connection.
    pub fn frame(&mut self) -> Option<Frame> {
        let mut start = [0; 2];
        self.reader.read_exact(&mut start[..1]).ok()?;
        self.reader.read_exact(&mut start[1..]).expect("the rest of a frame");
        let mut field = |length: usize| {
            let mut bytes = vec![0; length];
            self.reader.read_exact(&mut bytes).expect("the rest of a frame");
            bytes
        };
        let number = |bytes: Vec<u8>| bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let length = match start[1] & 0x7f {
            126 => number(field(2)),
            127 => number(field(8)),
            short => short.into(),
        };
        let masked = start[1] & 0x80 != 0;
        let mask = if masked { field(4) } else { Vec::new() };
        let mut payload = field(length);
        // Byte by byte takes its time without optimization, and what many members hear is not masked.
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
        assert_eq!(masked, !self.masks, "clients mask and servers do not");
        Some(Frame { is_final: start[0] & 0x80 != 0, opcode: start[0] & 0x0f, masked, payload })
    }

    /// The next message, its fragments joined, or the close frame. Pings on the way are answered.
    #[track_caller]
    pub fn next(&mut self) -> Frame {
        let mut whole: Option<Frame> = None;
        loop {
            let frame = self.frame().expect("a message or a close frame, but the connection ended");
            match frame.opcode {
                PING => self.send(PONG, &frame.payload),
                PONG => {}
                CLOSE => return frame,
                _ => {
                    match &mut whole {
                        None => whole = Some(frame),
                        Some(start) => {
                            assert_eq!(frame.opcode, CONTINUATION);
                            start.payload.extend(frame.payload);
                            start.is_final = frame.is_final;
                        }
                    }
                    if let Some(message) = whole.take_if(|message| message.is_final) {
                        return message;
                    }
                }
            }
        }
    }

    /// The next message as text.
    #[track_caller]
    pub fn hear(&mut self) -> String {
        let message = self.next();
        assert!(matches!(message.opcode, TEXT | BINARY), "no message: {message:?}");
        message.text()
    }

    /// Reads to the end of the connection; whether it ended in good order.
    pub fn ends(&mut self) -> bool {
        self.reader.read_to_end(&mut Vec::new()).is_ok()
    }

    /// Waits for the close frame, answers it as it came and lets go. Gives the code and the reason.
    #[track_caller]
    pub fn closed(&mut self) -> (u16, String) {
        let frame = self.next();
        let close = frame.close();
        self.send(CLOSE, &frame.payload);
        close
    }
}

/// What proves that a server has understood this key (RFC 6455 section 4.2.2).
pub fn accept_key(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    BASE64_STANDARD.encode(ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

/// A correct upgrade request.
pub fn upgrade_request(target: &str, more: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}

/// A frame's bytes.
pub fn encode(is_final: bool, opcode: u8, masked: bool, payload: &[u8]) -> Vec<u8> {
    let mask_bit = if masked { 0x80 } else { 0 };
    let mut bytes = vec![if is_final { 0x80 } else { 0 } | opcode];
    match payload.len() {
        length @ 0..=125 => bytes.push(mask_bit | length as u8),
        length @ 126..=0xffff => {
            bytes.push(mask_bit | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(mask_bit | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    if masked {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        bytes.extend(mask);
        bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    } else {
        bytes.extend(payload);
    }
    bytes
}

/// A server for one WebSocket: its URL, and what `serve` gives.
pub fn websocket_server<T: Send + 'static>(serve: impl FnOnce(Peer) -> T + Send + 'static) -> (String, JoinHandle<T>) {
    let (port, thread) = one_connection(|stream| serve(Peer::accept(stream)));
    (format!("ws://127.0.0.1:{port}/"), thread)
}
