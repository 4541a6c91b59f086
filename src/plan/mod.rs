//! The plan of a run: builds two endpoints of the same flow from two parsed addresses, and inserts overlays where they do not fit.
//! `--explain` prints it.
//!
//! The steps, in order:
//! 1. If the right end is a listener, each session accepts one connection from it.
//! 2. If the left end is a listener and the right end exists only once, such as standard input and output, `reuse:` is inserted.
//! 3. If one end carries bytes and the other messages, `lines:` or `chunks:` is inserted.

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

    /// Whether it serves the clients of a listener.
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
    /// Builds the second endpoint and makes both fit. A single address is connected to standard input and output: a listener is the
    /// left end, any other address the right end.
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

/// Builds the right end. If it is a listener, each session accepts one connection from it.
fn dialled(spec: &Spec, config: &Arc<Config>) -> Result<Endpoint<Dialled>, Error> {
    Ok(match build(spec, config)? {
        AnyEndpoint::Dialled(endpoint) => endpoint,
        AnyEndpoint::Listening(endpoint) => endpoint.accept_one(config),
    })
}

/// The pair for one session.
fn connect(left: Endpoint<Dialled>, right: Endpoint<Dialled>, framing: &FramingOptions) -> Pair {
    match (left, right) {
        (Endpoint::Bytes(left), Endpoint::Bytes(right)) => Pair::Bytes(left, right),
        (left, right) => Pair::Messages(framed(left, framing, OTHER_SIDE), framed(right, framing, OTHER_SIDE)),
    }
}

/// The pair for the sessions of a listener.
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

/// Why a framing is inserted, for `--explain`.
const OTHER_SIDE: &str = "messages on the other side";

/// Builds an endpoint. Inserts a framing where an overlay needs messages.
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
            apply_overlay(endpoint, spec, overlay, &config.framing)
        }
    }
}

/// Adds an overlay to an endpoint.
fn apply_overlay(
    endpoint: AnyEndpoint,
    spec: &spec::Overlay,
    overlay: Overlay,
    framing: &FramingOptions,
) -> Result<AnyEndpoint, Error> {
    let name = spec.entry.name();
    Ok(match (overlay, endpoint) {
        (Overlay::Around(layer), AnyEndpoint::Dialled(endpoint)) => {
            AnyEndpoint::Dialled(apply_layer(endpoint, name, layer, framing)?)
        }
        (Overlay::Around(layer), AnyEndpoint::Listening(endpoint)) => {
            AnyEndpoint::Listening(apply_layer(endpoint, name, layer, framing)?)
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

/// Adds a layer to an endpoint. Inserts a framing if the layer needs messages.
fn apply_layer<O: Origin>(
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

/// Inserts a framing unless the endpoint carries messages (the manual, TEXT AND BINARY).
fn framed<O: Origin>(endpoint: Endpoint<O>, options: &FramingOptions, because: &str) -> MessageEndpoint<O> {
    match endpoint {
        Endpoint::Messages(endpoint) => endpoint,
        Endpoint::Bytes(endpoint) => {
            let as_lines = match options.kind {
                Some(kind) => kind == Kind::Text || options.by_lines,
                None => lines_by_default(endpoint.about.kind),
            };
            let (name, framing) = if as_lines { overlay::lines(options) } else { overlay::chunks(options) };
            endpoint.frame(LayerNote::inserted(name, format!("bytes here, {because}")), framing)
        }
    }
}

/// Inserts `reuse:`, so that all sessions of a listener share one end. `other` is the flow of the listener.
fn share(endpoint: Endpoint<Dialled>, other: Flow, config: &Config) -> MessageEndpoint<Dialled> {
    let options = &config.framing;
    let shared = match endpoint {
        // Bytes on both sides: the framing must not add or remove bytes.
        Endpoint::Bytes(endpoint) if other == Flow::Bytes && options.kind.is_none() => {
            let (name, framing) = overlay::chunks(options);
            endpoint.frame(LayerNote::inserted(name, "bytes on both sides stay as they are"), framing)
        }
        endpoint => framed(endpoint, options, "and shared as messages"),
    };
    let (name, redial) = overlay::reuse(config);
    shared.redial(LayerNote::inserted(name, "it exists once and all clients share it"), redial)
}

/// Whether the default framing of a byte end of this kind is `lines:` (the manual, TEXT AND BINARY).
fn lines_by_default(kind: EndKind) -> bool {
    matches!(kind, EndKind::Console { .. } | EndKind::Source | EndKind::Sink | EndKind::Process)
}
