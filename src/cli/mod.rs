//! The command line. [`Cli`] contains the options as typed; [`Config`] is the configuration made of them.

mod accepted;
mod applicable;
mod cluster;
mod handshake;
mod help;
mod http_request;
mod identity;
mod into_config;
mod keys;
mod length_prefixed;
mod lines;
mod log;
mod messages;
mod option_errors;
mod payload;
mod pings;
mod programs;
mod proxy;
mod rare;
mod request;
mod resolve;
mod scripting;
mod terminal;
mod time_limits;
mod topics;
mod udp;
mod values;
mod wscat;

use accepted::AcceptedArgs;
pub use applicable::check_applicable;
use cluster::ClusterArgs;
use handshake::HandshakeArgs;
use help::options;
pub use help::{EXIT_CODES, command};
use identity::IdentityArgs;
use keys::KeyArgs;
use length_prefixed::LengthPrefixedArgs;
use lines::LineArgs;
use log::LogArgs;
use messages::MessageArgs;
use payload::PayloadArgs;
use pings::PingArgs;

use crate::{
    config::{Config, RequestPath, SlowPolicy, StaticFile},
    error::Error,
    message::Close,
    net::HostPort,
    plan::FirstAddress,
    spec::Spec,
};
use clap::{ArgAction, Args, Command, FromArgMatches, Parser, ValueEnum, error::ErrorKind};
use http_request::HttpRequestArgs;
use hyper::header::{HeaderName, HeaderValue};
use ipnet::IpNet;
use programs::ProgramArgs;
use proxy::ProxyArgs;
use rare::Rare;
use request::RequestArgs;
use resolve::ResolveArgs;
use scripting::ScriptingArgs;
use smart_default::SmartDefault;
use std::{
    ffi::OsString,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    path::PathBuf,
    time::Duration,
};
use terminal::TerminalArgs;
use time_limits::TimeLimitArgs;
use udp::UdpArgs;
use values::{Headers, Subprotocols, duration, header, server_address, static_file};
use wscat::WscatArgs;

