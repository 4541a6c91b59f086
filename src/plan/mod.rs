//! The plan of a run: builds two endpoints of the same flow from two parsed addresses, and inserts overlays where they do not fit.
//! `--explain` prints it.
//!
//! The steps, in order:
//! 1. If the right end is a listener, each session accepts one connection from it.
//! 2. If the left end is a listener and the right end exists only once, such as standard input and output, `reuse:` is inserted.
//! 3. If one end carries bytes and the other messages, or an overlay needs messages, `lines:` or `chunks:` is inserted.

mod draft;
mod explain;

use crate::{
    address,
    config::{Config, Directions, RoomOptions},
    endpoint::{
        About, AnyEndpoint, Bind, ByteEndpoint, Dialled, Endpoint, Framed, Framing, LayerNote, Layers, Listening,
        MessageEndpoint, MessageStack, Origin,
    },
    error::Error,
    flow::{ByteEnd, EndKind, Flow},
    framing::FramingOptions,
    message::Kind,
    net::HostPort,
    overlay, report,
    spec::Spec,
};
use draft::Draft;
use std::sync::Arc;

/// What a run will do.
pub enum Plan {
    /// Connect two ends, once or for each client of a listener.
    Splice(Splice),
    /// Serve rooms (`--broadcast`) on a listener.
    Rooms(RoomServer),
}

/// Two endpoints of the same flow.
pub struct Splice {
    /// The endpoints.
    pub pair: Pair,
    /// The directions in which messages are copied.
    directions: Directions,
}

/// The left endpoint, where sessions start, and the right endpoint, which is opened for each session.
pub enum Pair {
    /// One session that copies bytes.
    Bytes(ByteEndpoint<Dialled>, ByteEndpoint<Dialled>),
    /// One session that copies messages.
    Messages(MessageEndpoint<Dialled>, MessageEndpoint<Dialled>),
    /// A session that copies bytes for each connection of a listener.
    ServeBytes(ByteEndpoint<Listening>, ByteEndpoint<Dialled>),
    /// A session that copies messages for each connection of a listener.
    ServeMessages(MessageEndpoint<Listening>, MessageEndpoint<Dialled>),
}

/// A WebSocket listener whose clients are members of rooms.
pub struct RoomServer {
    /// The description of the listener.
    pub about: About,
    /// The origin of connections.
    pub origin: Box<dyn Bind<ByteEnd>>,
    /// The layers around each connection, below the WebSocket.
    pub layers: Layers<ByteEnd>,
    /// The options of the rooms.
    pub options: RoomOptions,
}

/// The first address of a command line.
pub enum FirstAddress {
    /// As it was typed.
    Typed(Spec),
    /// A WebSocket listener: `-s`, or `--broadcast` alone.
    Listener(HostPort),
}

impl Plan {
    /// Builds the endpoints, and inserts overlays where they do not fit.
    ///
    /// # Errors
    /// If an endpoint cannot be built, for example because a file that an option names is missing, or if the two do not fit.
    pub fn new(first: &FirstAddress, second: Option<&Spec>, config: &Arc<Config>) -> Result<Self, Error> {
        let first = match first {
            FirstAddress::Typed(spec) => Draft::build(spec, config, false)?,
            FirstAddress::Listener(at) => AnyEndpoint::Listening(address::websocket_listener(at, config)).into(),
        };
        match &config.rooms {
            None => Splice::new(first, second, config).map(Self::Splice),
            Some(_) if second.is_some() => {
                Err(Error::usage("--broadcast takes no second address: it connects the clients of one listener"))
            }
            Some(options) => {
                let framings = Framings { options: &config.framing, unchanged: false };
                RoomServer::new(first.finish(&framings), options).map(Self::Rooms)
            }
        }
    }

    /// Whether it serves the clients of a listener.
    pub fn is_serving(&self) -> bool {
        match self {
            Self::Splice(splice) => matches!(splice.pair, Pair::ServeBytes(..) | Pair::ServeMessages(..)),
            Self::Rooms(_) => true,
        }
    }

    /// The endpoints, with the overlays that were inserted.
    pub fn endpoints(&self) -> Vec<&About> {
        match self {
            Self::Splice(splice) => splice.pair.about().into(),
            Self::Rooms(server) => vec![&server.about],
        }
    }
}

impl Pair {
    /// The endpoints, left and right.
    pub fn about(&self) -> [&About; 2] {
        match self {
            Self::Bytes(left, right) => [&left.about, &right.about],
            Self::Messages(left, right) => [&left.about, &right.about],
            Self::ServeBytes(left, right) => [&left.about, &right.about],
            Self::ServeMessages(left, right) => [&left.about, &right.about],
        }
    }
}

