//! What the test binaries share: the program under test, certificates, HTTP heads, WebSocket peers that keep to the rules and
//! peers that break them.

pub mod certificates;
pub mod http;
pub mod peer;
pub mod raw;
pub mod resuming;
pub mod support;
pub mod terminal;
