//! The parts of RFC 6455 that the loads need: no checks, no extensions, each message in one frame.

use base64::{Engine, prelude::BASE64_STANDARD};
use std::{
    io::{self, Read, Write},
    net::TcpStream,
};

pub const TEXT: u8 = 0x81;
pub const BINARY: u8 = 0x82;
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

fn head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Connects to a server and performs the opening handshake. `url` is `ws://HOST:PORT/PATH`.
pub fn connect(url: &str) -> io::Result<TcpStream> {
    let (authority, path) = url.trim_start_matches("ws://").split_once('/').unwrap_or((url, ""));
    let mut stream = TcpStream::connect(authority)?;
    stream.set_nodelay(true)?;
    write!(
        stream,
        "GET /{path} HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )?;
    match head(&mut stream)? {
        answer if answer.starts_with("HTTP/1.1 101") => Ok(stream),
        answer => Err(io::Error::other(answer)),
    }
}

/// Accepts the opening handshake of a client. Returns the path.
pub fn accept(stream: &mut TcpStream) -> io::Result<String> {
    stream.set_nodelay(true)?;
    let request = head(stream)?;
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim().to_owned())
    };
    let key = request.lines().find_map(header).unwrap_or_default();
    let digest = sha1_smol::Sha1::from(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest().bytes();
    write!(
        stream,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
        BASE64_STANDARD.encode(digest)
    )?;
    Ok(request.split(' ').nth(1).unwrap_or("/").to_owned())
}
