//! How files are opened whose names others choose.

use rustix::fs::OFlags;
use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt};

/// Neither opening nor what follows waits: not for the other side of a FIFO, and not for a device.
pub fn non_blocking() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    options
}