/// Splices any two endpoints together, WebSockets first.
///
/// Connects ADDR1 to ADDR2 and copies messages or bytes in both directions until both ends have ended. If only one
/// address is given, the other one is standard input and output: ADDR1, or ADDR2 if the given address is a listener.
#[derive(Parser)]
#[command(name = "wsplice", version, max_term_width = 100)]
pub struct Cli {
    /// First address, such as ws://HOST/PATH, ws-l:127.0.0.1:8080, tcp:HOST:PORT, or - for standard input and output
    #[arg(value_name = "ADDR1")]
    pub first: Option<String>,
    /// Second address
    #[arg(value_name = "ADDR2")]
    pub second: Option<String>,
    /// Listen for WebSocket connections on this port (on 127.0.0.1 if ADDR is omitted); same as ws-l: as ADDR1, or as wss-l:
    /// with --cert, --pkcs12-der or --self-signed
    #[arg(short = 's', short_alias = 'l', long = "server-mode", visible_alias = "listen", value_name = "[ADDR:]PORT", value_parser = server_address)]
    pub server: Option<HostPort>,
    /// Print what would be connected, including the overlays that wsplice inserts, and exit
    #[arg(long, visible_alias = "dump-spec")]
    pub explain: bool,
    /// Directions, and when sessions end.
    #[command(flatten)]
    pub direction: DirectionArgs,
    /// Time limits of sessions.
    #[command(flatten)]
    pub time_limits: Rare<TimeLimitArgs>,
    /// Framing.
    #[command(flatten)]
    pub framing: FramingArgs,
    /// How lines end.
    #[command(flatten)]
    pub lines: Rare<LineArgs>,
    /// How `lengthprefixed:` writes lengths.
    #[command(flatten)]
    pub length_prefixed: Rare<LengthPrefixedArgs>,
    /// Messages.
    #[command(flatten)]
    pub messages: Rare<MessageArgs>,
    /// Scripting.
    #[command(flatten)]
    pub scripting: Rare<ScriptingArgs>,
    /// Payloads of WebSocket messages.
    #[command(flatten)]
    pub payload: Rare<PayloadArgs>,
    /// WebSocket client.
    #[command(flatten)]
    pub client: ClientArgs,
    /// Credentials and URL of the opening handshake.
    #[command(flatten)]
    pub handshake: Rare<HandshakeArgs>,
    /// The opening handshake of clients.
    #[command(flatten)]
    pub request: Rare<RequestArgs>,
    /// Name look-ups.
    #[command(flatten)]
    pub resolve: Rare<ResolveArgs>,
    /// Proxies.
    #[command(flatten)]
    pub proxy: Rare<ProxyArgs>,
    /// Listeners.
    #[command(flatten)]
    pub serving: Rare<ServingArgs>,
    /// Rooms.
    #[command(flatten)]
    pub rooms: Rare<RoomArgs>,
    /// Rooms over several machines.
    #[command(flatten)]
    pub cluster: Rare<ClusterArgs>,
    /// Both WebSocket sides.
    #[command(flatten)]
    pub websocket: Rare<WebSocketArgs>,
    /// Pings and pongs.
    #[command(flatten)]
    pub pings: Rare<PingArgs>,
    /// TLS.
    #[command(flatten)]
    pub tls: Rare<TlsArgs>,
    /// HTTP requests.
    #[command(flatten)]
    pub http_request: Rare<HttpRequestArgs>,
    /// UDP.
    #[command(flatten)]
    pub udp: Rare<UdpArgs>,
    /// Programs.
    #[command(flatten)]
    pub programs: Rare<ProgramArgs>,
    /// Reconnecting.
    #[command(flatten)]
    pub reconnecting: Rare<ReconnectArgs>,
    /// Terminals.
    #[command(flatten)]
    pub terminal: Rare<TerminalArgs>,
    /// Lines on standard error.
    #[command(flatten)]
    pub output: OutputArgs,
    /// How lines on standard error look.
    #[command(flatten)]
    pub log: Rare<LogArgs>,
    /// Keys of the opening handshake.
    #[command(flatten)]
    pub keys: Rare<KeyArgs>,
    /// Options of wscat.
    #[command(flatten)]
    pub wscat: Rare<WscatArgs>,
    /// Options of websocat that have no effect.
    #[command(flatten)]
    pub accepted: Rare<AcceptedArgs>,
    /// The long names of the options that the command line has.
    #[arg(skip)]
    pub given: Vec<String>,
}

/// Directions, and when sessions end.
#[derive(Args)]
#[command(next_help_heading = "Direction and end")]
pub struct DirectionArgs {
    /// Copy from ADDR1 to ADDR2 only
    #[arg(short = 'u', long = "unidirectional")]
    pub forward_only: bool,
    /// Copy from ADDR2 to ADDR1 only; with -u, copy nothing: connect, then close
    #[arg(short = 'U', long = "unidirectional-reverse")]
    pub reverse_only: bool,
    /// End the session as soon as either end has ended, without waiting for replies
    #[arg(short = 'E', long)]
    pub exit_on_eof: bool,
    /// Send no close frame after the end of the input; receive until the peer closes. With -u, as -E
    #[arg(short = 'n', long, conflicts_with = "exit_on_eof")]
    pub no_close: bool,
    /// Send at most one message to ADDR2, and end as soon as one reply has arrived
    #[arg(short = '1', long)]
    pub one_message: bool,
    /// End as soon as N messages have arrived from ADDR2; exit 9 if the session ends earlier
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), conflicts_with_all = ["no_close", "forward_only"])]
    pub replies: Option<u64>,
}

/// How byte streams are split into messages.
#[derive(Args)]
#[command(next_help_heading = "Text and binary")]
pub struct FramingArgs {
    /// Treat each line of a byte stream as one text message
    #[arg(short = 't', long, overrides_with = "binary")]
    pub text: bool,
    /// Treat each read from a byte stream as one binary message, and write messages without a trailing newline
    #[arg(short = 'b', long, overrides_with = "text")]
    pub binary: bool,
    /// Terminate lines with a zero byte instead of a newline
    #[arg(short = '0', long)]
    pub null_terminated: bool,
}

