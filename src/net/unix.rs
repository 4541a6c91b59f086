//! Unix sockets.

use std::path::PathBuf;
pub use tokio::net::UnixStream;

/// The path for the system calls: `@name` is in the abstract namespace of Linux, where names start with a zero byte.
pub fn unix_path(path: &str) -> PathBuf {
    match path.strip_prefix('@') {
        Some(name) => format!("\0{name}").into(),
        None => path.into(),
    }
}