impl RoomServer {
    fn new(listener: AnyEndpoint, options: &RoomOptions) -> Result<Self, Error> {
        let title = &listener.about().title;
        let no_listener = Error::usage_hint(
            format!("--broadcast needs a WebSocket listener, which `{title}` is not"),
            "for example wsplice --broadcast ws-l:0.0.0.0:8080",
        );
        let AnyEndpoint::Listening(Endpoint::Messages(MessageEndpoint { about, stack })) = listener else {
            return Err(no_listener);
        };
        let MessageStack::Framed(origin, Framed { bytes, framing: Framing::Upgrade(_), messages }) = stack else {
            return Err(no_listener);
        };
        match about.layers.last() {
            Some(outermost) if !messages.is_empty() => Err(Error::usage_hint(
                format!("--broadcast does not support `{}:` in front of `{}`", outermost.name, about.title),
                "to see the messages of a room, join it: wsplice log:ws://HOST:PORT/ROOM",
            )),
            _ => Ok(Self { about, origin, layers: bytes, options: options.clone() }),
        }
    }
}

impl Splice {
    /// Builds the second endpoint and makes both fit. A single address is connected to standard input and output: a listener is the
    /// left end, any other address the right end.
    fn new(first: Draft, second: Option<&Spec>, config: &Arc<Config>) -> Result<Self, Error> {
        let (mut left, mut right) = match second {
            Some(second) => (first, Draft::build(second, config, true)?),
            None if matches!(first, Draft::Listening(..)) => {
                (first, AnyEndpoint::Dialled(address::stdio(config)).into())
            }
            None => (AnyEndpoint::Dialled(address::stdio(config)).into(), first),
        };
        #[cfg(feature = "term")]
        use_terminal(&mut left, &mut right, config);
        #[cfg(feature = "term")]
        if left.is_console() && right.is_console() && (left.is_terminal() || right.is_terminal()) {
            return Err(Error::usage_hint(
                "`term:` cannot be connected to the terminal that it is",
                "give the address of what is typed, such as wsplice term: ws://127.0.0.1:8080/",
            ));
        }
        #[cfg(feature = "term")]
        if left.is_terminal() {
            right.add_reconnecting(config);
        }
        add_message_options(&mut left, &mut right, config);
        add_scripting(&mut left, &mut right, config)?;
        let unchanged = [&left, &right].iter().all(|end| end.flow() == Flow::Bytes && !end.is_per_message());
        let framings = Framings { options: &config.framing, unchanged };
        // If the right end is a listener, each session accepts one connection from it.
        let right = match right.finish(&framings) {
            AnyEndpoint::Dialled(endpoint) => endpoint,
            AnyEndpoint::Listening(endpoint) => endpoint.accept_one(config),
        };
        let pair = match left.finish(&framings) {
            AnyEndpoint::Dialled(left) => connect(left, right, &framings),
            AnyEndpoint::Listening(left) => serve(left, right, &framings, config),
        };
        Ok(Self { pair, directions: config.session.directions })
    }
}

/// Replaces standard input and output by the interactive terminal if the other end carries messages.
#[cfg(feature = "term")]
fn use_terminal(left: &mut Draft, right: &mut Draft, config: &Config) {
    let flows = [right.flow(), left.flow()];
    let is_sent = config.session.directions.copied();
    for ((end, other), is_sent) in [left, right].into_iter().zip(flows).zip(is_sent) {
        // Where nothing that is typed is sent, a prompt would be in vain.
        if other == Flow::Messages
            && is_sent
            && let Some(stdio) = end.bare_terminal()
            && let Some(terminal) = address::interactive(config)
        {
            *stdio = terminal;
        }
    }
}

/// Adds the layers of `--jsonrpc`, `--preamble` and `--preamble-reverse`.
fn add_message_options(left: &mut Draft, right: &mut Draft, config: &Config) {
    let options = &config.messages;
    if options.jsonrpc {
        let (name, layer) = overlay::jsonrpc(options.jsonrpc_version);
        left.add_layer(LayerNote::inserted(name, "--jsonrpc"), layer);
    }
    let kind = config.framing.kind.unwrap_or(Kind::Text);
    for (end, texts) in [left, right].into_iter().zip(&options.preamble) {
        if !texts.is_empty() {
            end.add_inner_layer(LayerNote::inserted("preamble", "--preamble"), overlay::preamble(texts, kind));
        }
    }
}

