//! Racing connects ("happy eyeballs", RFC 8305): the addresses of both IP versions are tried in turn, each a little
//! after the one before, and the first that answers is taken. So `localhost` works on a server that listens on one
//! version only, and a dead IPv6 route costs a quarter of a second rather than minutes.

use super::{HostPort, resolve};
use crate::error::Error;
use std::{io, net::SocketAddr, time::Duration};
use tokio::{net::TcpStream, task::JoinSet, time::timeout};

/// The "Connection Attempt Delay" that RFC 8305 section 5 recommends.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// A connected socket with `TCP_NODELAY`.
pub async fn connect(at: &HostPort) -> Result<TcpStream, Error> {
    let failed = |source| Error::Connect { to: at.to_string(), source };
    let mut waiting = alternate(resolve(at).await?).into_iter();
    let mut attempts = JoinSet::new();
    let mut first_failure = None;
    loop {
        let next = waiting.next();
        let more = next.is_some();
        if let Some(address) = next {
            attempts.spawn(TcpStream::connect(address));
        }
        // Without further addresses the attempts under way have all the time they need.
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
            // The first failure tells more than those of the fallbacks.
            Some(Ok(Err(error))) => _ = first_failure.get_or_insert(error),
            Some(Err(panic)) => _ = first_failure.get_or_insert(io::Error::other(panic)),
            None => {
                return Err(failed(first_failure.unwrap_or_else(|| io::ErrorKind::NotFound.into())));
            }
        }
    }
}

/// The resolver's order, with the two IP versions taking turns (RFC 8305 section 4).
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
    fn the_ip_versions_take_turns() {
        let parse =
            |texts: &[&str]| texts.iter().map(|text| text.parse().expect("an address")).collect::<Vec<SocketAddr>>();
        let mixed = alternate(parse(&["[::1]:1", "[::2]:1", "1.1.1.1:1", "[::3]:1"]));
        assert_eq!(mixed, parse(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]));
    }
}
