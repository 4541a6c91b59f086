//! All overlays. Each is a file and a line in [`TABLE`].

mod autoreconnect;
mod base64;
mod chunks;
mod convert;
mod drop_on_backpressure;
mod exit_on_byte;
mod expect;
#[cfg(feature = "jq")]
mod filter_json;
mod first_messages;
mod for_each_message;
mod http_connect;
mod http_post_sse;
mod http_request;
mod json_lines;
mod json_values;
mod jsonrpc;
mod judged;
mod length_prefixed;
mod lines;
mod log;
mod low_level;
mod preamble;
mod reuse;
mod socks5;
mod tap;
mod timestamp;
mod tls;
mod unsupported;
mod wait_for_data;
mod websocket;

#[cfg(feature = "term")]
pub use autoreconnect::reconnect_on_request;
pub use chunks::chunks;
pub use expect::{Decision, expect, input_until};
#[cfg(feature = "jq")]
pub use filter_json::filter_json;
pub use first_messages::first_messages;
pub use http_connect::http_connect;
pub use http_request::http_request;
pub use json_lines::json_lines;
pub use json_values::json_values;
pub use jsonrpc::jsonrpc;
pub use lines::lines;
pub use preamble::preamble;
pub use reuse::reuse;
pub use socks5::socks5_connect;
pub use tap::taps;
pub use tls::{ByteLayer, SERVER_IDENTITY, tls_accept, tls_connect, tls_connect_to};
pub use websocket::{CLIENT, FRAMES, PAYLOADS, PINGS, SERVER, ws_connect, ws_upgrade};

use crate::endpoint::Entry;

/// All overlays, in the order of the manual.
pub static TABLE: &[&Entry] = &[
    &websocket::CONNECT,
    &websocket::UPGRADE,
    &low_level::CLIENT,
    &low_level::SERVER,
    &tls::CONNECT,
    &tls::ACCEPT,
    &socks5::CONNECT,
    &socks5::BIND,
    &lines::LINES,
    &json_values::JSON,
    &chunks::CHUNKS,
    &length_prefixed::LENGTH_PREFIXED,
    &base64::BASE64,
    &reuse::REUSE,
    &reuse::REUSE_RAW,
    &autoreconnect::AUTORECONNECT,
    &wait_for_data::WAIT_FOR_DATA,
    &for_each_message::FOR_EACH_MESSAGE,
    &drop_on_backpressure::DROP_ON_BACKPRESSURE,
    &exit_on_byte::EXIT_ON_BYTE,
    &jsonrpc::JSONRPC,
    &timestamp::TIMESTAMP,
    &log::LOG,
    &unsupported::TEE,
    &http_request::HTTP_REQUEST,
    &http_post_sse::HTTP_POST_SSE,
    &unsupported::METRICS,
    &unsupported::CRYPTO,
];
