//! WebSocket peers that keep to the rules, with tokio-tungstenite. Peers that break them, and tests that look at single
//! frames, use `raw.rs`.

use super::{
    http::{Exchange, Head, upgrade_request},
    support::{LIMIT, one_connection},
};
use futures_util::{SinkExt, StreamExt};
use std::{future::Future, net::SocketAddr, sync::LazyLock, thread::JoinHandle, time::Duration};
use tokio::{net::TcpStream, runtime, time};
pub use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error,
        protocol::{CloseFrame, Role, WebSocketConfig},
    },
};

/// Drives the sockets of all peers; each test waits on its own thread.
static RUNTIME: LazyLock<runtime::Runtime> = LazyLock::new(|| {
    runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime for the peers")
});

/// Waits for something at most [`LIMIT`].
#[track_caller]
fn wait<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.block_on(async { time::timeout(LIMIT, future).await }).expect("the other side is in time")
}

/// A WebSocket on a connection after its opening handshake; `read` are the bytes that were read already. Messages may be of
/// any length. The read buffer is small, since tests have thousands of peers.
pub async fn websocket(stream: std::net::TcpStream, read: Vec<u8>, role: Role) -> WebSocketStream<TcpStream> {
    let config = WebSocketConfig::default().read_buffer_size(16 << 10).max_message_size(None).max_frame_size(None);
    stream.set_nonblocking(true).expect("set an option");
    let stream = TcpStream::from_std(stream).expect("a socket of tokio's");
    WebSocketStream::from_partially_read(stream, read, role, Some(config)).await
}

/// One end of a WebSocket. It answers pings while it receives, and a close frame at once.
pub struct Peer {
    socket: WebSocketStream<TcpStream>,
    /// The head of the request or of the answer that the other side sent.
    pub head: Head,
}

impl Peer {
    /// Reads an opening handshake and accepts it.
    pub fn accept(stream: std::net::TcpStream) -> Self {
        Self::accept_with(stream, "")
    }

    /// The same with further header lines in the answer, each ended by CR LF.
    pub fn accept_with(stream: std::net::TcpStream, headers: &str) -> Self {
        Self::new(Exchange::accept(stream).switch(headers), Role::Server)
    }

    /// Opens a WebSocket with this target.
    #[track_caller]
    pub fn connect(port: u16, target: &str) -> Self {
        Self::connect_with(port, target, "")
    }

    /// The same with further header lines, each ended by CR LF.
    #[track_caller]
    pub fn connect_with(port: u16, target: &str, headers: &str) -> Self {
        Self::client(Exchange::connect(port, &upgrade_request(target, headers)).switched())
    }

    /// The client of a WebSocket that has been opened.
    pub fn client(exchange: Exchange) -> Self {
        Self::new(exchange, Role::Client)
    }

    /// The server of a WebSocket that has been opened.
    pub fn server(exchange: Exchange) -> Self {
        Self::new(exchange, Role::Server)
    }

    fn new(exchange: Exchange, role: Role) -> Self {
        let head = exchange.head.clone();
        let (stream, read) = exchange.into_parts();
        Self { socket: wait(websocket(stream, read, role)), head }
    }

    /// Its own address.
    pub fn local_addr(&self) -> SocketAddr {
        self.socket.get_ref().local_addr().expect("an address")
    }

    /// Sends a message, a ping or a close frame.
    #[track_caller]
    pub fn send(&mut self, message: Message) {
        wait(self.socket.send(message)).expect("the message can be sent");
    }

    #[track_caller]
    pub fn send_text(&mut self, text: &str) {
        self.send(Message::text(text));
    }

    /// Sends a close frame; 1005 makes it empty.
    #[track_caller]
    pub fn close(&mut self, code: u16, reason: &str) {
        let frame = (code != 1005).then(|| CloseFrame { code: code.into(), reason: reason.into() });
        self.send(Message::Close(frame));
    }

    /// The next message or close frame, which is answered.
    #[track_caller]
    pub fn receive(&mut self) -> Message {
        let receive = async {
            loop {
                match self.socket.next().await {
                    None => panic!("the connection ended before a message"),
                    Some(Err(error)) => panic!("no message: {error}"),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(message)) => {
                        if message.is_close() {
                            // Sends the answer, after which the connection may have ended.
                            let _ = self.socket.flush().await;
                        }
                        return message;
                    }
                }
            }
        };
        wait(receive)
    }

    /// The next message as text.
    #[track_caller]
    pub fn receive_text(&mut self) -> String {
        let message = self.receive();
        assert!(message.is_text() || message.is_binary(), "not a message: {message:?}");
        String::from_utf8_lossy(&message.into_data()).into_owned()
    }

    /// The messages up to the close frame.
    #[track_caller]
    pub fn receive_all(&mut self) -> Vec<Message> {
        std::iter::from_fn(|| Some(self.receive()).filter(|message| !message.is_close())).collect()
    }

    /// The next message as text, if it arrives within the limit.
    pub fn receive_soon(&mut self, limit: Duration) -> Option<String> {
        let receive = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                        return String::from_utf8_lossy(&message.into_data()).into_owned();
                    }
                    Some(Ok(_)) => {}
                    other => panic!("no message: {other:?}"),
                }
            }
        };
        RUNTIME.block_on(async { time::timeout(limit, receive).await }).ok()
    }

    /// Waits for the close frame, which is answered. Gives the code and the reason; 1005 where it has none.
    #[track_caller]
    pub fn receive_close(&mut self) -> (u16, String) {
        match self.receive() {
            Message::Close(None) => (1005, String::new()),
            Message::Close(Some(frame)) => (frame.code.into(), frame.reason.as_str().to_owned()),
            message => panic!("not a close frame: {message:?}"),
        }
    }

    /// Reads to the end of the connection; whether it ended without an error.
    pub fn ends(&mut self) -> bool {
        let end = async {
            loop {
                match self.socket.next().await {
                    None => return true,
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return !matches!(error, Error::Io(_)),
                }
            }
        };
        wait(end)
    }
}

/// A server for one WebSocket: its URL, and what `serve` gives.
pub fn websocket_server<T: Send + 'static>(serve: impl FnOnce(Peer) -> T + Send + 'static) -> (String, JoinHandle<T>) {
    let (port, thread) = one_connection(|stream| serve(Peer::accept(stream)));
    (format!("ws://127.0.0.1:{port}/"), thread)
}
