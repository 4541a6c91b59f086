//! Credentials and URL of the opening handshake of clients.

use super::values;
use crate::{access::BasicAuth, net::WebSocketUrl};
use clap::Args;
use std::path::PathBuf;

/// Credentials and URL. They have no `Debug`, so that they cannot be logged.
#[derive(Args, Default)]
#[command(next_help_heading = "WebSocket client")]
pub struct HandshakeArgs {
    /// Send an Authorization header for Basic authentication
    #[arg(long, visible_aliases = ["user", "auth"], value_name = "USER:PASSWORD", value_parser = values::basic_auth)]
    pub basic_auth: Option<BasicAuth>,
    /// As --basic-auth, with the USER:PASSWORD in FILE. Without both options, wsplice uses the environment variable
    /// WEBSOCAT_BASIC_AUTH
    #[arg(long, value_name = "FILE", conflicts_with = "basic_auth")]
    pub basic_auth_file: Option<PathBuf>,
    /// URL that the ws-c: overlay requests. Default: ws://localhost/
    #[arg(long, value_name = "URL", value_parser = values::websocket_url)]
    pub ws_c_uri: Option<WebSocketUrl>,
}
