//! The parts of RFC 6455 that the loads need: no checks, each message in one frame.

use crate::{
    deflate,
    stream::{Connector, Stream},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use std::io::{self, Read, Write};

pub const TEXT: u8 = 0x81;
pub const BINARY: u8 = 0x82;
/// In the first byte of a frame: the message is compressed.
pub const COMPRESSED: u8 = 0x40;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;
pub const PONG: u8 = 0x8a;

/// The mask of clients. It is not zero, so that unmasking costs as much as with real clients.
pub const MASK: Option<[u8; 4]> = Some([0x12, 0x34, 0x56, 0x78]);

/// Appends a frame. `first` is its first byte.
pub fn frame(out: &mut Vec<u8>, first: u8, mask: Option<[u8; 4]>, payload: &[u8]) {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    out.push(first);
    match payload.len() {
        short @ 0..=125 => out.push(masked | short.to_le_bytes()[0]),
        medium @ 126..=0xffff => {
            out.push(masked | 126);
            out.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            out.push(masked | 127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend(mask.iter().flatten());
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(key) = mask {
        apply(key, &mut out[start..]);
    }
}

fn apply(key: [u8; 4], payload: &mut [u8]) {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, tail) = payload.as_chunks_mut::<8>();
    words.iter_mut().for_each(|word| *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes());
    tail.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
}

/// Start and end of the payload of a frame, and its mask; `None` if the header is incomplete.
fn bounds(bytes: &[u8]) -> Option<(usize, usize, Option<[u8; 4]>)> {
    let second = *bytes.get(1)?;
    let (length, mut start) = match second & 0x7f {
        126 => (u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?) as usize, 4),
        127 => (u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?) as usize, 10),
        short => (short as usize, 2),
    };
    let mut mask = None;
    if second & 0x80 != 0 {
        mask = Some(*bytes.get(start..)?.first_chunk()?);
        start += 4;
    }
    Some((start, start + length, mask))
}

/// Splits the data of reads into frames.
#[derive(Default)]
pub struct Frames {
    /// The start of an incomplete frame.
    rest: Vec<u8>,
}

impl Frames {
    /// Calls `each` with the first byte and the unmasked payload of each complete frame.
    pub fn take(&mut self, read: &mut [u8], mut each: impl FnMut(u8, &[u8])) {
        if self.rest.is_empty() {
            let left = split(read, &mut each);
            self.rest.extend_from_slice(&read[left..]);
        } else {
            self.rest.extend_from_slice(read);
            let left = split(&mut self.rest, &mut each);
            self.rest.drain(..left);
        }
    }
}

fn split(bytes: &mut [u8], each: &mut impl FnMut(u8, &[u8])) -> usize {
    let mut at = 0;
    while let Some((start, end, mask)) = bounds(&bytes[at..])
        && at + end <= bytes.len()
    {
        let payload = &mut bytes[at + start..at + end];
        if let Some(key) = mask {
            apply(key, payload);
        }
        each(bytes[at], &bytes[at + start..at + end]);
        at += end;
    }
    at
}

/// The head of a response, byte by byte: frames may follow it at once.
fn head(stream: &mut impl Read) -> io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Connects to a server and performs the opening handshake. `url` is `ws://HOST:PORT/PATH`, or `wss://…` for TLS. `deflate`
/// requests compression, which the server must accept.
pub fn connect(connector: &Connector, url: &str, deflate: bool) -> io::Result<Stream> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("ws", url));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = connector.connect(authority, scheme == "wss")?;
    let extensions =
        if deflate { format!("Sec-WebSocket-Extensions: {}\r\n", deflate::EXTENSION) } else { String::new() };
    // One write: with TLS each one is a record.
    let request = format!(
        "GET /{path} HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{extensions}\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let answer = head(&mut stream)?;
    if !answer.starts_with("HTTP/1.1 101") {
        return Err(io::Error::other(answer));
    }
    if deflate && !answer.contains("server_no_context_takeover") {
        return Err(io::Error::other(format!("no compression of single messages: {answer}")));
    }
    Ok(stream)
}

/// Accepts the opening handshake of a client. `deflate` accepts compression. Returns the path.
pub fn accept(stream: &mut (impl Read + Write), deflate: bool) -> io::Result<String> {
    // At once: clients send nothing more before the response.
    let (mut request, mut part) = (Vec::new(), [0; 1024]);
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut part)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => request.extend_from_slice(&part[..read]),
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim().to_owned())
    };
    let key = request.lines().find_map(header).unwrap_or_default();
    let digest = sha1_smol::Sha1::from(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest().bytes();
    let extensions =
        if deflate { format!("Sec-WebSocket-Extensions: {}\r\n", deflate::EXTENSION) } else { String::new() };
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{extensions}\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        BASE64_STANDARD.encode(digest)
    );
    stream.write_all(response.as_bytes())?;
    Ok(request.split(' ').nth(1).unwrap_or("/").to_owned())
}
