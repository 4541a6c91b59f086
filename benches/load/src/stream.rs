//! TCP connections, with or without TLS.

use crate::Args;
use rustls::{
    ClientConfig, ClientConnection, Connection, HandshakeKind, RootCertStore, ServerConfig, ServerConnection,
    client::Resumption,
    crypto::ring::Ticketer,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    cell::RefCell,
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
};

thread_local! {
    /// Encrypted data of one read. Shared, so that an idle connection holds none.
    static ENCRYPTED: RefCell<Vec<u8>> = RefCell::new(vec![0; 64 << 10]);
}

/// Opens connections to a server. `--ca FILE` names the certificate that a server with TLS must present; `--resume` resumes
/// the TLS sessions of earlier connections.
pub struct Connector(Option<Arc<ClientConfig>>);

impl Connector {
    pub fn new(args: &Args) -> io::Result<Self> {
        if !args.has("ca") {
            return Ok(Self(None));
        }
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(args.text("ca")).map_err(io::Error::other)?)
            .map_err(io::Error::other)?;
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        if !args.has("resume") {
            config.resumption = Resumption::disabled();
        }
        Ok(Self(Some(Arc::new(config))))
    }

    /// Connects to `HOST:PORT`. `tls` tells whether to use TLS.
    pub fn connect(&self, authority: &str, tls: bool) -> io::Result<Stream> {
        let socket = TcpStream::connect(authority)?;
        socket.set_nodelay(true)?;
        if !tls {
            return Ok(Stream::Plain(socket));
        }
        let config = self.0.clone().ok_or_else(|| io::Error::other("wss:// needs --ca"))?;
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host).to_owned();
        let name = host.try_into().map_err(io::Error::other)?;
        let session = ClientConnection::new(config, name).map_err(io::Error::other)?;
        Tls::handshake(socket, session.into()).map(Stream::Tls)
    }
}

/// Accepts connections, with TLS if there are `--cert FILE` and `--key FILE`.
pub struct Acceptor(Option<Arc<ServerConfig>>);

impl Acceptor {
    pub fn new(args: &Args) -> io::Result<Self> {
        if !args.has("cert") {
            return Ok(Self(None));
        }
        let certificate = CertificateDer::from_pem_file(args.text("cert")).map_err(io::Error::other)?;
        let key = PrivateKeyDer::from_pem_file(args.text("key")).map_err(io::Error::other)?;
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key);
        let mut config = config.map_err(io::Error::other)?;
        config.ticketer = Ticketer::new().map_err(io::Error::other)?;
        Ok(Self(Some(Arc::new(config))))
    }

    pub fn accept(&self, socket: TcpStream) -> io::Result<Stream> {
        socket.set_nodelay(true)?;
        let Some(config) = self.0.clone() else { return Ok(Stream::Plain(socket)) };
        let session = ServerConnection::new(config).map_err(io::Error::other)?;
        Tls::handshake(socket, session.into()).map(Stream::Tls)
    }
}

pub enum Stream {
    Plain(TcpStream),
    Tls(Box<Tls>),
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => &tls.socket,
        }
    }

    pub fn set_nonblocking(&self) -> io::Result<()> {
        self.socket().set_nonblocking(true)
    }

    /// Whether all data written so far has been given to the socket. Otherwise call [`flush`](Write::flush) when it is writable.
    pub fn is_flushed(&self) -> bool {
        match self {
            Self::Plain(_) => true,
            Self::Tls(tls) => !tls.session.wants_write(),
        }
    }

    /// Whether the TLS handshake resumed an earlier session.
    pub fn is_resumed(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.session.handshake_kind() == Some(HandshakeKind::Resumed))
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket().as_fd()
    }
}

impl Read for Stream {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(out),
            Self::Tls(tls) => tls.read(out),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

/// TLS with the fewest system calls: a read takes 64 KiB from the socket, a write gives all its records to the socket at once.
pub struct Tls {
    socket: TcpStream,
    session: Connection,
}

impl Tls {
    fn handshake(mut socket: TcpStream, mut session: Connection) -> io::Result<Box<Self>> {
        session.set_buffer_limit(None);
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        // The last message of the handshake, and session tickets.
        while session.wants_write() {
            session.write_tls(&mut socket)?;
        }
        Ok(Box::new(Self { socket, session }))
    }

    /// Decrypted data, as far as there is any; 0 if the peer has ended the session as well.
    fn decrypted(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < out.len() {
            match self.session.reader().read(&mut out[filled..]) {
                Ok(read @ 1..) => filled += read,
                Ok(0) => break,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// `out` should hold all data of one read from the socket (64 KiB and a record): data that stays in the session does not make
    /// the socket readable.
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut filled = self.decrypted(out)?;
        ENCRYPTED.with_borrow_mut(|buffer| {
            while filled == 0 {
                let read = self.socket.read(buffer)?;
                if read == 0 {
                    break;
                }
                let mut rest = &buffer[..read];
                while !rest.is_empty() {
                    self.session.read_tls(&mut rest)?;
                    let state = self.session.process_new_packets().map_err(io::Error::other)?;
                    filled += self.decrypted(&mut out[filled..])?;
                    if state.peer_has_closed() {
                        return Ok(filled);
                    }
                }
            }
            Ok(filled)
        })
    }

    /// Encrypts all of `bytes` unless earlier records still wait for the socket.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let taken = self.session.writer().write(bytes)?;
        match self.flush() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            self.session.write_tls(&mut self.socket)?;
        }
        Ok(())
    }
}
