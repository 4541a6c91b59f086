//! How files are opened whose names others choose.

use rustix::{fs::OFlags, io::Errno};
use std::{fs::OpenOptions, io, os::unix::fs::OpenOptionsExt};

/// Neither opening nor what follows waits: not for the other side of a FIFO, and not for a device.
pub fn non_blocking() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    options
}

/// Whether opening for writing failed because the file is a FIFO without a reader.
pub fn is_without_reader(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::NXIO.raw_os_error())
}
