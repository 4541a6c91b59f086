//! An address with its overlays, ready to be opened.

use super::{Setup, lines_by_default};
use crate::{
    error::Error,
    flow::{Duplex, Flow, Role},
    registry::{Accept, Dial, Origin, Overlay},
};
use std::{fmt, time::Duration};
use tokio::time::timeout;

/// What an address does when it is opened: its origin, then its overlays from the inside to the outside.
pub struct Stack {
    origin: Origin,
    layers: Vec<Layer>,
    flow: Flow,
    role: Role,
    title: String,
    host: Option<String>,
    exists_once: bool,
    connect_timeout: Duration,
}

/// One overlay of a stack.
pub struct Layer {
    /// Its canonical name.
    pub name: &'static str,
    /// Why a fix-up pass put it there; `None` when it was typed or belongs to the address.
    pub because: Option<String>,
    overlay: Option<Overlay>,
}

impl Stack {
    /// An end that is dialled. `title` is what errors and `--explain` call it.
    pub fn dial_with(title: impl fmt::Display, flow: Flow, role: Role, dial: impl Dial + 'static) -> Self {
        Self::new(title.to_string(), flow, role, Origin::Dial(Box::new(dial)))
    }

    /// A listener, which accepts byte streams.
    pub fn listen_with(title: impl fmt::Display, listen: impl crate::registry::Bind + 'static) -> Self {
        Self::new(title.to_string(), Flow::Bytes, Role::Peer, Origin::Listen(Box::new(listen)))
    }

    fn new(title: String, flow: Flow, role: Role, origin: Origin) -> Self {
        Self {
            origin,
            layers: Vec::new(),
            flow,
            role,
            title,
            host: None,
            exists_once: matches!(role, Role::Console { .. }),
            connect_timeout: Duration::MAX,
        }
    }

    /// Sets the limit on opening it, for origins that wait for somebody else.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// Sets the name that a TLS server is expected to prove, and that HTTP asks for.
    #[must_use]
    pub fn at_host(mut self, host: &str) -> Self {
        self.host = Some(host.into());
        self
    }

    /// Calls the stack by another name, such as the URL behind a TCP connection.
    #[must_use]
    pub fn titled(mut self, title: impl fmt::Display) -> Self {
        self.title = title.to_string();
        self
    }

    /// Adds a layer that is part of the address itself.
    pub fn with(mut self, name: &'static str, overlay: Overlay) -> Result<Self, Error> {
        self.push(name, overlay, None)?;
        Ok(self)
    }

    /// Adds a layer. What it wraps must have the flow that it wants.
    pub fn push(&mut self, name: &'static str, overlay: Overlay, because: Option<String>) -> Result<(), Error> {
        debug_assert!(overlay.wants().is_none_or(|flow| flow == self.flow));
        self.role = match &overlay {
            Overlay::OnBytes(layer) => layer.role(self.role),
            Overlay::Framing(layer) => layer.role(self.role),
            Overlay::OnMessages(layer) => layer.role(self.role),
            Overlay::OnDial(redial) => redial.role(self.role),
        };
        match overlay {
            Overlay::OnDial(redial) => {
                if self.is_listener() {
                    return Err(Error::usage_hint(
                        format!("`{name}:` opens what is behind it, but `{}` is a listener", self.title),
                        "listeners need no such overlay: each client gets a session of its own",
                    ));
                }
                self.layers.push(Layer { name, because, overlay: None });
                self.wrap_origin(|inner| redial.wrap(inner));
                self.exists_once &= !matches!(self.role, Role::Shared { .. });
            }
            Overlay::OnBytes(_) | Overlay::OnMessages(_) => {
                self.layers.push(Layer { name, because, overlay: Some(overlay) })
            }
            Overlay::Framing(_) => {
                self.flow = Flow::Messages;
                self.layers.push(Layer { name, because, overlay: Some(overlay) });
            }
        }
        Ok(())
    }

    /// Takes the outermost layer off if it has this name.
    pub fn pop(&mut self, name: &str) -> bool {
        let is_there = self.layers.last().is_some_and(|layer| layer.name == name);
        if is_there {
            self.layers.pop();
            self.flow = Flow::Bytes;
        }
        is_there
    }

