//! Raw WebSocket peers: the handshake and the frames by hand, so that they can be wrong.

use crate::support::one_connection;
use base64::{Engine, prelude::BASE64_STANDARD};
use ring::digest;
use std::{
    io::{Read, Write},
    net::TcpStream,
    thread::JoinHandle,
};

/// First bytes of frames: FIN and the opcode.
pub const TEXT: u8 = 0x81;
pub const BINARY: u8 = 0x82;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;

/// A frame as it is on the wire.
pub fn frame(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(first, mask, payload.len() as u64);
    bytes.extend(payload.iter().zip(mask.unwrap_or_default().into_iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

/// A frame's header alone, which may announce any length.
pub fn header(first: u8, mask: Option<[u8; 4]>, length: u64) -> Vec<u8> {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match length {
        0..=125 => bytes.push(masked | length.to_le_bytes()[0]),
        126..=0xffff => {
            bytes.push(masked | 126);
            bytes.extend(&length.to_be_bytes()[6..]);
        }
        _ => {
            bytes.push(masked | 127);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes.extend(mask.into_iter().flatten());
    bytes
}

/// As a server sends it.
pub fn from_server(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    frame(first, None, payload.as_ref())
}

/// As a client sends it.
pub fn from_client(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    frame(first, Some([0x12, 0x34, 0x56, 0x78]), payload.as_ref())
}

/// The payload of a close frame.
pub fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

/// A frame that was read, unmasked.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    pub first: u8,
    pub masked: bool,
    pub payload: Vec<u8>,
}

/// The next frame; `None` at the end of the connection.
pub fn read_frame(stream: &mut impl Read) -> Option<Frame> {
    let [first, second] = read_array(stream)?;
    let length = match second & 0x7f {
        126 => u64::from(u16::from_be_bytes(read_array(stream)?)),
        127 => u64::from_be_bytes(read_array(stream)?),
        short => u64::from(short),
    };
    let masked = second & 0x80 != 0;
    let mask = if masked { read_array(stream)? } else { [0; 4] };
    let mut payload = vec![0; usize::try_from(length).expect("a length that fits")];
    stream.read_exact(&mut payload).ok()?;
    payload.iter_mut().zip(mask.into_iter().cycle()).for_each(|(byte, key)| *byte ^= key);
    Some(Frame { first, masked, payload })
}

fn read_array<const N: usize>(stream: &mut impl Read) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).ok().map(|()| bytes)
}

/// Reads up to the close frame and gives its code (1005 where it has none); `None` if the connection ends without one.
pub fn read_close(stream: &mut TcpStream) -> Option<u16> {
    loop {
        let frame = read_frame(stream)?;
        if frame.first == CLOSE {
            return Some(frame.payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code)));
        }
    }
}

/// The head of a request or an answer, with its empty line.
pub fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// The value of a header in a head.
pub fn header_value<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().filter_map(|line| line.split_once(':')).find_map(|(key, value)| {
        let is_it = key.eq_ignore_ascii_case(name);
        is_it.then(|| value.trim())
    })
}

/// The correct `Sec-WebSocket-Accept` for a request's head.
pub fn accept_key(request: &str) -> String {
    let key = header_value(request, "Sec-WebSocket-Key").expect("a key");
    let input = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    BASE64_STANDARD.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, input.as_bytes()))
}

/// A correct 101 for a request's head.
pub fn switching_protocols(request: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
        accept_key(request)
    )
}

/// A raw server for one client: it grants the upgrade and runs `serve`. Gives its URL.
pub fn raw_server<T: Send + 'static>(serve: impl FnOnce(TcpStream) -> T + Send + 'static) -> (String, JoinHandle<T>) {
    let (port, thread) = one_connection(|mut stream| {
        let request = read_head(&mut stream);
        stream.write_all(switching_protocols(&request).as_bytes()).expect("write the answer");
        serve(stream)
    });
    (format!("ws://127.0.0.1:{port}/"), thread)
}

/// A correct upgrade request.
pub const UPGRADE_REQUEST: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Upgrades a raw connection to a server of ours.
#[track_caller]
pub fn raw_client(mut stream: TcpStream) -> TcpStream {
    stream.write_all(UPGRADE_REQUEST.as_bytes()).expect("write the request");
    let answer = read_head(&mut stream);
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    stream
}
