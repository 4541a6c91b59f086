//! What is known while the ends of a session are opened.

use crate::net::Peer;
use hyper::{header::HeaderValue, http::uri::PathAndQuery};
use std::{net::IpAddr, sync::Arc, time::Duration};

/// What a client asked a listening WebSocket for.
#[derive(Clone, Debug)]
pub struct UpgradeRequest {
    /// The request target, path and query, as it was sent; without the access token where one is required.
    pub target: PathAndQuery,
    /// The subprotocols that it offers, in its order.
    pub protocols: Vec<HeaderValue>,
    /// The client's name, for logs and errors: with the proxy through which it came, if that is trusted.
    pub peer: String,
    /// Its address, or the one that a trusted proxy names; `None` over a unix socket.
    pub client: Option<IpAddr>,
}

/// The state of opening one end.
///
/// The left end of a session comes first. If it is a listening WebSocket, its client's request is known before the right
/// end is dialled, so that this can ask for the same path and subprotocol.
pub struct ConnectContext {
    /// The other side of the left end.
    pub peer: Peer,
    /// The request that the left end received; `None` until then, or where there is none.
    pub request: Option<Arc<UpgradeRequest>>,
    /// What is being waited for, for the error of [`limit`](Self::limit). Each phase sets it.
    pub stage: String,
    /// How long connecting and the handshakes may take together (`--connect-timeout`).
    pub limit: Duration,
}

impl ConnectContext {
    /// For a session with this peer on its left.
    pub fn new(peer: Peer, limit: Duration) -> Self {
        Self { peer, request: None, stage: String::new(), limit }
    }
}
