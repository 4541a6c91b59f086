//! `udp-server:`, a session for each client.

use super::{tcp::parse_listen, udp};
use crate::{
    config::Config,
    endpoint::{About, Accept, Bind, Build, Entry, Layers, Listens, ListensAt, MessageEndpoint, MessageStack},
    error::{Error, io_message},
    flow::{BoxFuture, DatagramFraming, EndKind, Incoming, MessageEnd, MessageStream},
    message::{Close, Message},
    net::{HostPort, Peer},
    report::{self, Drops},
};
use bytes::Bytes;
use std::{
    collections::HashMap,
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    net::UdpSocket,
    sync::{
        OwnedSemaphorePermit, Semaphore,
        mpsc::{self, error::TrySendError},
    },
    task::AbortHandle,
    time::{Instant, Sleep, sleep_until},
};

pub(super) static SERVER: Entry = Entry {
    names: &["udp-server"],
    arg: Some("[ADDR:]PORT"),
    summary: "Receive UDP datagrams, with a session for each client",
    details: "Opens ADDR2 once per client address. The session ends when nothing has been sent or received for \
              --udp-server-timeout. Datagrams that arrive faster than the session takes them, and those of clients \
              beyond --udp-server-max-clients, are dropped. Without ADDR, listens on 127.0.0.1. Each datagram is a \
              binary message, with -t a text message if it is UTF-8.",
    example: "udp-server:127.0.0.1:5000 ws://127.0.0.1:8080/",
    flags: &[&[
        "udp-server-timeout",
        "udp-server-max-clients",
        "udp-broadcast",
        "udp-multicast",
        "udp-multicast-iface-v4",
        "udp-multicast-iface-v6",
        "udp-multicast-loop",
        "udp-reuseaddr",
        "udp-ttl",
        "stdout-announce-listening-ports",
        "oneshot",
        "conncap",
        "max-per-address",
    ]],
    build: Build::Listen(
        |arg, config| {
            let at = parse_listen(arg)?;
            let about = About::new(format_args!("udp-server:{at}"), KIND);
            let origin: Box<dyn Bind<MessageEnd>> = Box::new(Server { at, config: config.clone() });
            Ok(MessageEndpoint { about, stack: MessageStack::Native(origin, Layers::default()) }.into())
        },
        Listens { at: ListensAt::Port, tls: false, http: false },
    ),
};

/// The kind of the end of a client.
const KIND: EndKind = EndKind::Datagrams { from_anybody: false };
/// The longest datagram of UDP.
const MAX_DATAGRAM: usize = 65_535;
/// Maximum number of datagrams that wait for a session.
const MAX_QUEUED: usize = 64;
/// Maximum number of bytes that wait for all sessions together: senders can claim any number of addresses.
const MAX_QUEUED_BYTES: usize = 16 << 20;
/// Maximum number of clients that wait for their session, as those of a listening socket do.
const MAX_WAITING: usize = 128;

struct Server {
    at: HostPort,
    config: Arc<Config>,
}

impl Bind<MessageEnd> for Server {
    fn bind(&self) -> BoxFuture<'_, Result<Box<dyn Accept<MessageEnd>>, Error>> {
        Box::pin(async {
            let Self { at, config } = self;
            let socket = config.udp.bind(at).await?;
            let failed = |source| Error::Listen { on: at.to_string(), source, hint: None };
            let local = socket.local_addr().map_err(failed)?;
            let (sender, sessions) = mpsc::channel(MAX_WAITING);
            let receiver = Receiver {
                socket: Arc::new(socket),
                local,
                clients: Arc::default(),
                queue_room: Arc::new(Semaphore::new(MAX_QUEUED_BYTES)),
                max_clients: config.udp.max_clients,
                timeout: config.udp.timeout,
                framing: udp::framing(config),
                sessions: sender,
            };
            let receiving = tokio::spawn(receiver.run()).abort_handle();
            Ok(Box::new(Listener { local, sessions, receiving }) as Box<dyn Accept<MessageEnd>>)
        })
    }

    fn kind(&self) -> EndKind {
        KIND
    }
}

/// The sessions that wait to be served.
struct Listener {
    local: SocketAddr,
    sessions: mpsc::Receiver<(MessageEnd, Peer)>,
    receiving: AbortHandle,
}

impl Accept<MessageEnd> for Listener {
    fn accept(&mut self) -> BoxFuture<'_, Result<(MessageEnd, Peer), Error>> {
        Box::pin(async {
            let ended = || Error::io(self.local, io::Error::other("the socket has failed"));
            self.sessions.recv().await.ok_or_else(ended)
        })
    }

    fn announcement(&self) -> String {
        format!("proto=udp,ip={},port={}", self.local.ip(), self.local.port())
    }

    fn local(&self) -> String {
        self.local.to_string()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.receiving.abort();
    }
}

/// A datagram that waits, with its part of [`MAX_QUEUED_BYTES`].
type Queued = (Bytes, OwnedSemaphorePermit);

/// The clients that have a session, each with the queue of what it has sent.
type Clients = Mutex<HashMap<SocketAddr, mpsc::Sender<Queued>>>;

fn lock(clients: &Clients) -> MutexGuard<'_, HashMap<SocketAddr, mpsc::Sender<Queued>>> {
    clients.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether an ICMP message about a client caused this error. Windows reports it as a reset.
fn is_of_client(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset)
}