    /// Replaces the origin by a dialler around the whole stack so far, as [`Overlay::OnDial`] does.
    pub fn wrap_origin(&mut self, wrap: impl FnOnce(Stack) -> Box<dyn Dial>) {
        let placeholder = Origin::Dial(Box::new(Nothing));
        let inner = Stack {
            origin: std::mem::replace(&mut self.origin, placeholder),
            layers: std::mem::take(&mut self.layers),
            title: self.title.clone(),
            host: self.host.clone(),
            ..*self
        };
        // The names stay visible to --explain.
        self.layers = inner.layers.iter().map(Layer::name_only).collect();
        self.connect_timeout = Duration::MAX;
        self.origin = Origin::Dial(wrap(inner));
    }

    /// What passes through it.
    pub fn flow(&self) -> Flow {
        self.flow
    }

    /// What it is called.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The host behind it, if there is one.
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// How its origin ends.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The overlays, from the inside to the outside.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Whether it waits for whoever comes.
    pub fn is_listener(&self) -> bool {
        matches!(self.origin, Origin::Listen(_))
    }

    /// Whether there is one of it in a process, so that sessions must share it.
    pub fn exists_once(&self) -> bool {
        self.exists_once
    }

    /// Whether opening it only promises a connection (`autoreconnect:`).
    pub fn is_opened_later(&self) -> bool {
        self.layers.iter().any(|layer| layer.name == "autoreconnect")
    }

    /// Whether its bytes are lines unless told otherwise.
    pub fn speaks_lines(&self) -> bool {
        lines_by_default(self.role)
    }

    /// Opens it. What waits for somebody else has the connect timeout: reaching a remote origin, and the handshakes of the
    /// layers around any.
    pub async fn dial(&self, setup: &mut Setup<'_>) -> Result<Duplex, Error> {
        let Origin::Dial(dial) = &self.origin else { unreachable!("a listener is bound, not dialled") };
        setup.stage = format!("opening {}", self.title);
        let local = if dial.is_remote() { None } else { Some(dial.dial(setup).await?) };
        let opening = async {
            let live = match local {
                Some(live) => live,
                None => dial.dial(setup).await?,
            };
            self.dress(live, setup).await
        };
        match timeout(self.connect_timeout, opening).await {
            Ok(opened) => opened,
            Err(_) => Err(Error::TimedOut {
                doing: setup.stage.clone(),
                limit: self.connect_timeout,
                option: "--connect-timeout",
            }),
        }
    }

    /// Starts to listen.
    pub async fn bind(&self) -> Result<Box<dyn Accept>, Error> {
        let Origin::Listen(listen) = &self.origin else { unreachable!("only listeners are bound") };
        listen.bind().await
    }

    /// Puts the overlays around a connection that was dialled or accepted.
    pub async fn dress(&self, mut live: Duplex, setup: &mut Setup<'_>) -> Result<Duplex, Error> {
        for overlay in self.layers.iter().filter_map(|layer| layer.overlay.as_ref()) {
            live = match (overlay, live) {
                (Overlay::OnBytes(layer), Duplex::Bytes(end)) => Duplex::Bytes(layer.apply(end, setup).await?),
                (Overlay::Framing(layer), Duplex::Bytes(end)) => Duplex::Messages(layer.apply(end, setup).await?),
                (Overlay::OnMessages(layer), Duplex::Messages(end)) => Duplex::Messages(layer.apply(end, setup).await?),
                _ => unreachable!("the plan lets no mismatched pair through"),
            };
        }
        Ok(live)
    }
}

impl Layer {
    fn name_only(&self) -> Self {
        Self { name: self.name, because: self.because.clone(), overlay: None }
    }
}

/// Stands in for an origin while it moves into its wrapper.
struct Nothing;

impl Dial for Nothing {
    fn dial<'a>(&'a self, _: &'a mut Setup<'_>) -> crate::flow::Task<'a, Result<Duplex, Error>> {
        unreachable!("replaced before anything is dialled")
    }
}
