//! How files are opened that are served.

use rustix::fs::OFlags;
use tokio::fs::OpenOptions;

/// For reading. If it is a FIFO, opening does not wait for somebody who writes to it.
pub fn reading() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    options
}
