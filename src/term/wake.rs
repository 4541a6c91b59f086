//! Wakes the thread of the terminal, which waits with poll(2).

use rustix::event::{EventfdFlags, eventfd};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// Readable when the thread has something to do.
pub struct Wake(OwnedFd);

impl Wake {
    /// # Errors
    /// There are not enough descriptors.
    pub fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// Wakes the thread.
    pub fn wake(&self) {
        // It fails only if the thread has been woken very often already.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// The thread has been woken.
    pub fn clear(&self) {
        // If it is empty, that is an error.
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
