//! The environment of a program: the request of the client that it serves, as CGI has it (RFC 3875 section 4.1).

use super::children::os_string;
use crate::{
    config::{HeaderVariable, ProgramOptions},
    endpoint::{ConnectContext, UpgradeRequest},
    error::Error,
    net::{Peer, path_segments},
};
use hyper::{
    HeaderMap,
    header::{self, HeaderName},
    http::uri::{Authority, PathAndQuery},
};
use percent_encoding::percent_decode_str;
use std::{
    ffi::{OsStr, OsString},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};
use tokio::fs;

/// The port of `ws:` URLs (RFC 6455 section 3).
const DEFAULT_PORT: u16 = 80;

/// Where the URL of a request leads: to a program, and to what the program makes of the rest of the path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScriptPath {
    /// The part of the path that names the program; empty if every path leads to it.
    pub script: String,
    /// The rest of the path, decoded.
    pub rest: Vec<u8>,
}

impl ScriptPath {
    /// A program that serves every path.
    pub fn whole(path: &str) -> Self {
        let decoded: Vec<u8> = percent_decode_str(path).collect();
        // A variable cannot contain a zero byte.
        let rest = if decoded.contains(&0) { path.into() } else { decoded };
        Self { script: String::new(), rest }
    }
}

/// The program for a request below a directory, and its part of the path.
///
/// # Errors
/// [`Error::NoProgram`].
pub async fn find_script(directory: &Path, target: &PathAndQuery) -> Result<(PathBuf, ScriptPath), Error> {
    let missing = || Error::NoProgram { target: target.path().to_owned() };
    let segments = path_segments(target.path()).ok_or_else(missing)?;
    let (mut path, mut script) = (directory.to_owned(), String::new());
    let mut rest = segments.iter();
    for segment in rest.by_ref() {
        path.push(segment);
        script = format!("{script}/{segment}");
        let found = fs::metadata(&path).await.map_err(|_| missing())?;
        if found.is_file() {
            let rest: String = rest.map(|segment| format!("/{segment}")).collect();
            return Ok((path, ScriptPath { script, rest: rest.into() }));
        }
    }
    Err(missing())
}

/// The variables that a program gets for its session.
pub fn variables(
    context: &ConnectContext,
    script: Option<&ScriptPath>,
    options: &ProgramOptions,
) -> Vec<(OsString, OsString)> {
    let ConnectContext { peer, request, .. } = context;
    let client = Client::new(peer, request.as_deref());
    let mut variables = Vec::new();
    let mut set = |name: &str, value: &OsStr| variables.push((name.into(), value.into()));
    if request.is_some() || client.address.is_some() {
        set("REMOTE_ADDR", client.address_text().as_ref());
        set("REMOTE_PORT", client.port_text().as_ref());
    }
    if let Some(request) = request {
        let path = request.target.path();
        let script = script.cloned().unwrap_or_else(|| ScriptPath::whole(path));
        let (name, port) = server(request, peer);
        for (variable, value) in [
            ("GATEWAY_INTERFACE", "CGI/1.1"),
            ("SERVER_SOFTWARE", concat!("wsplice/", env!("CARGO_PKG_VERSION"))),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            ("SERVER_NAME", &name),
            ("SERVER_PORT", &port.to_string()),
            ("REQUEST_METHOD", "GET"),
            ("REQUEST_URI", request.target.as_str()),
            ("QUERY_STRING", request.target.query().unwrap_or_default()),
            ("SCRIPT_NAME", &script.script),
        ] {
            set(variable, value.as_ref());
        }
        set("PATH_INFO", &os_string(script.rest));
        for name in request.headers.keys() {
            if let Some(variable) = header_variable(name) {
                set(&variable, &joined(&request.headers, name));
            }
        }
        for HeaderVariable { header, variable } in &options.headers_to_env {
            if request.headers.contains_key(header) {
                set(variable, &joined(&request.headers, header));
            }
        }
    }
    if options.websocat_variables {
        if let Some(request) = request {
            set("WEBSOCAT_URI", request.target.as_str().as_ref());
        }
        if client.address.is_some() {
            set("WEBSOCAT_CLIENT", client.text().as_ref());
        }
    }
    variables
}

/// Whether a variable of our own environment has the name of one that describes a request. A program that inherited it would take
/// it for a part of its client's request, such as `HTTP_COOKIE` or `REMOTE_USER`.
pub fn is_of_request(name: &OsStr) -> bool {
    const PREFIXES: [&[u8]; 5] = [b"HTTP_", b"REMOTE_", b"CONTENT_", b"REQUEST_", b"SERVER_"];
    const NAMES: [&str; 6] =
        ["AUTH_TYPE", "GATEWAY_INTERFACE", "PATH_INFO", "PATH_TRANSLATED", "QUERY_STRING", "SCRIPT_NAME"];
    NAMES.iter().any(|reserved| name == *reserved)
        || PREFIXES.iter().any(|prefix| name.as_encoded_bytes().starts_with(prefix))
}

/// The address of the client, as far as it is known.
struct Client {
    address: Option<IpAddr>,
    /// `None` behind a proxy, which reports the address only.
    port: Option<u16>,
}

impl Client {
    fn new(peer: &Peer, request: Option<&UpgradeRequest>) -> Self {
        let address = request.map_or(peer.ip, |request| request.client);
        let port = address.filter(|_| address == peer.ip).map(|_| peer.port);
        Self { address, port }
    }

    fn address_text(&self) -> String {
        self.address.map(|address| address.to_string()).unwrap_or_default()
    }

    fn port_text(&self) -> String {
        self.port.map(|port| port.to_string()).unwrap_or_default()
    }

    fn text(&self) -> String {
        match (self.address, self.port) {
            (Some(address), Some(port)) => SocketAddr::new(address, port).to_string(),
            _ => self.address_text(),
        }
    }
}

/// The host that the client requested, and the port.
fn server(request: &UpgradeRequest, peer: &Peer) -> (String, u16) {
    let host = request.headers.get(header::HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let name = host.as_ref().map_or("localhost", Authority::host).to_owned();
    let port = match peer.local_port {
        0 => host.and_then(|host| host.port_u16()).unwrap_or(DEFAULT_PORT),
        port => port,
    };
    (name, port)
}

/// The variable of a header (RFC 3875 section 4.1.18). There is none for credentials, and none for `Proxy`: programs take the
/// variable `HTTP_PROXY` for the address of a proxy. Neither for names with an underscore, which would be taken for others with a
/// dash.
fn header_variable(name: &HeaderName) -> Option<String> {
    let is_hidden = ["proxy", "authorization", "proxy-authorization"].contains(&name.as_str());
    let is_plain = name.as_str().bytes().all(|letter| letter.is_ascii_alphanumeric() || letter == b'-');
    (!is_hidden && is_plain).then(|| format!("HTTP_{}", name.as_str().to_ascii_uppercase().replace('-', "_")))
}

/// The values of a header that was sent more than once, as one (RFC 9110 section 5.3; RFC 9113 section 8.2.3 for cookies).
fn joined(headers: &HeaderMap, name: &HeaderName) -> OsString {
    let separator: &[u8] = if name == header::COOKIE { b"; " } else { b", " };
    let values: Vec<_> = headers.get_all(name).iter().map(|value| value.as_bytes()).collect();
    os_string(values.join(separator))
}