/// The opening handshake.
#[derive(Args)]
#[command(next_help_heading = "WebSocket client")]
pub struct ClientArgs {
    /// Add an HTTP header to the opening handshake, or replace a default one; @FILE reads a header a line. May be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = values::headers)]
    pub headers: Vec<Headers>,
    /// Offer this subprotocol; may be repeated, or a list separated by commas, in order of preference
    #[arg(long = "protocol", visible_alias = "subprotocol", value_name = "NAME", value_parser = values::subprotocols)]
    pub protocols: Vec<Subprotocols>,
}

/// Listeners.
#[derive(Args, Debug, SmartDefault)]
#[command(next_help_heading = "Listeners")]
pub struct ServingArgs {
    /// Serve one connection, then exit
    #[arg(long)]
    pub oneshot: bool,
    /// Serve connections with N threads. Default: one for each core that wsplice may use
    #[arg(long, value_name = "N", value_parser = values::threads)]
    pub threads: Option<NonZeroUsize>,
    /// Serve at most N connections at once; others wait in the kernel's listen backlog
    #[arg(long, visible_alias = "maxforks", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub conncap: Option<u32>,
    /// Maximum number of connections per client address (IPv6: per /64 network); further ones are closed, with
    /// --broadcast further members get 503. --trust-proxy exempts proxies
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_per_address: Option<u32>,
    /// Close each connection when it has lasted for SECONDS, or up to a tenth earlier so that clients do not come back
    /// together: a WebSocket with code 1001. Default: 0, no limit
    #[arg(long, value_name = "SECONDS", value_parser = duration)]
    pub max_lifetime: Option<Duration>,
    /// Maximum memory that is held for clients; beyond it the client with the most is closed with code 1013, and new ones get
    /// 503. Default: half of the memory of the machine or its cgroup
    #[arg(long, value_name = "BYTES", value_parser = values::size)]
    pub max_memory: Option<usize>,
    /// When a listener is ready, print its address on standard output, as LISTEN proto=tcp,ip=127.0.0.1,port=8080
    #[arg(long)]
    pub stdout_announce_listening_ports: bool,
    /// Remove an existing socket at the path of a unix socket listener before listening
    #[arg(long)]
    pub unlink: bool,
    /// Permissions of the unix socket of a listener, such as 660. Default: those that the umask leaves
    #[arg(long, value_name = "MODE", value_parser = values::file_mode)]
    pub chmod: Option<u32>,
    /// Take the argument of unix-listen: and l-ws-unix: for the number of a descriptor that listens already
    #[arg(long, conflicts_with_all = ["unlink", "chmod"])]
    pub accept_from_fd: bool,
    /// Select this subprotocol if the client offers it. Default: the one that a WebSocket server on the other side
    /// selected, or, if the other side is not a WebSocket, the client's first
    #[arg(long, value_name = "NAME", value_parser = values::subprotocol)]
    pub server_protocol: Option<HeaderValue>,
    /// Add an HTTP header to every response; may be repeated
    #[arg(long = "server-header", value_name = "NAME: VALUE", value_parser = header)]
    pub server_headers: Vec<(HeaderName, HeaderValue)>,
    /// Maximum length of a request's path and query; longer ones get 414
    #[arg(long, value_name = "BYTES", value_parser = values::size, default_value = "8k")]
    #[default(8 << 10)]
    pub max_url_length: usize,
    /// Maximum length of a request's head, at least 8k; longer ones get 431
    #[arg(long, value_name = "BYTES", value_parser = values::header_length, default_value = "64k")]
    #[default(64 << 10)]
    pub max_header_length: usize,
    /// Accept WebSockets at this path only; opening handshakes for other paths get 404
    #[arg(long, value_name = "PATH", value_parser = RequestPath::parse)]
    pub restrict_uri: Option<RequestPath>,
    /// Accept browsers with this Origin header only; others get 403; may be repeated
    #[arg(long = "allow-origin", value_name = "ORIGIN", value_parser = values::origin)]
    pub allow_origins: Vec<String>,
    /// Accept browsers only if the Origin header has the host and port of the Host header; others get 403
    #[arg(long, visible_alias = "sameorigin")]
    pub same_origin: bool,
    /// Require Basic authentication, also for static files; FILE lists USER:PASSWORD pairs, one per line; otherwise 401
    #[arg(long, value_name = "FILE")]
    pub require_basic_auth: Option<PathBuf>,
    /// Require a token, as `Authorization: Bearer TOKEN` or ?access_token=TOKEN, also for static files; FILE lists
    /// tokens, one per line; otherwise 401
    #[arg(long, value_name = "FILE")]
    pub require_token: Option<PathBuf>,
    /// Trust the X-Forwarded-For header of proxies in this network; may be repeated
    #[arg(long = "trust-proxy", value_name = "CIDR", value_parser = values::network)]
    pub trusted_proxies: Vec<IpNet>,
    /// Serve a file in response to plain GET requests, such as /index.html:text/html:./page.html; may be repeated
    #[arg(short = 'F', long = "static-file", value_name = "URI:CONTENT-TYPE:FILE", value_parser = static_file)]
    pub static_files: Vec<StaticFile>,
    /// Serve the files in a directory in response to other plain GET requests; / is its index.html. Files and directories
    /// whose names start with a dot, and what is not a regular file, are not served. Symbolic links are followed, also to files
    /// outside the directory
    #[arg(long, value_name = "DIR", value_parser = values::directory)]
    pub staticdir: Option<PathBuf>,
}

