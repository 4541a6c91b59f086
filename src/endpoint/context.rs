//! The state while the ends of a session are opened.

use crate::{flow::RedialRequests, net::Peer};
use hyper::{HeaderMap, header::HeaderValue, http::uri::PathAndQuery};
use std::{net::IpAddr, sync::Arc, time::Duration};

/// The opening handshake that a WebSocket listener received.
#[derive(Clone, Debug)]
pub struct UpgradeRequest {
    /// The request target (path and query) as it was sent, but without the access token if one is required.
    pub target: PathAndQuery,
    /// The subprotocols that the client offers, in its order.
    pub protocols: Vec<HeaderValue>,
    /// The name of the client in logs and errors; it names the proxy too, if that is trusted.
    pub peer: Arc<str>,
    /// The address of the client, which a trusted proxy may report; `None` over a unix socket.
    pub client: Option<IpAddr>,
    /// All headers of the request.
    pub headers: HeaderMap,
}

/// The state of opening one end.
///
/// The left end of a session is opened first. If it is a WebSocket listener, the request of its client is known before the right
/// end is dialled, which can then request the same path and subprotocol.
pub struct ConnectContext {
    /// The peer of the left end.
    pub peer: Peer,
    /// The request that the left end received; `None` before that, and if the left end is not a WebSocket listener.
    pub request: Option<Arc<UpgradeRequest>>,
    /// The current phase, such as "connecting to …", for the error when [`limit`](Self::limit) is reached.
    pub stage: String,
    /// Maximum time for connecting and all handshakes together (`--connect-timeout`).
    pub limit: Duration,
    /// Whether the process has this session only, so that its progress may be shown.
    pub is_single: bool,
    /// What the user at the left end asks of the connection at the right one; `None`: it is not a terminal.
    pub redial_requests: Option<Arc<RedialRequests>>,
}

impl ConnectContext {
    /// The context of a session whose left end is connected to `peer`.
    pub fn new(peer: Peer, limit: Duration) -> Self {
        Self { peer, request: None, stage: String::new(), limit, is_single: false, redial_requests: None }
    }
}
