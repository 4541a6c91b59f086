//! The HTTP server of a listener, over a connection in memory.

use super::config_of;
use crate::{
    config::Config,
    error::Error,
    flow::{ByteEnd, ByteStream},
    http::{choose_protocol, receive},
    net::Peer,
    ws::derive_accept_key,
};
use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Context, Poll, Waker},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    runtime::{Builder, Runtime},
};

/// What passes through a connection.
#[derive(Default)]
struct Wire {
    /// What the client sends, in pieces; one is read at a time, and reading is pending between them.
    pieces: Vec<Vec<u8>>,
    is_waiting: bool,
    /// The client has closed its direction after the last piece.
    ends: bool,
    /// What the server has written.
    written: Vec<u8>,
    /// The most bytes that are taken by one write; writing is pending between them.
    most: usize,
    is_full: bool,
    is_shut_down: bool,
}

#[derive(Clone)]
struct Client(Arc<Mutex<Wire>>);

impl Client {
    fn lock(&self) -> MutexGuard<'_, Wire> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncRead for Client {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let wire = &mut *self.lock();
        wire.is_waiting = !wire.is_waiting;
        match wire.pieces.last_mut() {
            _ if wire.is_waiting => Poll::Pending,
            None if wire.ends => Poll::Ready(Ok(())),
            None => Poll::Pending,
            Some(piece) => {
                let rest = piece.split_off(piece.len().min(buf.remaining()));
                buf.put_slice(piece);
                if rest.is_empty() {
                    wire.pieces.pop();
                } else {
                    *piece = rest;
                }
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl AsyncWrite for Client {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wire = &mut *self.lock();
        wire.is_full = !wire.is_full && wire.most < usize::MAX;
        if wire.is_full {
            return Poll::Pending;
        }
        assert!(!wire.is_shut_down, "something is written after the end");
        let (taken, _) = bytes.split_at(bytes.len().min(wire.most));
        wire.written.extend_from_slice(taken);
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lock().is_shut_down = true;
        Poll::Ready(Ok(()))
    }
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// It waits for more.
    Waits,
    /// It was upgraded, and these bytes come behind the handshake.
    Upgraded {
        target: String,
        behind: Vec<u8>,
    },
    /// The handshake was refused.
    Refused,
    Failed(String),
}

/// After this many polls without a byte read or written, a connection waits for more. It is polled again, woken or not.
const IDLE: usize = 16;

/// The responses and the end of one connection.
fn serve(input: &[u8], cuts: &[usize], flags: u8, config: &Arc<Config>) -> (Vec<u8>, End) {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (input.len() + 1)).chain([0, input.len()]).collect();
    cuts.sort_unstable();
    cuts.dedup();
    let pieces = cuts.windows(2).rev().filter_map(|ends| Some(input.get(*ends.first()?..*ends.last()?)?.to_vec()));
    let most = if flags & 1 > 0 { 1 + usize::from(flags >> 4) } else { usize::MAX };
    let wire = Wire { pieces: pieces.collect(), ends: flags & 2 > 0, most, ..Wire::default() };
    let client = Client(Arc::new(Mutex::new(wire)));
    let serving = async {
        let end = ByteEnd::peer(ByteStream::other(client.clone()), "client");
        let pending = match receive(end, &Peer::named("client"), config).await {
            Ok(pending) => pending,
            Err(Error::NoUpgrade { .. }) => return End::Failed("no upgrade".into()),
            Err(error) => return End::Failed(error.to_string()),
        };
        let request = pending.request().clone();
        if flags & 4 > 0 {
            pending.refuse(&Error::Full { target: request.target.to_string(), reason: String::new() }).await;
            return End::Refused;
        }
        match pending.accept(choose_protocol(&request.protocols, None, &config.server)).await {
            Ok(mut upgraded) => {
                let mut behind = upgraded.early;
                client.lock().ends = true;
                let _ = upgraded.end.io.read_to_end(&mut behind).await;
                End::Upgraded { target: request.target.to_string(), behind }
            }
            Err(error) => End::Failed(error.to_string()),
        }
    };
    let mut serving = pin!(serving);
    let mut cx = Context::from_waker(Waker::noop());
    let (mut idle, mut before) = (0, (0, 0));
    let end = loop {
        if let Poll::Ready(end) = serving.as_mut().poll(&mut cx) {
            break end;
        }
        let wire = client.lock();
        let now = (wire.pieces.iter().map(Vec::len).sum(), wire.written.len());
        idle = if now == before { idle + 1 } else { 0 };
        before = now;
        if idle > IDLE {
            break End::Waits;
        }
    };
    (std::mem::take(&mut client.lock().written), end)
}

/// The status and the headers of a response.
type Reply = (u16, Vec<(String, String)>);

/// The first response: its status, its headers and what comes behind its head.
fn split_response(bytes: &[u8]) -> Option<(Reply, &[u8])> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, rest) = bytes.split_at(end + 4);
    let head = std::str::from_utf8(head).ok()?;
    let mut lines = head.trim_end().split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
    let headers: Option<Vec<_>> = lines.map(header).collect();
    Some(((status, headers?), rest))
}