/// The room server.
#[derive(Args, Debug, SmartDefault)]
#[command(next_help_heading = "Rooms")]
pub struct RoomArgs {
    /// Run a room server: send each client's messages to all clients with the same path and query
    #[arg(long)]
    pub broadcast: bool,
    /// Do not send a message back to its sender
    #[arg(long, requires = "broadcast")]
    pub no_echo: bool,
    /// What to do with a member whose backlog is full
    #[arg(long, value_name = "POLICY", value_enum, default_value = "disconnect", requires = "broadcast")]
    #[default(SlowPolicy::Disconnect)]
    pub slow: SlowPolicy,
    /// Maximum number of bytes that are queued for one member, or for one client of reuse: or -s. Default: 16m, for reuse: 1m
    #[arg(long, value_name = "BYTES", value_parser = values::size)]
    pub backlog: Option<usize>,
    /// With --slow disconnect and block, close a member with code 1013 that takes nothing from its backlog for SECONDS,
    /// whatever it sends; also a client of reuse: or -s for which others wait, or which waits for the shared end. 0 sets no limit
    #[arg(long, value_name = "SECONDS", value_parser = duration, default_value = "10")]
    #[default(Duration::from_secs(10))]
    pub slow_timeout: Duration,
    /// Send the last N messages of a room to whoever joins it, before newer ones; at most a quarter of --backlog is kept of a room, and a
    /// quarter of --max-memory of all rooms. Clients that offer the subprotocol wsplice.resume.v1 can resume after a reconnect
    #[arg(long, value_name = "N", requires = "broadcast", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub history: Option<u32>,
    /// Forget the messages of --history when nothing has been sent to a room for SECONDS, whether or not it has members
    #[arg(long, value_name = "SECONDS", value_parser = values::history_ttl, default_value = "600", requires = "history")]
    #[default(Duration::from_secs(600))]
    pub history_ttl: Duration,
    /// Maximum number of rooms; handshakes for more get 503
    #[arg(long, value_name = "N", requires = "broadcast", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_rooms: Option<u32>,
    /// Maximum number of members per room; further ones get 503
    #[arg(long, value_name = "N", requires = "broadcast", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_per_room: Option<u32>,
    /// Serve rooms only at this path and below it; other paths get 404
    #[arg(long, value_name = "PATH", requires = "broadcast", value_parser = RequestPath::parse)]
    pub room_prefix: Option<RequestPath>,
    /// Serve Prometheus metrics at http://ADDR/metrics
    #[arg(long, value_name = "[ADDR:]PORT", value_parser = server_address)]
    pub metrics: Option<HostPort>,
    /// Check the health of the room server at URL, or without URL of process 1, as in a container; exit 0 if it is
    /// healthy
    #[arg(long, value_name = "URL", num_args = 0..=1, exclusive = true)]
    pub healthcheck: Option<Option<String>>,
}

