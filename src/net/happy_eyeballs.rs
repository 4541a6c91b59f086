//! Happy Eyeballs (RFC 8305): connection attempts to the addresses of both IP versions start one after another, a short delay
//! apart, and the first that succeeds is used. So `localhost` works with a server that listens on one IP version only, and a
//! broken IPv6 route costs a quarter of a second instead of minutes.

use super::HostPort;
use crate::error::Error;
use std::{io, net::SocketAddr, time::Duration};
use tokio::{net::TcpStream, task::JoinSet, time::timeout};

/// The "Connection Attempt Delay" that RFC 8305 section 5 recommends.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Connects to a host with these addresses, and sets `TCP_NODELAY`.
///
/// # Errors
/// [`Error::Connect`] if no address accepts the connection.
pub async fn connect(at: &HostPort, addresses: Vec<SocketAddr>) -> Result<TcpStream, Error> {
    let failed = |source| Error::Connect { to: at.to_string(), source };
    let mut waiting = alternate(addresses).into_iter();
    let mut attempts = JoinSet::new();
    let mut first_failure = None;
    loop {
        let next = waiting.next();
        let more = next.is_some();
        if let Some(address) = next {
            attempts.spawn(TcpStream::connect(address));
        }
        // After the last address there is no delay: wait for the pending attempts.
        let ended = if more {
            match timeout(ATTEMPT_DELAY, attempts.join_next()).await {
                Ok(ended) => ended,
                Err(_) => continue,
            }
        } else {
            attempts.join_next().await
        };
        match ended {
            Some(Ok(Ok(socket))) => {
                socket.set_nodelay(true).map_err(failed)?;
                return Ok(socket);
            }
            // Report the first failure, which is that of the preferred address.
            Some(Ok(Err(error))) => _ = first_failure.get_or_insert(error),
            Some(Err(panic)) => _ = first_failure.get_or_insert(io::Error::other(panic)),
            None => {
                return Err(failed(first_failure.unwrap_or_else(|| io::ErrorKind::NotFound.into())));
            }
        }
    }
}

/// The addresses in the order of the resolver, but alternating between the IP versions (RFC 8305 section 4).
fn alternate(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|a| a.is_ipv6() == first_is_v6);
    let mut mixed = Vec::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    loop {
        match (first.next(), second.next()) {
            (None, None) => return mixed,
            (a, b) => mixed.extend(a.into_iter().chain(b)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ip_versions_alternate() {
        let parse =
            |texts: &[&str]| texts.iter().map(|text| text.parse().expect("an address")).collect::<Vec<SocketAddr>>();
        let mixed = alternate(parse(&["[::1]:1", "[::2]:1", "1.1.1.1:1", "[::3]:1"]));
        assert_eq!(mixed, parse(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]));
    }
}