/// The responses without their dates, which change from one second to the next.
fn check_responses(mut bytes: &[u8]) -> Vec<Reply> {
    let mut responses = Vec::new();
    while !bytes.is_empty() {
        let Some(((status, mut headers), rest)) = split_response(bytes) else {
            unreachable!("no response: {}", bytes.escape_ascii())
        };
        headers.retain(|(name, _)| name != "date");
        assert!(
            matches!(status, 101 | 200 | 400 | 401 | 403 | 404 | 414 | 426 | 431 | 503),
            "the status of a response is {status}"
        );
        let length =
            headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, value)| value.parse().ok());
        // The response to a HEAD request has no body.
        let has_body = !rest.starts_with(b"HTTP/1.");
        bytes = rest.get(length.filter(|_| has_body).unwrap_or(0)..).unwrap_or_default();
        responses.push((status, headers));
    }
    responses
}

/// A byte of flags, the number of cuts, the cuts, and what a client sends: requests, complete or not, and what is behind them.
pub fn handshake(data: &[u8]) {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let start = || Builder::new_current_thread().enable_time().build().unwrap_or_else(|error| unreachable!("{error}"));
    let _guard = RUNTIME.get_or_init(start).enter();
    let [flags, count, rest @ ..] = data else { return };
    let (cuts, input) = rest.split_at(rest.len().min(2 * usize::from(count % 16)));
    let cuts: Vec<usize> =
        cuts.chunks(2).map(|cut| cut.iter().fold(0, |at, byte| at << 8 | usize::from(*byte))).collect();
    let config = options(*flags);
    let (written, end) = serve(input, &[], flags & !1, config);
    let responses = check_responses(&written);
    if let End::Upgraded { target, behind } = &end {
        let Some(head) = input.strip_suffix(&behind[..]) else {
            unreachable!("{} is not what comes behind the handshake", behind.escape_ascii())
        };
        assert!(head.ends_with(b"\n\r\n") || head.ends_with(b"\n\n"), "the handshake ends within a line");
        assert!(target.starts_with('/') || target == "*");
        check_accept(head, responses.last());
    }
    let upgrades = responses.iter().filter(|(status, _)| *status == 101).count();
    assert_eq!(upgrades, usize::from(matches!(end, End::Upgraded { .. })));
    // What hyper does with a body that nobody reads depends on how much of it has come.
    let lower = input.to_ascii_lowercase();
    let has = |text: &[u8]| lower.windows(text.len()).any(|part| part == text);
    if has(b"content-length") || has(b"transfer-encoding") {
        return;
    }
    let every: Vec<usize> = (0..input.len()).collect();
    let whole = without_error(responses, end);
    for cuts in [&cuts, &every] {
        let (written, end) = serve(input, cuts, *flags, config);
        assert_eq!(without_error(check_responses(&written), end), whole, "it depends on how the requests are cut");
    }
}

/// hyper finds an error in a head that has come in part only when it is complete, which it may never be. Its response to that has
/// no text.
fn without_error(mut responses: Vec<Reply>, end: End) -> (Vec<Reply>, End) {
    let is_answered = matches!(end, End::Upgraded { .. } | End::Refused);
    let has_text = |headers: &[(String, String)]| headers.iter().any(|(name, _)| name == "content-type");
    if !is_answered && responses.last().is_some_and(|(_, headers)| !has_text(headers)) {
        responses.pop();
    }
    (responses, if is_answered { end } else { End::Failed(String::new()) })
}

/// The last response accepts the key of the request (RFC 6455 section 4.2.2).
fn check_accept(head: &[u8], response: Option<&Reply>) {
    let Some((101, headers)) = response else { unreachable!("the last response is not 101") };
    let get = |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let accepted = get("sec-websocket-accept").unwrap_or_default();
    let mut keys = head.split(|byte| *byte == b'\n').filter_map(|line| {
        let at = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at(at);
        name.eq_ignore_ascii_case(b"sec-websocket-key").then(|| value.get(1..).unwrap_or_default().trim_ascii())
    });
    assert!(keys.any(|key| derive_accept_key(key) == accepted), "{accepted} is of no key");
}

/// Options of a listener that change how requests are answered.
fn options(flags: u8) -> &'static Arc<Config> {
    static OPTIONS: OnceLock<[Arc<Config>; 2]> = OnceLock::new();
    let limits = ["--broadcast", "--max-url-length=200", "--max-header-length=8192"];
    let [plain, strict] = OPTIONS.get_or_init(|| {
        let strict = ["--same-origin", "--deflate=on", "--server-header=x-server: wsplice"];
        [&[][..], &strict].map(|more| Arc::new(config_of(limits.iter().chain(more).copied())))
    });
    if flags & 8 > 0 { strict } else { plain }
}
