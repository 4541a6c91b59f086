//! How files are opened that are served. Windows has no FIFOs among them.

use tokio::fs::OpenOptions;

/// For reading.
pub fn reading() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true);
    options
}
