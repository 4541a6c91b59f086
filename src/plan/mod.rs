//! From two parsed addresses to two endpoints of the same flow: rows are built, mismatches are mended by named fix-up
//! passes, and `--explain` prints the result.
//!
//! The passes, in order:
//! 1. *one connection of a listener on the right*: each session takes one from it;
//! 2. *share what exists once*: a listener's sessions share standard input and output through `reuse:`;
//! 3. *frame the byte end*: where bytes meet messages, `lines:` or `chunks:` goes in between.

mod explain;

use crate::{
    address,
    config::{Config, Directions, RoomOptions},
    endpoint::{
        About, AnyEndpoint, Bind, ByteEndpoint, Dialled, Endpoint, Framed, Framing, Inner, Layer, LayerNote, Layers,
        Listening, MessageEndpoint, MessageStack, Origin, Overlay,
    },
    error::Error,
    flow::{ByteEnd, EndKind, Flow},
    framing::FramingOptions,
    message::Kind,
    net::HostPort,
    overlay,
    spec::{self, BuildAddress, Spec},
};
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
    /// The ends.
    pub pair: Pair,
    /// Which way messages are copied.
    directions: Directions,
}

/// The left end, where sessions start, and the right end that each is connected with.
pub enum Pair {
    /// One session of bytes.
    Bytes(ByteEndpoint<Dialled>, ByteEndpoint<Dialled>),
    /// One session of messages.
    Messages(MessageEndpoint<Dialled>, MessageEndpoint<Dialled>),
    /// A listener's sessions of bytes.
    ServeBytes(ByteEndpoint<Listening>, ByteEndpoint<Dialled>),
    /// A listener's sessions of messages.
    ServeMessages(MessageEndpoint<Listening>, MessageEndpoint<Dialled>),
}

/// A WebSocket listener whose clients are members of rooms.
pub struct RoomServer {
    /// What is known of the listener.
    pub about: About,
    /// Where connections come from.
    pub origin: Box<dyn Bind<ByteEnd>>,
    /// What stands around each, below the WebSocket.
    pub layers: Layers<ByteEnd>,
    /// How rooms work.
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
    /// Builds the rows of what was typed and checks that they fit.
    ///
    /// # Errors
    /// When a row cannot be built, for example for want of a file that an option names, or the ends do not fit.
    pub fn new(first: &FirstAddress, second: Option<&Spec>, config: &Arc<Config>) -> Result<Self, Error> {
        let first = match first {
            FirstAddress::Typed(spec) => build(spec, config)?,
            FirstAddress::Listener(at) => AnyEndpoint::Listening(address::websocket_listener(at, config)),
        };
        match &config.rooms {
            None => Splice::new(first, second, config).map(Self::Splice),
            Some(_) if second.is_some() => {
                Err(Error::usage("--broadcast takes no second address: it connects the clients of one listener"))
            }
            Some(options) => RoomServer::new(first, options).map(Self::Rooms),
        }
    }

