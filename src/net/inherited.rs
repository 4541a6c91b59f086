//! Descriptors that this process was started with, by their numbers.

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

/// A duplicate of the descriptor with this number.
///
/// # Errors
/// If it is not open.
pub fn inherited(number: i32) -> io::Result<OwnedFd> {
    match number {
        0 => return io::stdin().as_fd().try_clone_to_owned(),
        1 => return io::stdout().as_fd().try_clone_to_owned(),
        2 => return io::stderr().as_fd().try_clone_to_owned(),
        _ => {}
    }
    match copy(number) {
        // Before Linux 5.6, or where a sandbox forbids it: opening it anew serves files, pipes and terminals.
        Err(Errno::NOSYS | Errno::PERM) => {
            let path = format!("{DESCRIPTORS}/{number}");
            let open = |flags| rustix::fs::open(&path, flags | OFlags::CLOEXEC, Mode::empty());
            let opened = open(OFlags::RDWR).or_else(|_| open(OFlags::RDONLY)).or_else(|_| open(OFlags::WRONLY));
            Ok(opened?)
        }
        copied => Ok(copied?),
    }
}

/// Where the descriptors of this process can be opened. On macOS and BSD that is the same as dup(2), also for sockets.
const DESCRIPTORS: &str = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };

/// A number says nothing about who owns the descriptor, so this asks the kernel, as if for one of another process.
#[cfg(target_os = "linux")]
fn copy(number: i32) -> Result<OwnedFd, Errno> {
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
    pidfd_open(getpid(), PidfdFlags::empty()).and_then(|process| pidfd_getfd(process, number, PidfdGetfdFlags::empty()))
}

#[cfg(not(target_os = "linux"))]
fn copy(_: i32) -> Result<OwnedFd, Errno> {
    Err(Errno::NOSYS)
}

/// Whether a socket listens.
#[cfg(not(target_os = "macos"))]
pub fn is_listening(socket: impl AsFd) -> bool {
    rustix::net::sockopt::socket_acceptconn(socket).unwrap_or(false)
}

/// macOS does not tell whether a socket listens: accepting fails.
#[cfg(target_os = "macos")]
pub fn is_listening(_: impl AsFd) -> bool {
    true
}