/// Both sides of a WebSocket.
#[derive(Args, Debug, SmartDefault)]
#[command(next_help_heading = "WebSocket, both sides")]
pub struct WebSocketArgs {
    /// Interval between pings; 0 disables them. Default: 0, with --broadcast 30
    #[arg(long, value_name = "SECONDS", value_parser = duration)]
    pub ping_interval: Option<Duration>,
    /// Close the connection if no pong arrives within SECONDS (exit 7); other data from the peer counts as well.
    /// Default with --broadcast: 60
    #[arg(long, value_name = "SECONDS", value_parser = duration)]
    pub ping_timeout: Option<Duration>,
    /// See [`Close::CODES`].
    #[arg(long, value_name = "CODE", value_parser = values::close_code,
        help = format!("Close code to send: {}. Default: 1000", Close::CODES))]
    pub close_status_code: Option<u16>,
    /// See [`Close::MAX_REASON`].
    #[arg(long, value_name = "TEXT", value_parser = Close::parse_reason,
        help = format!("Close reason to send, at most {} bytes", Close::MAX_REASON))]
    pub close_reason: Option<String>,
    /// Maximum length of a received message (longer: close code 1009, exit 6) and of an input line (longer: exit 1).
    /// Default: 64m, with --broadcast a quarter of --backlog
    #[arg(long, value_name = "BYTES", value_parser = values::size)]
    pub max_ws_message_length: Option<usize>,
    /// Maximum length of a received frame (longer: close code 1009, exit 6). Default: 64m
    #[arg(long, value_name = "BYTES", value_parser = values::size, default_value = "64m")]
    #[default(64 << 20)]
    pub max_ws_frame_length: usize,
    /// Maximum time for a message to arrive, plus 1 second for every 16 KiB of it (longer: close code 1008, exit 6); 0
    /// disables the limit
    #[arg(long, value_name = "SECONDS", value_parser = duration, default_value = "60")]
    #[default(Duration::from_secs(60))]
    pub message_timeout: Duration,
    /// When to compress messages (permessage-deflate)
    #[arg(long, value_name = "WHEN", value_enum, default_value = "auto")]
    #[default(DeflateMode::Auto)]
    pub deflate: DeflateMode,
    /// Compression level, 1 to 9; 0 sends all messages uncompressed. Level 3 compresses within 10% of level 6 (zlib's
    /// default) in half the time
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(u8).range(0..=9), default_value = "3")]
    #[default(3)]
    pub deflate_level: u8,
    /// Maximum compression window, 2^N bytes, to request and to use, for both directions
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(9..=15), default_value = "15")]
    #[default(15)]
    pub deflate_window_bits: u8,
    /// Compress each message independently, as --broadcast always does, and ask the peer to do the same; uses less
    /// memory, compresses less
    #[arg(long)]
    pub deflate_no_context_takeover: bool,
    /// Send messages shorter than this uncompressed; a message that fits into one packet anyway gains little
    #[arg(long, value_name = "BYTES", value_parser = values::any_size, default_value = "1k")]
    #[default(1 << 10)]
    pub deflate_threshold: usize,
}

/// When messages are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DeflateMode {
    /// Clients offer compression; listeners accept it, but not with --broadcast
    Auto,
    /// Clients do not offer compression; listeners do not accept it
    Off,
    /// Clients require compression (otherwise exit 5); listeners accept it, also with --broadcast
    On,
}

/// TLS.
#[derive(Args, Default)]
#[command(next_help_heading = "TLS")]
pub struct TlsArgs {
    /// Server certificate chain (PEM, leaf first). SIGHUP makes listeners read all files of certificates, keys and CAs again
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// Private key of --cert (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// Client certificate chain for servers that request one (PEM, leaf first). Default: --cert, or --pkcs12-der
    #[arg(long, value_name = "FILE", requires = "client_key")]
    pub client_cert: Option<PathBuf>,
    /// Private key of --client-cert (PEM)
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    pub client_key: Option<PathBuf>,
    /// CA certificates to trust (PEM), instead of the system's
    #[arg(long, visible_alias = "ca", value_name = "FILE")]
    pub cacert: Option<PathBuf>,
    /// Accept any server certificate; an attacker on the path can then read and alter the connection
    #[arg(short = 'k', long)]
    pub insecure: bool,
    /// Server name to request (SNI) and to verify in the certificate, instead of the host in the address
    #[arg(long, value_name = "NAME")]
    pub tls_domain: Option<String>,
    /// Require client certificates that are signed by a CA in FILE (PEM)
    #[arg(long, value_name = "FILE")]
    pub client_ca: Option<PathBuf>,
    /// Generate a server certificate for localhost, 127.0.0.1 and ::1 at start, and print its fingerprint
    #[arg(long, conflicts_with = "cert")]
    pub self_signed: bool,
    /// PKCS #12 archives, and encrypted keys.
    #[command(flatten)]
    pub identities: IdentityArgs,
}

