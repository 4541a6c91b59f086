//! Descriptors that this process was started with, by their numbers.

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open},
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
    // A number says nothing about who owns the descriptor, so this asks the kernel, as if for one of another process.
    let copied = pidfd_open(getpid(), PidfdFlags::empty())
        .and_then(|process| pidfd_getfd(process, number, PidfdGetfdFlags::empty()));
    match copied {
        // Before Linux 5.6, or where a sandbox forbids it: opening it anew serves files, pipes and terminals.
        Err(Errno::NOSYS | Errno::PERM) => {
            let path = format!("/proc/self/fd/{number}");
            let open = |flags| rustix::fs::open(&path, flags | OFlags::CLOEXEC, Mode::empty());
            let opened = open(OFlags::RDWR).or_else(|_| open(OFlags::RDONLY)).or_else(|_| open(OFlags::WRONLY));
            Ok(opened?)
        }
        copied => Ok(copied?),
    }
}