/// Adds the layers of the options for scripts. The peer is the right end, unless that is standard input and output.
fn add_scripting(left: &mut Draft, right: &mut Draft, config: &Config) -> Result<(), Error> {
    let options = &config.scripting;
    let is_swapped = right.is_console() && !left.is_console();
    let is_served = matches!(left, Draft::Listening(..));
    if is_swapped && is_served && (options.expect.is_some() || !options.first.is_empty()) {
        return Err(Error::usage_hint(
            "--send and --expect need a second address, to which messages are sent",
            "`wsplice - ws-l:…` serves one client; -P TEXT sends a message to each client of a listener",
        ));
    }
    let (console, peer) = if is_swapped { (right, left) } else { (left, right) };
    for (note, layer) in overlay::taps(options, is_served && !config.server.oneshot) {
        peer.add_layer(note, layer);
    }
    if !options.first.is_empty() {
        console.add_layer(LayerNote::inserted("send", "--send"), overlay::first_messages(&options.first));
    }
    if let Some(expect) = &options.expect {
        let decision = Arc::default();
        peer.add_layer(LayerNote::inserted("expect", "--expect"), overlay::expect(expect, &decision));
        if console.is_input() {
            console.add_layer(LayerNote::inserted("expect", "--expect"), overlay::input_until(&decision));
        }
    }
    #[cfg(feature = "jq")]
    if let Some(program) = &options.filter {
        peer.add_layer(LayerNote::inserted("filter", "--filter-json"), overlay::filter_json(program));
    }
    if options.json_lines {
        let ends_no_lines = config.framing.kind == Some(Kind::Binary) && !config.framing.by_lines;
        let layer = overlay::json_lines(config.websocket.shows_control, ends_no_lines);
        console.add_layer(LayerNote::inserted("jsonl", "--jsonl"), layer);
    }
    Ok(())
}

/// The pair for one session.
fn connect(left: Endpoint<Dialled>, right: Endpoint<Dialled>, framings: &Framings<'_>) -> Pair {
    match (left, right) {
        (Endpoint::Bytes(left), Endpoint::Bytes(right)) => Pair::Bytes(left, right),
        (left, right) => Pair::Messages(framings.frame(left, OTHER_SIDE), framings.frame(right, OTHER_SIDE)),
    }
}

/// The pair for the sessions of a listener.
fn serve(left: Endpoint<Listening>, right: Endpoint<Dialled>, framings: &Framings<'_>, config: &Config) -> Pair {
    let right =
        if right.about().exists_once && !config.server.oneshot { share(right, framings, config).into() } else { right };
    match (left, right) {
        (Endpoint::Bytes(left), Endpoint::Bytes(right)) => Pair::ServeBytes(left, right),
        (left, right) => Pair::ServeMessages(framings.frame(left, OTHER_SIDE), framings.frame(right, OTHER_SIDE)),
    }
}

/// Why a framing is inserted, for `--explain`.
const OTHER_SIDE: &str = "messages on the other side";

/// The framings that are inserted (the manual, TEXT AND BINARY).
struct Framings<'a> {
    options: &'a FramingOptions,
    /// Both addresses carry bytes, and no overlay depends on where messages begin, so the bytes must pass unchanged through the
    /// overlays that need messages.
    unchanged: bool,
}

impl Framings<'_> {
    /// Inserts a framing unless the endpoint carries messages.
    fn frame<O: Origin>(&self, endpoint: Endpoint<O>, because: &str) -> MessageEndpoint<O> {
        match endpoint {
            Endpoint::Messages(endpoint) => endpoint,
            Endpoint::Bytes(endpoint) => {
                let (as_lines, because) = match self.options.kind {
                    Some(kind) => (kind == Kind::Text || self.options.by_lines, format!("bytes here, {because}")),
                    None if self.unchanged => (false, format!("{because}; bytes on both sides stay as they are")),
                    None => (lines_by_default(endpoint.about.kind), format!("bytes here, {because}")),
                };
                if self.options.kind.is_none() && !self.unchanged && !as_lines {
                    // websocat sends text messages here.
                    let title = &endpoint.about.title;
                    report::handshake(
                        '*',
                        title,
                        format_args!("{title}: each read is a binary message; -t sends text"),
                    );
                }
                let (name, framing) = match as_lines {
                    true if self.options.json => overlay::json_values(self.options),
                    true => overlay::lines(self.options),
                    false => overlay::chunks(self.options),
                };
                endpoint.frame(LayerNote::inserted(name, because), framing)
            }
        }
    }
}

/// Inserts `reuse:`, so that all sessions of a listener share one end.
fn share(endpoint: Endpoint<Dialled>, framings: &Framings<'_>, config: &Config) -> MessageEndpoint<Dialled> {
    let (name, redial) = overlay::reuse(config);
    let shared = framings.frame(endpoint, "and shared as messages");
    shared.redial(LayerNote::inserted(name, "it exists once and all clients share it"), redial)
}

/// Whether the default framing of a byte end of this kind is `lines:` (the manual, TEXT AND BINARY).
fn lines_by_default(kind: EndKind) -> bool {
    matches!(kind, EndKind::Console { .. } | EndKind::Source | EndKind::Sink | EndKind::Process { terminal: false })
}