/// Reconnecting.
#[derive(Args, Debug, SmartDefault)]
#[command(next_help_heading = "Reconnecting")]
pub struct ReconnectArgs {
    /// Initial reconnect delay of autoreconnect:, at least 10; the delay doubles with each attempt
    #[arg(long, value_name = "MS", default_value = "500")]
    #[default(500)]
    pub autoreconnect_delay_millis: u64,
    /// Maximum reconnect delay of autoreconnect:
    #[arg(long, value_name = "MS", default_value = "30000")]
    #[default(30_000)]
    pub autoreconnect_max_delay_millis: u64,
    /// Give up after N further attempts of autoreconnect: in a row that fail. Default: no limit
    #[arg(long, visible_alias = "retry-max", value_name = "N")]
    pub retry: Option<u32>,
}

/// Lines on standard error.
#[derive(Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Log opening handshakes to standard error, with --broadcast also members that join and leave; -vv also logs
    /// frames, except those of rooms
    #[arg(short = 'v', long, action = ArgAction::Count)]
    pub verbose: u8,
    /// Log nothing to standard error except the error that ends the run
    #[arg(short = 'q', long, conflicts_with = "verbose")]
    pub quiet: bool,
}

/// The default listener of `--broadcast`.
const ROOM_LISTENER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// What to do after the command line has been parsed.
pub enum Parsed {
    /// Run with these options.
    Run(Box<Cli>),
    /// Print this text (help or version) to standard output.
    Show(String),
    /// Be the process of a jq program.
    #[cfg(feature = "jq")]
    JqProcess,
}

impl Cli {
    /// Parses the arguments of the process.
    ///
    /// # Errors
    /// [`Error::Usage`] if they are not valid.
    pub fn parse_args(args: impl IntoIterator<Item = OsString>) -> Result<Parsed, Error> {
        // `--help=TOPIC` as well as `--help TOPIC`.
        let split = |arg: OsString| match arg.to_str().and_then(|arg| arg.strip_prefix("--help=")) {
            Some(topic) => vec!["--help".into(), topic.into()],
            None => vec![arg],
        };
        let mut args: Vec<_> = args.into_iter().flat_map(split).collect();
        #[cfg(feature = "jq")]
        if let [_, only] = &args[..]
            && only == crate::filter::ARGUMENT
        {
            return Ok(Parsed::JqProcess);
        }
        // Remove them before clap parses the rest, since they may look like options of wsplice.
        let is_cut = |arg: &OsString| arg == "--exec-args" || arg.as_encoded_bytes().starts_with(b"--exec-args=");
        let exec_args = match args.iter().position(is_cut) {
            Some(at) => {
                let mut cut = args.split_off(at);
                let first = cut.remove(0);
                cut.splice(0..0, first.to_str().and_then(|arg| arg.strip_prefix("--exec-args=")).map(OsString::from));
                Some(cut)
            }
            None => None,
        };
        let parse_with = |mut options: Command| {
            let matches = options.try_get_matches_from_mut(&args)?;
            let given = applicable::given(&options, &matches);
            Ok(Self { given, ..Self::from_arg_matches(&matches)? })
        };
        let common = rare::defining(Vec::new(), || {
            let options = options();
            match rare::unknown(&options, &args) {
                unknown if unknown.is_empty() => Ok(parse_with(options)),
                unknown => Err(unknown),
            }
        });
        let named = common.unwrap_or_else(|unknown| rare::defining(unknown, || parse_with(options())));
        // With all of them, it may be right, and the error may name a similar option.
        let parsed: Result<Self, clap::Error> = named.or_else(|_| parse_with(options()));
        match parsed {
            Ok(mut cli) => {
                cli.given.extend(exec_args.is_some().then(|| "exec-args".to_owned()));
                cli.programs.exec_args = exec_args.unwrap_or_default();
                Ok(Parsed::Run(Box::new(cli)))
            }
            Err(error) if error.kind() == ErrorKind::DisplayVersion => Ok(Parsed::Show(error.render().to_string())),
            Err(error) if error.kind() == ErrorKind::DisplayHelp => {
                let at = args.iter().position(|arg| arg == "--help" || arg == "-h");
                let topic = at.and_then(|at| args.get(at + 1)?.to_str());
                let is_short = at.is_none_or(|at| args.get(at).is_some_and(|arg| arg == "-h"));
                topics::text(is_short, topic).map(Parsed::Show)
            }
            Err(error) => Err(option_errors::explain(&error)),
        }
    }

