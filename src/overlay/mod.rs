//! Every overlay: a file each, a line each in [`TABLE`].

mod autoreconnect;
mod chunks;
mod later;
mod lines;
mod log;
mod reuse;
mod tls;
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
    &later::LOW_LEVEL,
    &later::FRAMINGS,
    &later::REUSE_RAW,
    &later::WAIT,
    &later::MESSAGES,
    &later::PROXIES,
    &later::HTTP,
    &later::METRICS,
    &later::CRYPTO,
];
