//! The command line. [`Cli`] is what was typed; [`Config`] is what it means.

mod config;
mod help;
mod later;
mod values;

pub use help::{EXIT_CODES, command};

use crate::{
    access::BasicAuth,
    config::{Config, RequestPath, SlowPolicy, StaticFile},
    error::Error,
    net::{HostPort, WebSocketUrl},
    plan::First,
    report::{LogFormat, Report},
    spec::Spec,
};
use clap::{ArgAction, Args, FromArgMatches, Parser, ValueEnum, error::ErrorKind};
use hyper::header::{HeaderName, HeaderValue};
use ipnet::IpNet;
use std::{
    ffi::OsString,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};
use values::{Subprotocols, duration, header, server_address, static_file};

/// Splices any two endpoints together, WebSockets first.
///
/// Connects ADDR1 with ADDR2 and copies messages or bytes both ways until both have ended. With one address the other
/// end is standard input and output: it is ADDR1, or ADDR2 where the address is a listener.
#[derive(Parser)]
#[command(name = "wsplice", version, max_term_width = 100, args_override_self = true)]
pub struct Cli {
    /// The first end, such as ws://HOST/PATH, ws-l:127.0.0.1:8080, tcp:HOST:PORT, or - for standard input and output
    #[arg(value_name = "ADDR1")]
    pub first: Option<String>,
    /// The second end
    #[arg(value_name = "ADDR2")]
    pub second: Option<String>,
    /// Serve WebSockets on this port, of 127.0.0.1 unless ADDR is given; the same as ws-l: as ADDR1
    #[arg(short = 's', long = "server-mode", value_name = "[ADDR:]PORT", value_parser = server_address)]
    pub server: Option<HostPort>,
    /// Print what would be connected and what was inserted, and exit
    #[arg(long, visible_alias = "dump-spec")]
    pub explain: bool,
    /// The options below, by subject.
    #[command(flatten)]
    pub direction: DirectionArgs,
    /// Framing.
    #[command(flatten)]
    pub framing: FramingArgs,
    /// WebSocket client.
    #[command(flatten)]
    pub client: ClientArgs,
    /// Listeners.
    #[command(flatten)]
    pub serving: ServingArgs,
    /// Rooms.
    #[command(flatten)]
    pub rooms: RoomArgs,
    /// Both WebSocket sides.
    #[command(flatten)]
    pub websocket: WebSocketArgs,
    /// TLS.
    #[command(flatten)]
    pub tls: TlsArgs,
    /// Processes and reconnecting.
    #[command(flatten)]
    pub other: OtherArgs,
    /// What is shown.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// When a session ends, and which directions it has.
#[derive(Args)]
#[command(next_help_heading = "Direction and end")]
pub struct DirectionArgs {
    /// Copy from ADDR1 to ADDR2 only
    #[arg(short = 'u', long = "unidirectional")]
    pub forward_only: bool,
    /// Copy from ADDR2 to ADDR1 only
    #[arg(short = 'U', long = "unidirectional-reverse", conflicts_with = "forward_only")]
    pub reverse_only: bool,
    /// End the session as soon as either end has ended, without waiting for answers
    #[arg(short = 'E', long)]
    pub exit_on_eof: bool,
    /// After the end of the input send no close frame; receive until the peer closes
    #[arg(short = 'n', long, conflicts_with = "exit_on_eof")]
    pub no_close: bool,
    /// Send at most one message to ADDR2, and end as soon as one has come back
    #[arg(short = '1', long)]
    pub one_message: bool,
    /// End as soon as N messages have come from ADDR2; exit 9 when the session ends before that
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), conflicts_with_all = ["no_close", "forward_only"])]
    pub replies: Option<u64>,
    /// After the end of standard input, close once nothing has arrived for this long
    #[arg(long, value_name = "SECONDS", value_parser = duration, default_value = "300ms")]
    pub linger: Duration,
    /// After one direction of a WebSocket session has ended, how long the other may be silent
    #[arg(long, value_name = "SECONDS", value_parser = duration, default_value = "5")]
    pub close_timeout: Duration,
    /// After SIGINT or SIGTERM, how long sessions may take to end; a second signal ends them at once
    #[arg(long, value_name = "SECONDS", value_parser = duration, default_value = "5")]
    pub grace: Duration,
    /// How long opening a connection may take, from the name look-up to the finished upgrade (exit 124); listeners give
    /// clients as long for the TLS handshake and for the request
    #[arg(long, value_name = "SECONDS", value_parser = duration, default_value = "10")]
    pub connect_timeout: Duration,
    /// How long the whole run may take (exit 124)
    #[arg(short = 'm', long, value_name = "SECONDS", value_parser = duration)]
    pub max_time: Option<Duration>,
}