    /// Parses the addresses.
    ///
    /// # Errors
    /// [`Error::Usage`] if an address is missing or cannot be parsed.
    pub fn addresses(&self) -> Result<(FirstAddress, Option<Spec>), Error> {
        let parse = |text: &Option<String>| text.as_deref().map(Spec::parse).transpose();
        let (first, second) = (parse(&self.first)?, parse(&self.second)?);
        // `-c URL` may have one more address, whose place is before it as with a URL that is typed.
        let (first, second) = match (parse(&self.wscat.connect)?, first) {
            (Some(url), None) => (Some(url), None),
            (Some(url), Some(first)) => (Some(first), Some(url)),
            (None, first) => (first, second),
        };
        let (first, second) = match &self.programs.dir {
            None => (first, second),
            Some(directory) => {
                let programs = Some(Spec::parse(&format!("exec-dir:{directory}"))?);
                match (&self.server, first, second) {
                    (Some(_), None, None) => (programs, None),
                    (None, first, None) => (first, programs),
                    _ => return Err(Error::usage("--dir is the second address; only one more may be given")),
                }
            }
        };
        match (&self.server, first, second) {
            (None, None, _) if self.rooms.broadcast => Ok((FirstAddress::Listener(ROOM_LISTENER.into()), None)),
            (Some(_), _, Some(_)) => Err(Error::usage("-s is the first address; only one more may follow")),
            (Some(at), second, None) if self.has_server_certificate() => {
                Ok((FirstAddress::Typed(Spec::parse(&format!("wss-listen:{at}"))?), second))
            }
            (Some(at), second, None) => Ok((FirstAddress::Listener(at.clone()), second)),
            (None, Some(first), second) => Ok((FirstAddress::Typed(first), second)),
            (None, None, _) => Err(Error::usage_hint(
                "an address is missing",
                "wsplice ws://HOST/PATH connects, wsplice -s PORT serves, wsplice --help lists everything",
            )),
        }
    }

    fn has_server_certificate(&self) -> bool {
        self.tls.cert.is_some() || self.tls.self_signed || self.tls.identities.pkcs12_der.is_some()
    }

    /// Makes the configuration of the run.
    ///
    /// # Errors
    /// If options conflict, or a file that an option names cannot be used.
    pub fn into_config(self) -> Result<Config, Error> {
        Config::new(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The groups that have options with a default, as they are without these options.
    fn defaults() -> Vec<String> {
        let matches = options().try_get_matches_from(["wsplice", "mirror:"]).expect("an address is enough");
        let cli = Cli::from_arg_matches(&matches).expect("an address is enough");
        vec![
            format!("{:?}", cli.time_limits),
            format!("{:?}", cli.lines),
            format!("{:?}", cli.log),
            format!("{:?}", cli.length_prefixed),
            format!("{:?}", cli.messages),
            format!("{:?}", cli.scripting),
            format!("{:?}", cli.request),
            format!("{:?}", cli.serving),
            format!("{:?}", cli.rooms),
            format!("{:?}", cli.websocket),
            format!("{:?}", cli.udp),
            format!("{:?}", cli.http_request),
            format!("{:?}", cli.terminal),
            format!("{:?}", cli.reconnecting),
        ]
    }

    #[test]
    fn groups_that_are_left_out_have_the_defaults_of_the_help() {
        assert_eq!(rare::defining(Vec::new(), defaults), defaults());
    }
}
