//! WebSocket by hand, frame by frame and byte by byte: for tests that look at single frames, and for peers that break the
//! rules. Peers that keep to them are in `peer.rs`.

use super::{
    http::{Exchange, Head, UPGRADE_REQUEST, switching_protocols, upgrade_request},
    support::one_connection,
};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    thread::JoinHandle,
};

/// The bit of a frame's first byte that marks the last frame of a message.
pub const FIN: u8 = 0x80;
/// First bytes of frames that are the last of their message: FIN and the opcode.
pub const CONTINUATION: u8 = 0x80;
pub const TEXT: u8 = 0x81;
pub const BINARY: u8 = 0x82;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;
pub const PONG: u8 = 0x8a;

/// The same first byte without FIN: more fragments follow.
pub const fn unfinished(first: u8) -> u8 {
    first & !FIN
}

/// A frame as it is on the wire.
pub fn frame(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(first, mask, payload.len() as u64);
    let start = bytes.len();
    bytes.extend(payload);
    apply_mask(mask.unwrap_or_default(), &mut bytes[start..]);
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

/// A frame as a server sends it.
pub fn from_server(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    frame(first, None, payload.as_ref())
}

/// A frame as a client sends it.
pub fn from_client(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    frame(first, Some([0x12, 0x34, 0x56, 0x78]), payload.as_ref())
}

fn apply_mask(mask: [u8; 4], payload: &mut [u8]) {
    if mask != [0; 4] {
        for block in payload.chunks_mut(4) {
            block.iter_mut().zip(mask).for_each(|(byte, key)| *byte ^= key);
        }
    }
}

/// The payload of a close frame.
pub fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

/// A frame that was read, unmasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub first: u8,
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
        assert_eq!(self.first, CLOSE, "not a close frame: {self:?}");
        match &self.payload[..] {
            [high, low, reason @ ..] => {
                (u16::from_be_bytes([*high, *low]), String::from_utf8_lossy(reason).into_owned())
            }
            _ => (1005, String::new()),
        }
    }
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
    apply_mask(mask, &mut payload);
    Some(Frame { first, masked, payload })
}

fn read_array<const N: usize>(stream: &mut impl Read) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).ok().map(|()| bytes)
}

/// Reads up to the close frame and gives its code (1005 where it has none); `None` if the connection ends without one.
pub fn read_close(stream: &mut impl Read) -> Option<u16> {
    std::iter::from_fn(|| read_frame(stream)).find(|frame| frame.first == CLOSE).map(|frame| frame.close().0)
}

/// A server for one client: it accepts the WebSocket and runs `serve` on the bare connection. Gives its URL.
pub fn raw_server<T: Send + 'static>(serve: impl FnOnce(TcpStream) -> T + Send + 'static) -> (String, JoinHandle<T>) {
    raw_server_with("", serve)
}

/// The same with further header lines in its answer, each ended by CR LF.
pub fn raw_server_with<T: Send + 'static>(
    headers: &'static str,
    serve: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (String, JoinHandle<T>) {
    let (port, thread) = one_connection(|mut stream| {
        let answer = switching_protocols(&Head::read(&mut stream), headers);
        stream.write_all(answer.as_bytes()).expect("write the answer");
        serve(stream)
    });
    (format!("ws://127.0.0.1:{port}/"), thread)
}

/// Upgrades a bare connection to a server of ours.
#[track_caller]
pub fn raw_client(mut stream: TcpStream) -> TcpStream {
    stream.write_all(UPGRADE_REQUEST.as_bytes()).expect("write the request");
    let answer = Head::read(&mut stream);
    assert_eq!(answer.status(), 101, "{answer:?}");
    stream
}

/// One end of a WebSocket that reads and writes single frames.
pub struct RawPeer {
    reader: BufReader<TcpStream>,
    is_client: bool,
    /// The head of the request or of the answer that the other side sent.
    pub head: Head,
}