/// Receives the datagrams of all clients.
struct Receiver {
    socket: Arc<UdpSocket>,
    local: SocketAddr,
    clients: Arc<Clients>,
    queue_room: Arc<Semaphore>,
    max_clients: usize,
    timeout: Duration,
    framing: DatagramFraming,
    sessions: mpsc::Sender<(MessageEnd, Peer)>,
}

impl Receiver {
    async fn run(self) {
        let mut buffer = vec![0; MAX_DATAGRAM];
        let local = self.local;
        let drops = Drops::new(move |count: u64| {
            report::warn(format_args!("{local}: {count} datagrams dropped: too many, or too many clients"));
        });
        loop {
            let (length, from) = match self.socket.recv_from(&mut buffer).await {
                Ok(received) => received,
                // An ICMP message about a client that is gone is not about the socket.
                Err(error) if is_of_client(&error) => continue,
                Err(error) => return report::warn(format_args!("{}: {}", self.local, io_message(&error))),
            };
            let Some(datagram) = buffer.get(..length) else { continue };
            if !self.deliver(datagram, from) {
                drops.add(|count| *count += 1);
            }
        }
    }

    /// Gives a datagram to the session of its client. Returns whether it was taken.
    fn deliver(&self, datagram: &[u8], from: SocketAddr) -> bool {
        if datagram.len() > self.framing.max_length {
            return false;
        }
        let Ok(room) = u32::try_from(datagram.len()) else { return false };
        let Ok(room) = self.queue_room.clone().try_acquire_many_owned(room) else { return false };
        let queued = (Bytes::copy_from_slice(datagram), room);
        let mut clients = lock(&self.clients);
        let queued = match clients.get(&from) {
            Some(client) => match client.try_send(queued) {
                Ok(()) => return true,
                Err(TrySendError::Full(_)) => return false,
                Err(TrySendError::Closed(queued)) => queued,
            },
            None if clients.len() >= self.max_clients => return false,
            None => queued,
        };
        let Ok(place) = self.sessions.try_reserve() else { return false };
        let (sender, inbox) = mpsc::channel(MAX_QUEUED);
        // The queue is empty.
        let _ = sender.try_send(queued);
        clients.insert(from, sender.clone());
        drop(clients);
        let peer = Peer::at(from, self.local.port());
        let stream = Client {
            socket: self.socket.clone(),
            inbox,
            framing: self.framing,
            out: None,
            writable: None,
            timeout: self.timeout,
            last_activity: Instant::now(),
            sleep: None,
            entry: ClientEntry { clients: Arc::downgrade(&self.clients), address: from, sender: sender.downgrade() },
        };
        place.send((MessageEnd::new(stream, KIND, peer.name.clone()), peer));
        true
    }
}

/// Removes a client from the list when its session has ended.
struct ClientEntry {
    clients: Weak<Clients>,
    address: SocketAddr,
    sender: mpsc::WeakSender<Queued>,
}

impl Drop for ClientEntry {
    fn drop(&mut self) {
        let Some(clients) = self.clients.upgrade() else { return };
        let mut clients = lock(&clients);
        // Another session may have taken its place.
        let is_ours = match (clients.get(&self.address), self.sender.upgrade()) {
            (Some(listed), Some(own)) => listed.same_channel(&own),
            _ => false,
        };
        if is_ours {
            clients.remove(&self.address);
        }
    }
}

/// The session of one client.
struct Client {
    socket: Arc<UdpSocket>,
    inbox: mpsc::Receiver<Queued>,
    framing: DatagramFraming,
    out: Option<Bytes>,
    /// Waits for room in the buffer of the socket. A future, since the socket itself remembers only one task.
    writable: Option<Pin<Box<dyn Future<Output = io::Result<()>> + Send>>>,
    timeout: Duration,
    last_activity: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
    entry: ClientEntry,
}

impl Client {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let failed = |error| Error::io(format_args!("cannot write {}", self.entry.address), error);
        while let Some(out) = &self.out {
            if let Some(writable) = &mut self.writable {
                ready!(writable.as_mut().poll(cx)).map_err(failed)?;
                self.writable = None;
            }
            match self.socket.try_send_to(out, self.entry.address) {
                Ok(_) => {
                    self.out = None;
                    self.last_activity = Instant::now();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let socket = self.socket.clone();
                    self.writable = Some(Box::pin(async move { socket.writable().await }));
                }
                // It is about a datagram that was sent before.
                Err(error) if is_of_client(&error) => {}
                Err(error) => {
                    let at = format_args!("cannot send a message of {} bytes to {}", out.len(), self.entry.address);
                    return Poll::Ready(Err(Error::io(at, error)));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when nothing has been sent or received for the time limit.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let end = self.last_activity + self.timeout;
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(end)));
            if sleep.deadline() < end && sleep.is_elapsed() {
                sleep.as_mut().reset(end);
            }
            ready!(sleep.as_mut().poll(cx));
            if Instant::now() >= self.last_activity + self.timeout {
                return Poll::Ready(());
            }
        }
    }
}

impl MessageStream for Client {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        if let Poll::Ready(received) = self.inbox.poll_recv(cx) {
            self.last_activity = Instant::now();
            return Poll::Ready(Ok(match received {
                Some((datagram, _)) => Incoming::Message(self.framing.message(datagram)),
                None => Incoming::End(None),
            }));
        }
        self.poll_silence(cx).map(|()| Ok(Incoming::End(None)))
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_send(cx)
    }

    fn start_send(&mut self, message: Message) -> Result<(), Error> {
        self.out = Some(message.payload);
        Ok(())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_send(cx)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>, _: Option<&Close>) -> Poll<Result<(), Error>> {
        self.poll_send(cx)
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}
