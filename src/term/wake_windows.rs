//! The thread of the terminal never runs on Windows.

use std::io;

pub struct Wake;

impl Wake {
    pub fn new() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub fn wake(&self) {}
}