impl RawPeer {
    /// Reads an opening handshake and accepts it.
    pub fn accept(stream: TcpStream) -> Self {
        let Exchange { reader, head } = Exchange::accept(stream).switch("");
        Self { reader, is_client: false, head }
    }

    /// Opens a WebSocket with this target.
    #[track_caller]
    pub fn connect(port: u16, target: &str) -> Self {
        Self::client(Exchange::connect(port, &upgrade_request(target, "")).switched())
    }

    /// The client of a WebSocket that has been opened.
    pub fn client(Exchange { reader, head }: Exchange) -> Self {
        Self { reader, is_client: true, head }
    }

    /// The connection itself.
    pub fn stream(&mut self) -> &mut TcpStream {
        self.reader.get_mut()
    }

    /// A second handle of the connection, for another thread.
    pub fn writer(&self) -> TcpStream {
        self.reader.get_ref().try_clone().expect("a second handle")
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream().write_all(bytes.as_ref()).expect("the bytes can be written");
    }

    /// Sends one frame.
    pub fn send(&mut self, first: u8, payload: impl AsRef<[u8]>) {
        self.send_bytes(if self.is_client { from_client(first, payload) } else { from_server(first, payload) });
    }

    pub fn send_text(&mut self, text: &str) {
        self.send(TEXT, text);
    }

    /// Sends a close frame; 1005 makes it empty.
    pub fn close(&mut self, code: u16, reason: &str) {
        self.send(CLOSE, if code == 1005 { Vec::new() } else { close_payload(code, reason) });
    }

    /// The next frame; `None` at the end of the connection, which must not be within one.
    #[track_caller]
    pub fn frame(&mut self) -> Option<Frame> {
        if self.reader.fill_buf().ok()?.is_empty() {
            return None;
        }
        let frame = read_frame(&mut self.reader).expect("the rest of a frame");
        assert_eq!(frame.masked, !self.is_client, "clients mask and servers do not");
        Some(frame)
    }

    /// The next message, its fragments joined, or the close frame. Pings on the way are answered.
    #[track_caller]
    pub fn receive(&mut self) -> Frame {
        let mut whole: Option<Frame> = None;
        loop {
            let frame = self.frame().expect("a message before the end of the connection");
            match frame.first {
                PING => self.send(PONG, &frame.payload),
                PONG => {}
                CLOSE => return frame,
                _ => {
                    let is_last = frame.first & FIN != 0;
                    match &mut whole {
                        None => whole = Some(Frame { first: frame.first | FIN, ..frame }),
                        Some(start) => {
                            assert_eq!(frame.first | FIN, CONTINUATION, "only the first frame has the kind");
                            start.payload.extend(frame.payload);
                        }
                    }
                    if let Some(message) = whole.take_if(|_| is_last) {
                        return message;
                    }
                }
            }
        }
    }

    /// The next message as text.
    #[track_caller]
    pub fn receive_text(&mut self) -> String {
        let message = self.receive();
        assert!(matches!(message.first, TEXT | BINARY), "not a message: {message:?}");
        message.text()
    }

    /// Waits for the close frame and answers it as it came. Gives the code and the reason.
    #[track_caller]
    pub fn receive_close(&mut self) -> (u16, String) {
        let frame = self.receive();
        let close = frame.close();
        self.send(CLOSE, &frame.payload);
        close
    }

    /// Reads to the end of the connection; whether it ended without an error.
    pub fn ends(&mut self) -> bool {
        self.reader.read_to_end(&mut Vec::new()).is_ok()
    }
}

/// A server for one client, frame by frame: its URL, and what `serve` gives.
pub fn raw_peer_server<T: Send + 'static>(
    serve: impl FnOnce(RawPeer) -> T + Send + 'static,
) -> (String, JoinHandle<T>) {
    let (port, thread) = one_connection(|stream| serve(RawPeer::accept(stream)));
    (format!("ws://127.0.0.1:{port}/"), thread)
}