/// How bytes become messages.
#[derive(Args)]
#[command(next_help_heading = "Text and binary")]
pub struct FramingArgs {
    /// Read every byte end by lines, each a text message
    #[arg(short = 't', long, overrides_with = "binary")]
    pub text: bool,
    /// Send what is read from a byte end as binary messages, and write messages with nothing behind them
    #[arg(short = 'b', long, overrides_with = "text")]
    pub binary: bool,
    /// Lines end with a zero byte instead of a newline
    #[arg(short = '0', long)]
    pub null_terminated: bool,
    /// Where messages are written as lines, turn newlines inside them into spaces
    #[arg(long)]
    pub one_line: bool,
}

/// The upgrade request.
#[derive(Args)]
#[command(next_help_heading = "WebSocket client")]
pub struct ClientArgs {
    /// Add a header to the upgrade request, or replace one of ours; one for each -H
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Send this Origin header
    #[arg(long, value_name = "URL", value_parser = values::header_value)]
    pub origin: Option<HeaderValue>,
    /// Offer these subprotocols, separated by commas, the preferred one first
    #[arg(long, value_name = "NAME", value_parser = values::subprotocols)]
    pub protocol: Option<Subprotocols>,
    /// Send this User-Agent header
    #[arg(long, value_name = "TEXT", value_parser = values::header_value)]
    pub ua: Option<HeaderValue>,
    /// Send a Basic Authorization header
    #[arg(long, value_name = "USER:PASSWORD", value_parser = values::basic_auth)]
    pub basic_auth: Option<BasicAuth>,
    /// The URL that the ws-c: overlay asks for
    #[arg(long, value_name = "URL", value_parser = values::websocket_url, default_value = "ws://localhost/")]
    pub ws_c_uri: WebSocketUrl,
}

/// Listeners.
#[derive(Args)]
#[command(next_help_heading = "Listeners")]
pub struct ServingArgs {
    /// Serve one connection and end
    #[arg(long)]
    pub oneshot: bool,
    /// Serve at most N connections at once; others wait in the system's queue
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub conncap: Option<u32>,
    /// Print LISTEN and the address on standard output when a listener is ready: LISTEN proto=tcp,ip=127.0.0.1,port=8080
    #[arg(long)]
    pub stdout_announce_listening_ports: bool,
    /// Remove a socket that is left at the path before listening there
    #[arg(long)]
    pub unlink: bool,
    /// Choose this subprotocol when the client offers it; without this option it is the one that a WebSocket on the
    /// other side chose, else the client's first
    #[arg(long, value_name = "NAME", value_parser = values::subprotocol)]
    pub server_protocol: Option<HeaderValue>,
    /// Add a header to every HTTP answer; may be repeated
    #[arg(long = "server-header", value_name = "NAME: VALUE", value_parser = header)]
    pub server_headers: Vec<(HeaderName, HeaderValue)>,
    /// Accept WebSockets at this path only; upgrade requests for others get 404
    #[arg(long, value_name = "PATH", value_parser = RequestPath::parse)]
    pub restrict_uri: Option<RequestPath>,
    /// Accept browsers from this origin only (others get 403); may be repeated
    #[arg(long = "allow-origin", value_name = "ORIGIN", value_parser = values::origin)]
    pub allow_origins: Vec<String>,
    /// Accept browsers from pages of the same host and port only
    #[arg(long)]
    pub same_origin: bool,
    /// Let only those in (others get 401) who show one of the USER:PASSWORD lines of this file
    #[arg(long, value_name = "FILE")]
    pub require_basic_auth: Option<PathBuf>,
    /// Let only those in who show one of the tokens in this file, a line each, as `Authorization: Bearer TOKEN` or as
    /// ?access_token=TOKEN
    #[arg(long, value_name = "FILE")]
    pub require_token: Option<PathBuf>,
    /// Believe the X-Forwarded-For header of proxies in this network; may be repeated
    #[arg(long = "trust-proxy", value_name = "CIDR", value_parser = values::network)]
    pub trusted_proxies: Vec<IpNet>,
    /// Serve a file to plain GET requests, such as /index.html:text/html:./page.html; may be repeated
    #[arg(short = 'F', long = "static-file", value_name = "URI:CONTENT-TYPE:FILE", value_parser = static_file)]
    pub static_files: Vec<StaticFile>,
}

