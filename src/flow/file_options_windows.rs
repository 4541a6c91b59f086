//! How files are opened whose names others choose. Windows has no FIFOs among them.

use std::{fs::OpenOptions, io};

/// Options for a file, which is opened at once.
pub fn non_blocking() -> OpenOptions {
    OpenOptions::new()
}

/// Never: only a FIFO can be without a reader.
pub fn is_without_reader(_: &io::Error) -> bool {
    false
}
