//! The socket of the service manager (sd_notify(3)).

use rustix::time::{ClockId, clock_gettime};
use std::{
    env,
    os::unix::net::{SocketAddr, UnixDatagram},
};

pub struct NotifySocket {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl NotifySocket {
    /// `None` without a service manager.
    pub fn from_env() -> Option<Self> {
        let address = env::var("NOTIFY_SOCKET").ok().and_then(|name| address(&name))?;
        let socket = UnixDatagram::unbound().ok()?;
        // A service manager that does not read must not hold us up.
        socket.set_nonblocking(true).ok()?;
        Some(Self { socket, address })
    }

    pub fn send(&self, lines: &[u8]) {
        // One that does not listen any more is no failure of ours.
        let _ = self.socket.send_to_addr(lines, &self.address);
    }
}

/// The address of the service manager: a path, or `@NAME` in the abstract namespace of Linux.
fn address(name: &str) -> Option<SocketAddr> {
    match name.strip_prefix('@') {
        #[cfg(target_os = "linux")]
        Some(name) => {
            use std::os::linux::net::SocketAddrExt;
            SocketAddr::from_abstract_name(name).ok()
        }
        #[cfg(not(target_os = "linux"))]
        Some(_) => None,
        None => name.starts_with('/').then(|| SocketAddr::from_pathname(name).ok())?,
    }
}

/// `CLOCK_MONOTONIC` in microseconds.
pub fn now() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1000
}
