//! All overlays. Each is a file and a line in [`TABLE`].

mod autoreconnect;
mod chunks;
mod lines;
mod log;
mod reuse;
mod tls;
mod unsupported;
mod websocket;

pub use chunks::chunks;
pub use lines::lines;
pub use reuse::reuse;
pub use tls::{tls_accept, tls_connect};
pub use websocket::{ws_connect, ws_upgrade};

use crate::endpoint::Entry;

/// All overlays, in the order of the manual.
pub static TABLE: &[&Entry] = &[
    &websocket::CONNECT,
    &websocket::UPGRADE,
    &tls::CONNECT,
    &tls::ACCEPT,
    &lines::LINES,
    &chunks::CHUNKS,
    &reuse::REUSE,
    &autoreconnect::AUTORECONNECT,
    &log::LOG,
    &unsupported::LOW_LEVEL,
    &unsupported::FRAMINGS,
    &unsupported::REUSE_RAW,
    &unsupported::WAIT,
    &unsupported::MESSAGES,
    &unsupported::PROXIES,
    &unsupported::HTTP,
    &unsupported::METRICS,
    &unsupported::CRYPTO,
];
