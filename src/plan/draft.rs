//! An endpoint before its framing is known. Where an overlay needs messages and the address carries bytes, the framing between
//! them depends on the other endpoint, so overlays that need messages are added when both are known.

use super::Framings;
use crate::{
    config::Config,
    endpoint::{
        AnyEndpoint, Build, Dialled, Endpoint, Inner, Layer, LayerNote, Listening, Origin, Overlay, Redial, Transform,
    },
    error::Error,
    flow::{EndKind, Flow, MessageEnd},
    registry,
    spec::{BuildAddress, Spec},
};
use std::sync::Arc;

/// An address with its byte layers and its framing if it was given one, and the overlays around it that need messages, innermost
/// first.
pub(super) enum Draft {
    /// It is dialled.
    Dialled(Endpoint<Dialled>, Vec<(LayerNote, OnMessages)>),
    /// It listens.
    Listening(Endpoint<Listening>, Vec<(LayerNote, MessageLayer)>),
}

pub(super) type MessageLayer = Box<dyn Transform<MessageEnd, MessageEnd>>;

/// An overlay around an endpoint of messages that is dialled.
pub(super) enum OnMessages {
    /// A layer.
    Layer(MessageLayer),
    /// A layer around the dialling.
    Redial(Box<dyn Redial>),
}

impl From<AnyEndpoint> for Draft {
    fn from(endpoint: AnyEndpoint) -> Self {
        match endpoint {
            AnyEndpoint::Dialled(endpoint) => Self::Dialled(endpoint, Vec::new()),
            AnyEndpoint::Listening(endpoint) => Self::Listening(endpoint, Vec::new()),
        }
    }
}

impl Draft {
    /// Builds the address and the overlays of a specifier. A listener that is the second address is dialled: each dialling accepts
    /// one connection.
    pub fn build(spec: &Spec, config: &Arc<Config>, is_second: bool) -> Result<Self, Error> {
        match spec {
            Spec::Address(address) => {
                let built = match address.build {
                    BuildAddress::Dial(build) => build(&address.arg, config).map(AnyEndpoint::Dialled),
                    BuildAddress::Listen(build, _) => build(&address.arg, config).map(AnyEndpoint::Listening),
                };
                built.map(Self::from).map_err(|error| address.point_at(error))
            }
            Spec::Overlay(spec) => {
                let inner = Self::build(&spec.inner, config, is_second)?;
                let (about, flow) = match &inner {
                    Self::Dialled(endpoint, outer) => (endpoint.about(), flow(endpoint, outer)),
                    Self::Listening(endpoint, outer) => (endpoint.about(), flow(endpoint, outer)),
                };
                let overlay = (spec.row.build)(&Inner { argument: spec.argument.as_deref(), about, flow }, config)?;
                match (inner, overlay) {
                    (Self::Listening(endpoint, outer), overlay @ Overlay::OnDial(_)) if is_second => {
                        let layers = outer.into_iter().map(|(note, layer)| (note, OnMessages::Layer(layer)));
                        let dialled = Self::Dialled(endpoint.accept_one(config), layers.collect());
                        dialled.wrap(spec.entry.name(), overlay)
                    }
                    (inner, overlay) => inner.wrap(spec.entry.name(), overlay),
                }
            }
        }
    }

    /// What flows through the endpoint if no framing is inserted.
    pub fn flow(&self) -> Flow {
        match self {
            Self::Dialled(endpoint, _) => endpoint.flow(),
            Self::Listening(endpoint, _) => endpoint.flow(),
        }
    }

    /// Adds an overlay.
    fn wrap(self, name: &'static str, overlay: Overlay) -> Result<Self, Error> {
        Ok(match (self, overlay) {
            (Self::Dialled(endpoint, mut outer), Overlay::OnDial(redial)) => {
                outer.push((name.into(), OnMessages::Redial(redial)));
                Self::Dialled(endpoint, outer)
            }
            (Self::Dialled(endpoint, mut outer), Overlay::Around(Layer::OnMessages(layer))) => {
                outer.push((name.into(), OnMessages::Layer(layer)));
                Self::Dialled(endpoint, outer)
            }
            (Self::Dialled(endpoint, outer), Overlay::Around(layer)) => {
                Self::Dialled(wrap_bytes(endpoint, outer.is_empty(), name, layer)?, outer)
            }
            (Self::Listening(endpoint, _), Overlay::OnDial(_)) => {
                return Err(Error::usage_hint(
                    format!("`{name}:` cannot open `{}`: it is a listener", endpoint.about().title),
                    "a listener does not need it: each client gets a session of its own",
                ));
            }
            (Self::Listening(endpoint, mut outer), Overlay::Around(Layer::OnMessages(layer))) => {
                outer.push((name.into(), layer));
                Self::Listening(endpoint, outer)
            }
            (Self::Listening(endpoint, outer), Overlay::Around(layer)) => {
                Self::Listening(wrap_bytes(endpoint, outer.is_empty(), name, layer)?, outer)
            }
        })
    }

    /// Whether it is standard input and output, or a terminal.
    pub fn is_console(&self) -> bool {
        matches!(self, Self::Dialled(endpoint, _) if matches!(endpoint.about().kind, EndKind::Console { .. }))
    }