    /// Whether it listens for clients.
    pub fn is_serving(&self) -> bool {
        match self {
            Self::Splice(splice) => matches!(splice.pair, Pair::ServeBytes(..) | Pair::ServeMessages(..)),
            Self::Rooms(_) => true,
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
    /// Builds the other end and mends what does not fit. A single address is connected with standard input and output: a
    /// listener serves, so it is the left end; anything else is what the console talks to.
    fn new(first: AnyEndpoint, second: Option<&Spec>, config: &Arc<Config>) -> Result<Self, Error> {
        let pair = match (first, second) {
            (AnyEndpoint::Dialled(first), None) => connect(address::stdio(), first, &config.framing),
            (AnyEndpoint::Dialled(first), Some(second)) => connect(first, dialled(second, config)?, &config.framing),
            (AnyEndpoint::Listening(first), None) => serve(first, address::stdio(), config),
            (AnyEndpoint::Listening(first), Some(second)) => serve(first, dialled(second, config)?, config),
        };
        Ok(Self { pair, directions: config.session.directions })
    }
}

/// The right end of sessions. Each takes one connection of a listener.
fn dialled(spec: &Spec, config: &Arc<Config>) -> Result<Endpoint<Dialled>, Error> {
    Ok(match build(spec, config)? {
        AnyEndpoint::Dialled(endpoint) => endpoint,
        AnyEndpoint::Listening(endpoint) => endpoint.accept_one(config),
    })
}

/// One session.
fn connect(left: Endpoint<Dialled>, right: Endpoint<Dialled>, framing: &FramingOptions) -> Pair {
    match (left, right) {
        (Endpoint::Bytes(left), Endpoint::Bytes(right)) => Pair::Bytes(left, right),
        (left, right) => Pair::Messages(framed(left, framing, OTHER_SIDE), framed(right, framing, OTHER_SIDE)),
    }
}

/// A listener's sessions.
fn serve(left: Endpoint<Listening>, right: Endpoint<Dialled>, config: &Config) -> Pair {
    let framing = &config.framing;
    let right = if right.about().exists_once && !config.server.oneshot {
        share(right, left.flow(), config).into()
    } else {
        right
    };
    match (left, right) {
        (Endpoint::Bytes(left), Endpoint::Bytes(right)) => Pair::ServeBytes(left, right),
        (left, right) => Pair::ServeMessages(framed(left, framing, OTHER_SIDE), framed(right, framing, OTHER_SIDE)),
    }
}

/// Why a byte end is framed where messages are on the other side.
const OTHER_SIDE: &str = "messages on the other side";

/// Builds a spec, framed where its own overlays need it.
fn build(spec: &Spec, config: &Arc<Config>) -> Result<AnyEndpoint, Error> {
    match spec {
        Spec::Address(address) => {
            let built = match address.build {
                BuildAddress::Dial(build) => build(&address.arg, config).map(AnyEndpoint::Dialled),
                BuildAddress::Listen(build, _) => build(&address.arg, config).map(AnyEndpoint::Listening),
            };
            built.map_err(|error| address.point_at(error))
        }
        Spec::Overlay(spec) => {
            let endpoint = build(&spec.inner, config)?;
            let inner = Inner { argument: spec.argument.as_deref(), about: endpoint.about(), flow: endpoint.flow() };
            let overlay = (spec.row.build)(&inner, config)?;
            put(endpoint, spec, overlay, &config.framing)
        }
    }
}

/// Puts an overlay around an endpoint.
fn put(
    endpoint: AnyEndpoint,
    spec: &spec::Overlay,
    overlay: Overlay,
    framing: &FramingOptions,
) -> Result<AnyEndpoint, Error> {
    let name = spec.entry.name();
    Ok(match (overlay, endpoint) {
        (Overlay::Around(layer), AnyEndpoint::Dialled(endpoint)) => {
            AnyEndpoint::Dialled(around(endpoint, name, layer, framing)?)
        }
        (Overlay::Around(layer), AnyEndpoint::Listening(endpoint)) => {
            AnyEndpoint::Listening(around(endpoint, name, layer, framing)?)
        }
        (Overlay::OnDial(redial), AnyEndpoint::Dialled(endpoint)) => {
            AnyEndpoint::Dialled(framed(endpoint, framing, name).redial(name, redial).into())
        }
        (Overlay::OnDial(_), AnyEndpoint::Listening(endpoint)) => {
            return Err(Error::usage_hint(
                format!("`{name}:` cannot open `{}`: it is a listener", endpoint.about().title),
                "a listener does not need it: each client gets a session of its own",
            ));
        }
    })
}

/// Puts a layer around an endpoint, which is framed first if the layer wants messages.
fn around<O: Origin>(
    endpoint: Endpoint<O>,
    name: &'static str,
    layer: Layer,
    options: &FramingOptions,
) -> Result<Endpoint<O>, Error> {
    Ok(match (layer, endpoint) {
        (Layer::OnBytes(layer), Endpoint::Bytes(endpoint)) => endpoint.layer(name, layer).into(),
        (Layer::Framing(framing), Endpoint::Bytes(endpoint)) => endpoint.frame(name, framing).into(),
        (Layer::OnMessages(layer), endpoint) => framed(endpoint, options, name).layer(name, layer).into(),
        (Layer::OnBytes(_) | Layer::Framing(_), Endpoint::Messages(endpoint)) => {
            return Err(Error::usage_hint(
                format!("`{name}:` needs a byte stream, but `{}` carries messages", endpoint.about.title),
                "put it nearer to the socket, or leave it out",
            ));
        }
    })
}

/// Makes messages of bytes by the rule of the manual's TEXT AND BINARY.
fn framed<O: Origin>(endpoint: Endpoint<O>, options: &FramingOptions, because: &str) -> MessageEndpoint<O> {
    match endpoint {
        Endpoint::Messages(endpoint) => endpoint,
        Endpoint::Bytes(endpoint) => {
            let as_lines = match options.kind {
                Some(kind) => kind == Kind::Text,
                None => lines_by_default(endpoint.about.kind),
            };
            let (name, framing) = if as_lines { overlay::lines(options) } else { overlay::chunks(options) };
            endpoint.frame(LayerNote::inserted(name, format!("bytes here, {because}")), framing)
        }
    }
}

/// Lets all sessions of a listener, whose ends have the flow `other`, use one end.
fn share(endpoint: Endpoint<Dialled>, other: Flow, config: &Config) -> MessageEndpoint<Dialled> {
    let options = &config.framing;
    let shared = match endpoint {
        // Bytes to bytes: nothing may be added, so what was read goes out as it is.
        Endpoint::Bytes(endpoint) if other == Flow::Bytes && options.kind.is_none() => {
            let (name, framing) = overlay::chunks(options);
            endpoint.frame(LayerNote::inserted(name, "bytes on both sides stay as they are"), framing)
        }
        endpoint => framed(endpoint, options, "and shared as messages"),
    };
    let (name, redial) = overlay::reuse(config);
    shared.redial(LayerNote::inserted(name, "it exists once and all clients share it"), redial)
}

/// Whether a byte end of this kind is read by lines unless told otherwise (the manual, TEXT AND BINARY).
fn lines_by_default(kind: EndKind) -> bool {
    matches!(kind, EndKind::Console { .. } | EndKind::Source | EndKind::Sink | EndKind::Process)
}
