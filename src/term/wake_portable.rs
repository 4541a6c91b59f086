//! Wakes the thread of the terminal, which waits with poll(2): a pipe, where there is no eventfd(2).

use rustix::{
    io::{FdFlags, fcntl_setfd, ioctl_fionbio},
    pipe::pipe,
};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// Readable when the thread has something to do.
pub struct Wake {
    read: OwnedFd,
    write: OwnedFd,
}

impl Wake {
    /// # Errors
    /// There are not enough descriptors.
    pub fn new() -> io::Result<Self> {
        let (read, write) = pipe()?;
        for end in [&read, &write] {
            fcntl_setfd(end, FdFlags::CLOEXEC)?;
            ioctl_fionbio(end, true)?;
        }
        Ok(Self { read, write })
    }

    /// Wakes the thread.
    pub fn wake(&self) {
        // It fails if the pipe is full, and then the thread is woken already.
        let _ = rustix::io::write(&self.write, &[1]);
    }

    /// The thread has been woken.
    pub fn clear(&self) {
        let mut buffer = [0; 1024];
        while matches!(rustix::io::read(&self.read, &mut buffer), Ok(length) if length == buffer.len()) {}
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }
}