    /// Whether its end means only that there is no more input.
    pub fn is_input(&self) -> bool {
        let is_input = |kind| matches!(kind, EndKind::Console { .. } | EndKind::Source);
        matches!(self, Self::Dialled(endpoint, _) if is_input(endpoint.about().kind))
    }

    /// Whether an overlay depends on where messages begin and end.
    pub fn is_per_message(&self) -> bool {
        let is_per_message = |note: &LayerNote| {
            let entry = registry::find(note.name);
            entry.is_some_and(|entry| matches!(&entry.build, Build::Overlay(row) if row.per_message))
        };
        match self {
            Self::Dialled(_, outer) => outer.iter().any(|(note, _)| is_per_message(note)),
            Self::Listening(_, outer) => outer.iter().any(|(note, _)| is_per_message(note)),
        }
    }

    /// The address, if it is standard input and output, and a terminal, without a framing or byte layers.
    #[cfg(feature = "term")]
    pub fn bare_terminal(&mut self) -> Option<&mut Endpoint<Dialled>> {
        match self {
            Self::Dialled(endpoint @ Endpoint::Bytes(_), _) => {
                let about = endpoint.about();
                let is_terminal = about.kind == EndKind::Console { terminal: true } && about.layers.is_empty();
                is_terminal.then_some(endpoint)
            }
            _ => None,
        }
    }

    /// Whether it is the interactive terminal.
    #[cfg(feature = "term")]
    pub fn is_terminal(&self) -> bool {
        match self {
            Self::Dialled(Endpoint::Messages(endpoint), _) => {
                let about = &endpoint.about;
                about.kind == crate::flow::EndKind::Console { terminal: true } && about.layers.is_empty()
            }
            _ => false,
        }
    }

    /// Lets the user at the terminal open the connection anew, unless an overlay decides when that is done.
    #[cfg(feature = "term")]
    pub fn add_reconnecting(&mut self, config: &Arc<Config>) {
        if let Self::Dialled(_, outer) = self
            && !outer.iter().any(|(_, overlay)| matches!(overlay, OnMessages::Redial(_)))
        {
            let (name, redial) = crate::overlay::reconnect_on_request(config);
            outer.push((LayerNote::inserted(name, "/reconnect of the terminal"), OnMessages::Redial(redial)));
        }
    }

    /// Adds an outermost layer.
    pub fn add_layer(&mut self, note: LayerNote, layer: MessageLayer) {
        match self {
            Self::Dialled(_, outer) => outer.push((note, OnMessages::Layer(layer))),
            Self::Listening(_, outer) => outer.push((note, layer)),
        }
    }

    /// Adds a layer around each connection: inside the overlays that decide when it is dialled.
    pub fn add_inner_layer(&mut self, note: LayerNote, layer: MessageLayer) {
        match self {
            Self::Dialled(_, outer) => {
                let is_redial = |(_, overlay): &(LayerNote, OnMessages)| matches!(overlay, OnMessages::Redial(_));
                let place = outer.iter().position(is_redial).unwrap_or(outer.len());
                outer.insert(place, (note, OnMessages::Layer(layer)));
            }
            Self::Listening(_, outer) => outer.push((note, layer)),
        }
    }

    /// The endpoint with all its overlays, and with a framing where they need one.
    pub fn finish(self, framings: &Framings<'_>) -> AnyEndpoint {
        match self {
            Self::Dialled(endpoint, outer) => AnyEndpoint::Dialled(match outer.first() {
                None => endpoint,
                Some((innermost, _)) => {
                    let framed = framings.frame(endpoint, innermost.name);
                    let all = outer.into_iter().fold(framed, |endpoint, (note, overlay)| match overlay {
                        OnMessages::Layer(layer) => endpoint.layer(note, layer),
                        OnMessages::Redial(redial) => endpoint.redial(note, redial),
                    });
                    all.into()
                }
            }),
            Self::Listening(endpoint, outer) => AnyEndpoint::Listening(match outer.first() {
                None => endpoint,
                Some((innermost, _)) => {
                    let framed = framings.frame(endpoint, innermost.name);
                    outer.into_iter().fold(framed, |endpoint, (note, layer)| endpoint.layer(note, layer)).into()
                }
            }),
        }
    }
}

fn flow<O: Origin, L>(endpoint: &Endpoint<O>, outer: &[L]) -> Flow {
    if outer.is_empty() { endpoint.flow() } else { Flow::Messages }
}

/// Adds a layer that needs bytes. `is_outermost`: no overlay that needs messages is around the endpoint.
fn wrap_bytes<O: Origin>(
    endpoint: Endpoint<O>,
    is_outermost: bool,
    name: &'static str,
    layer: Layer,
) -> Result<Endpoint<O>, Error> {
    Ok(match (layer, endpoint) {
        (Layer::OnBytes(layer), Endpoint::Bytes(endpoint)) if is_outermost => endpoint.layer(name, layer).into(),
        (Layer::Framing(framing), Endpoint::Bytes(endpoint)) if is_outermost => endpoint.frame(name, framing).into(),
        (_, endpoint) => {
            return Err(Error::usage_hint(
                format!("`{name}:` needs a byte stream, but `{}` carries messages", endpoint.about().title),
                "put it nearer to the socket, or leave it out",
            ));
        }
    })
}
