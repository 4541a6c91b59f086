//! The WebSocket protocol (RFC 6455): all that touches tungstenite.
//!
//! tungstenite reads: it checks frames, joins fragments and validates UTF-8. We write: frames, pongs and close frames
//! among them, are encoded into the output of [`wire::Wire`], so everything leaves in one order and whole. That is what
//! lets messages follow a close frame that was received but not yet answered, and lets long messages leave as fragments.

mod fault;
mod frame;
#[cfg(fuzzing)]
pub mod fuzzing;
mod heartbeat;
mod key;
mod stream;
mod tap;
mod wire;

pub use fault::Fault;
pub use frame::append as append_frame;
pub use heartbeat::{Beat, Heartbeat};
pub use key::{accept_key, is_request_key, request_key};
pub use stream::WebSocket;

use url::Url;

/// Which side of the connection we are: it decides who masks (RFC 6455 section 5.1) and who closes TCP first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// We asked for the upgrade.
    Client,
    /// We granted it.
    Server,
}

/// What a client asks for.
#[derive(Clone, Debug)]
pub struct Target {
    /// A `ws` or `wss` URL.
    pub url: Url,
    /// Whether the URL was written with a path; without one the path that the other end's client asked for is used.
    pub path_was_given: bool,
}