/// The room server.
#[derive(Args)]
#[command(next_help_heading = "Rooms")]
pub struct RoomArgs {
    /// Serve rooms: what a client sends goes to all clients of the same path and query
    #[arg(long)]
    pub broadcast: bool,
    /// Do not send a message back to its sender
    #[arg(long, requires = "broadcast")]
    pub no_echo: bool,
    /// What to do with a member that does not take its messages fast enough
    #[arg(long, value_name = "POLICY", value_enum, default_value = "disconnect", requires = "broadcast")]
    pub slow: SlowPolicy,
    /// How many bytes may wait for a member before it is too slow
    #[arg(long, value_name = "BYTES", value_parser = values::size, default_value = "16m", requires = "broadcast")]
    pub backlog: usize,
    /// Refuse to open more rooms than this at once (HTTP 503)
    #[arg(long, value_name = "N", requires = "broadcast", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_rooms: Option<u32>,
    /// Refuse more members of a room than this (HTTP 503)
    #[arg(long, value_name = "N", requires = "broadcast", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_per_room: Option<u32>,
    /// Refuse more members from one address than this (HTTP 503)
    #[arg(long, value_name = "N", requires = "broadcast", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_per_address: Option<u32>,
    /// Serve rooms at this path and below it only; others get 404
    #[arg(long, value_name = "PATH", requires = "broadcast", value_parser = RequestPath::parse)]
    pub room_prefix: Option<RequestPath>,
    /// Serve Prometheus metrics at http://ADDR/metrics
    #[arg(long, value_name = "[ADDR:]PORT", requires = "broadcast", value_parser = server_address)]
    pub metrics: Option<HostPort>,
    /// Ask a running server whether it is well, and exit 0 if it is: the room server at URL, or what runs as process 1,
    /// as in a container
    #[arg(long, value_name = "URL", num_args = 0..=1, exclusive = true)]
    pub healthcheck: Option<Option<String>>,
}

/// Both sides of a WebSocket.
#[derive(Args)]
#[command(next_help_heading = "WebSocket, both sides")]
pub struct WebSocketArgs {
    /// Send a ping this often; 0 for none, which is the default, except with --broadcast: 30
    #[arg(long, value_name = "SECONDS", value_parser = duration)]
    pub ping_interval: Option<Duration>,
    /// Give the connection up when a ping is not answered for this long (exit 7); with --broadcast 60 by default
    #[arg(long, value_name = "SECONDS", value_parser = duration)]
    pub ping_timeout: Option<Duration>,
    /// Close with this code instead of 1000: 1001, 1003, 1007 to 1014 or 3000 to 4999
    #[arg(long, value_name = "CODE", value_parser = values::close_code)]
    pub close_status_code: Option<u16>,
    /// Close with this reason, at most 123 bytes
    #[arg(long, value_name = "TEXT", value_parser = values::close_reason)]
    pub close_reason: Option<String>,
    /// The longest message that is accepted, or line that is read; longer messages get close code 1009 (exit 6)
    #[arg(long, value_name = "BYTES", value_parser = values::size, default_value = "64m")]
    pub max_ws_message_length: usize,
    /// The longest frame that is accepted; longer ones get close code 1009 (exit 6)
    #[arg(long, value_name = "BYTES", value_parser = values::size, default_value = "64m")]
    pub max_ws_frame_length: usize,
    /// Compress messages (permessage-deflate)
    #[arg(long, value_name = "WHEN", value_enum, default_value = "auto")]
    pub deflate: DeflateMode,
    /// How hard to compress, 1 to 9; 0 sends everything plain. 3 comes within a tenth of 6, zlib's default, in half of
    /// its time
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(u8).range(0..=9), default_value = "3")]
    pub deflate_level: u8,
    /// The largest window, 2^N bytes, that is asked for and used in both directions
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(9..=15), default_value = "15")]
    pub deflate_window_bits: u8,
    /// Compress each message on its own, as --broadcast always does, and ask the peer to: less memory there, and less
    /// is saved
    #[arg(long)]
    pub deflate_no_context_takeover: bool,
    /// Send shorter messages plain: what fits into one packet all the same is not worth the time
    #[arg(long, value_name = "BYTES", value_parser = values::any_size, default_value = "1k")]
    pub deflate_threshold: usize,
}

/// When messages are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DeflateMode {
    /// Clients offer it and can do without; listeners accept it, but not with --broadcast
    Auto,
    /// Never
    Off,
    /// Clients insist on it (exit 5); listeners accept it, with --broadcast too
    On,
}

