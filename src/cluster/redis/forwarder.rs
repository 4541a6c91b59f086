//! What the tests put between a node and Redis.

use std::path::PathBuf;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, UnixStream},
    sync::watch,
};
use tokio_rustls::TlsAcceptor;

/// Forwards connections to a server's Unix socket, from a port that the system chooses. Can be held up, and take TLS off.
pub struct Forwarder {
    pub port: u16,
    held: watch::Sender<bool>,
}

impl Forwarder {
    pub async fn start(to: PathBuf) -> Self {
        Self::with_tls(to, None).await
    }

    pub async fn with_tls(to: PathBuf, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let held = watch::Sender::new(false);
        let watch = held.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (tls, to, held) = (tls.clone(), to.clone(), watch.subscribe());
                tokio::spawn(async move {
                    match tls {
                        None => forward(client, to, held).await,
                        Some(tls) => {
                            if let Ok(client) = tls.accept(client).await {
                                forward(client, to, held).await;
                            }
                        }
                    }
                });
            }
        });
        Self { port, held }
    }

    /// From now on nothing of what the server sends is read.
    pub fn hold(&self) {
        self.held.send_replace(true);
    }

    /// Ends [`hold`](Self::hold).
    pub fn release(&self) {
        self.held.send_replace(false);
    }
}

async fn forward(client: impl AsyncRead + AsyncWrite, to: PathBuf, mut held: watch::Receiver<bool>) {
    let Ok(mut server) = UnixStream::connect(to).await else { return };
    let (mut server_read, mut server_write) = server.split();
    let (mut client_read, mut client_write) = tokio::io::split(client);
    let back = async {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            held.wait_for(|held| !held).await.ok()?;
            match server_read.read(&mut buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(length) => client_write.write_all(&buffer[..length]).await.ok()?,
            }
        }
    };
    tokio::select! {
        _ = tokio::io::copy(&mut client_read, &mut server_write) => (),
        None::<()> = back => (),
    }
}