/// TLS.
#[derive(Args)]
#[command(next_help_heading = "TLS")]
pub struct TlsArgs {
    /// The certificate chain that listeners show, PEM, their own certificate first
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// The private key of --cert, PEM, not encrypted
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// The certificate chain to show to servers that ask for one, PEM; --cert where this is not given
    #[arg(long, value_name = "FILE", requires = "client_key")]
    pub client_cert: Option<PathBuf>,
    /// The private key of --client-cert, PEM, not encrypted
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    pub client_key: Option<PathBuf>,
    /// Trust the authorities in this file instead of the system's, PEM
    #[arg(long, value_name = "FILE")]
    pub cacert: Option<PathBuf>,
    /// Accept any certificate: the connection is not protected against an attacker in between
    #[arg(short = 'k', long)]
    pub insecure: bool,
    /// Expect this name in the server's certificate, and ask for it (SNI), instead of the host that is connected to
    #[arg(long, value_name = "NAME")]
    pub tls_domain: Option<String>,
    /// Listeners demand a client certificate that an authority in this file has signed, PEM
    #[arg(long, value_name = "FILE")]
    pub client_ca: Option<PathBuf>,
    /// Listeners show a certificate made for this run, for localhost, 127.0.0.1 and ::1; its fingerprint is printed
    #[arg(long, conflicts_with = "cert")]
    pub self_signed: bool,
}

/// The rest.
#[derive(Args)]
#[command(next_help_heading = "Processes and reconnecting")]
pub struct OtherArgs {
    /// The arguments of exec:, to the end of the command line: it comes last
    #[arg(long, value_name = "ARG", num_args = 0..)]
    pub exec_args: Vec<OsString>,
    /// The first pause of autoreconnect:, which doubles up to 30 s
    #[arg(long, value_name = "MS", default_value = "500")]
    pub autoreconnect_delay_millis: u64,
}

/// What is shown.
#[derive(Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Show the handshake on standard error; -vv shows every frame too, but not those of rooms
    #[arg(short = 'v', long, action = ArgAction::Count)]
    pub verbose: u8,
    /// How lines on standard error are written
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,
    /// Show nothing on standard error but the error that ends the run
    #[arg(short = 'q', long, conflicts_with = "verbose")]
    pub quiet: bool,
}

/// Where `--broadcast` alone listens.
const ROOM_LISTENER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// What a parsed command line asks for.
pub enum Parsed {
    /// A run.
    Run(Box<Cli>),
    /// A text for standard output: help or the version.
    Show(String),
}

impl Cli {
    /// Parses the process's arguments.
    pub fn parse_args(args: impl IntoIterator<Item = OsString>) -> Result<Parsed, Error> {
        // websocat's name for what --help alone prints here.
        let mut args: Vec<_> =
            args.into_iter().map(|arg| if arg == "--help=long" { "--help".into() } else { arg }).collect();
        // Cut off before clap sees them: they may look like options of ours.
        let is_cut = |arg: &OsString| arg == "--exec-args" || arg.as_encoded_bytes().starts_with(b"--exec-args=");
        let exec_args = match args.iter().position(is_cut) {
            Some(at) => {
                let mut cut = args.split_off(at);
                let first = cut.remove(0);
                cut.splice(0..0, first.to_str().and_then(|arg| arg.strip_prefix("--exec-args=")).map(OsString::from));
                cut
            }
            None => Vec::new(),
        };
        match command().try_get_matches_from(args).and_then(|matches| Self::from_arg_matches(&matches)) {
            Ok(mut cli) => {
                cli.other.exec_args = exec_args;
                Ok(Parsed::Run(Box::new(cli)))
            }
            Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
                Ok(Parsed::Show(error.render().to_string()))
            }
            Err(error) => Err(later::explain(&error)),
        }
    }

    /// The addresses that were typed.
    ///
    /// # Errors
    /// When one of them is missing or cannot be parsed.
    pub fn addresses(&self) -> Result<(First, Option<Spec>), Error> {
        let parse = |text: &Option<String>| text.as_deref().map(Spec::parse).transpose();
        let (first, second) = (parse(&self.first)?, parse(&self.second)?);
        match (&self.server, first, second) {
            (None, None, _) if self.rooms.broadcast => Ok((First::Listener(ROOM_LISTENER.into()), None)),
            (Some(_), _, Some(_)) => Err(Error::usage("-s is the first address already; one more can follow")),
            (Some(at), second, None) => Ok((First::Listener(at.clone()), second)),
            (None, Some(first), second) => Ok((First::Typed(first), second)),
            (None, None, _) => Err(Error::usage_hint(
                "an address is missing",
                "wsplice ws://HOST/PATH connects, wsplice -s PORT serves, wsplice --help lists everything",
            )),
        }
    }

    /// Settles what the options mean together.
    pub fn into_config(self, report: Report) -> Result<Config, Error> {
        Config::new(self, report)
    }
}
